from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress
from torch import Tensor, nn

from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import write_checkpoint
from tracking_runtime.training.loop import CHECKPOINT, HISTORY, Trainer, train


class LineTrainer(Trainer[Tensor]):
    """Trains a line through the origin with slope 3."""

    def __init__(self, folder: Path, total_steps: int = 4, width: int = 1) -> None:
        super().__init__(folder)
        self.network = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        self.num_averages = 0
        self._total_steps = total_steps
        self.resume()

    @property
    def total_steps(self) -> int:
        return self._total_steps

    @property
    def learning_rate(self) -> float:
        return 0.1

    def draw_batches(self) -> Iterator[Tensor]:
        for step in range(self.step, self.total_steps):
            yield torch.full((1, self.network.in_features), float(step + 1))

    def prepare_step(self) -> None:
        self.network.train()

    def compute_loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        loss = (self.network(batch) - 3 * batch.sum()).abs().sum()
        return loss, {"total": float(loss.detach())}

    def update_average(self) -> None:
        self.num_averages += 1

    def make_state(self) -> dict[str, Any]:
        weights = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {"step": self.step, "width": self.network.in_features, **weights}

    def is_own_state(self, state: Mapping[str, Any]) -> bool:
        return bool(state["width"] == self.network.in_features)

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def train_quietly(trainer: Trainer[Any], save_every_s: float = 1000) -> None:
    with Progress(disable=True) as progress:
        train(trainer, progress, displayed_loss="total", save_every_s=save_every_s)


def read_history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]


def test_each_step_updates_weights_and_average(tmp_path: Path) -> None:
    trainer = LineTrainer(tmp_path)

    losses = [step_losses["total"] for step_losses in trainer.run()]

    assert trainer.step == trainer.num_averages == 4
    assert losses[0] == 3
    assert trainer.network.weight.item() == pytest.approx(0.1 + 0.2 + 0.3 + 0.4)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    trainer = LineTrainer(tmp_path, width=10_000)

    next(trainer.run())

    change = trainer.network.weight.norm().item()
    assert change == pytest.approx(0.1 * 10, rel=1e-3)  # learning rate times maximum norm


def test_resumed_run_equals_uninterrupted_run(tmp_path: Path) -> None:
    uninterrupted = LineTrainer(tmp_path / "uninterrupted")
    losses = list(uninterrupted.run())

    interrupted = LineTrainer(tmp_path / "interrupted")
    first_losses = list(islice(interrupted.run(), 2))
    interrupted.save()
    later_losses = list(LineTrainer(tmp_path / "interrupted").run())

    assert first_losses + later_losses == losses


def test_training_writes_checkpoint_and_history(tmp_path: Path) -> None:
    train_quietly(LineTrainer(tmp_path))

    history = read_history(tmp_path)
    assert [line["step"] for line in history] == [1, 2, 3, 4]
    assert all(list(line) == ["step", "rate", "total"] for line in history)
    assert LineTrainer(tmp_path).step == 4


def test_resumed_training_continues_the_history(tmp_path: Path) -> None:
    train_quietly(LineTrainer(tmp_path, total_steps=2))
    train_quietly(LineTrainer(tmp_path, total_steps=4))

    assert [line["step"] for line in read_history(tmp_path)] == [1, 2, 3, 4]


def test_interrupted_training_saves_a_checkpoint(tmp_path: Path) -> None:
    class InterruptedTrainer(LineTrainer):
        def prepare_step(self) -> None:
            if self.step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_quietly(InterruptedTrainer(tmp_path))

    assert LineTrainer(tmp_path).step == 3


@pytest.mark.parametrize(("save_every_s", "num_saves"), [(0, 5), (1000, 1)])
def test_checkpoints_are_saved_in_time(save_every_s: float, num_saves: int, tmp_path: Path) -> None:
    class CountingTrainer(LineTrainer):
        num_saves = 0

        def save(self) -> None:
            self.num_saves += 1
            super().save()

    trainer = CountingTrainer(tmp_path)

    train_quietly(trainer, save_every_s)

    assert trainer.num_saves == num_saves


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    LineTrainer(tmp_path).save()

    with pytest.raises(ModelError, match=r"checkpoint\.pt is of another network; train in another folder"):
        LineTrainer(tmp_path, width=2)


@pytest.mark.parametrize("content", [{"step": 1}, {"width": 1, "network": {}}])
def test_incomplete_checkpoint_is_named_in_error(content: dict[str, Any], tmp_path: Path) -> None:
    write_checkpoint(tmp_path / CHECKPOINT, content)

    with pytest.raises(ModelError, match=r"cannot resume from .*checkpoint\.pt"):
        LineTrainer(tmp_path)
