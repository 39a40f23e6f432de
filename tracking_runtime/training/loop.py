"""Resumable training: the base of all trainers, and the loop that shows, records and saves a run."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.optim import Optimizer

from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_checkpoint, write_checkpoint
from tracking_runtime.training.distributed import find_rank, is_first_process

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CHECKPOINT = "checkpoint.pt"
"""Name of the file from which a run is resumed."""

HISTORY = "history.jsonl"
"""Name of the file with the losses of each step, one JSON object a line."""

_MAX_GRADIENT_NORM = 10.0
_HISTORY_DIGITS = 6  # decimal places of the losses in the history

Batch = TypeVar("Batch")


class Trainer(ABC, Generic[Batch]):
    """Training run of one network in one folder, which can be interrupted and resumed.

    A subclass sets `network` and `optimizer` in its constructor, then calls `resume`.

    Attributes:
        folder: folder of the checkpoint.
        network: network that is trained.
        optimizer: optimizer of the network's parameters.
        step: number of steps done.
        rank: number of this process, counted from 0.
        num_processes: number of processes that share each step.
    """

    network: nn.Module
    optimizer: Optimizer

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.step = 0
        self.rank, self.num_processes = find_rank()

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Number of steps of the whole run."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """Learning rate of the next step."""

    @abstractmethod
    def draw_batches(self) -> Iterator[Batch]:
        """Yield the batch of each step from the next one to the last."""

    @abstractmethod
    def prepare_step(self) -> None:
        """Set the mode of each layer and the learning rates of the next step."""

    @abstractmethod
    def compute_loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch without axes, and its parts by the names that the history uses."""

    @abstractmethod
    def update_average(self) -> None:
        """Update the running average of the weights after a step of the optimizer."""

    @abstractmethod
    def make_state(self) -> dict[str, Any]:
        """Return the content of a checkpoint."""

    @abstractmethod
    def is_own_state(self, state: Mapping[str, Any]) -> bool:
        """Return whether the content of a checkpoint belongs to a network of this configuration."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from the content of a checkpoint."""

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the last step and yield the losses of each step. The caller stops iterating to pause."""
        for batch in self.draw_batches():
            yield self._train_step(batch)

    def save(self) -> None:
        """Write the checkpoint. A process that is killed meanwhile leaves the previous checkpoint."""
        write_checkpoint(self.folder / CHECKPOINT, self.make_state())

    def resume(self) -> None:
        """Continue from the checkpoint of the folder, if the folder contains one.

        Raises:
            ModelError: the checkpoint cannot be read, or belongs to another network.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        state = read_checkpoint(path)
        try:
            is_own_state = self.is_own_state(state)
            if is_own_state:
                self.load_state(state)
        except (RuntimeError, KeyError, ValueError) as error:
            raise ModelError(f"cannot resume from {path}: {error}") from error
        if not is_own_state:
            raise ModelError(f"{path} is of another network; train in another folder or delete the file")

    def _train_step(self, batch: Batch) -> dict[str, float]:
        self.prepare_step()
        loss, parts = self.compute_loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _MAX_GRADIENT_NORM)
        if torch.isfinite(norm):  # one overflow, for example in bfloat16, must not destroy all weights
            self.optimizer.step()
            self.update_average()
        self.step += 1
        return parts


def train(trainer: Trainer[Any], progress: Progress, *, displayed_loss: str, save_every_s: float) -> None:
    """Train to the last step. If interrupted, save a checkpoint from which the run can be resumed.

    Of several processes, only the first shows, records and saves.

    Args:
        trainer: trainer of the network.
        progress: progress bars, to which a bar of the steps is added.
        displayed_loss: name of the loss that is shown beside the bar.
        save_every_s: seconds between checkpoints. 0 saves after each step.
    """
    if not is_first_process():
        for _ in trainer.run():
            pass
        return
    trainer.folder.mkdir(parents=True, exist_ok=True)
    task = progress.add_task("training", total=trainer.total_steps, completed=trainer.step)
    last_save_s = time.monotonic()
    with (
        _open_tensorboard(trainer.folder) as tensorboard,
        (trainer.folder / HISTORY).open("a") as history,
    ):
        try:
            for losses in trainer.run():
                description = f"training, loss {losses[displayed_loss]:.3f}"
                progress.update(task, completed=trainer.step, description=description)
                _record_losses(trainer, losses, history, tensorboard)
                if time.monotonic() - last_save_s > save_every_s:
                    trainer.save()
                    last_save_s = time.monotonic()
        finally:
            trainer.save()


def _record_losses(
    trainer: Trainer[Any], losses: Mapping[str, float], history: TextIO, tensorboard: SummaryWriter | None
) -> None:
    line = {"step": trainer.step, "rate": trainer.learning_rate, **losses}
    history.write(json.dumps({key: round(value, _HISTORY_DIGITS) for key, value in line.items()}) + "\n")
    if tensorboard is not None:
        for name, value in losses.items():
            tensorboard.add_scalar(f"loss/{name}", value, trainer.step)


def _open_tensorboard(folder: Path) -> AbstractContextManager[SummaryWriter | None]:
    """Return a writer of TensorBoard events; a context of None if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return nullcontext()
    return SummaryWriter(str(folder))
