"""A training run around what learns: progress, TensorBoard, a history of the losses, checkpoints in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.progress import Progress

from tracking_runtime.training.distributed import is_first

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.jsonl"


class Trainer(Protocol):
    """What learns, resumed if its folder has a checkpoint."""

    @property
    def folder(self) -> Path:
        """Of the run."""

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def total_steps(self) -> int:
        """Steps in all."""

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""

    def run(self) -> Iterator[Mapping[str, float]]:
        """Learn to the last step, yielding each step's losses."""

    def save(self) -> None:
        """Write ``CHECKPOINT`` into the folder, whole or not at all."""


def train(trainer: Trainer, progress: Progress, *, shown: str, save_every_s: float) -> None:
    """Train to the end; interrupted, the run can go on from its last step.

    Of several processes the first one shows, records and saves.

    Args:
        trainer: that learns.
        progress: shows the steps.
        shown: name of the loss that stands beside them.
        save_every_s: seconds between checkpoints.
    """
    if not is_first():
        for _ in trainer.run():
            pass
        return
    trainer.folder.mkdir(parents=True, exist_ok=True)
    task = progress.add_task("training", total=trainer.total_steps, completed=trainer.step)
    saved = time.monotonic()
    with _board(trainer.folder) as board, (trainer.folder / HISTORY).open("a") as history:
        try:
            for losses in trainer.run():
                progress.update(
                    task, completed=trainer.step, description=f"training, loss {losses[shown]:.3f}"
                )
                _record(trainer, losses, history, board)
                if time.monotonic() - saved > save_every_s:
                    trainer.save()
                    saved = time.monotonic()
        finally:
            trainer.save()


def _record(trainer: Trainer, losses: Mapping[str, float], history: Any, board: SummaryWriter | None) -> None:
    line = {"step": trainer.step, "rate": trainer.rate, **losses}
    history.write(json.dumps({key: round(value, 6) for key, value in line.items()}) + "\n")
    if board is not None:
        for part, value in losses.items():
            board.add_scalar(f"loss/{part}", value, trainer.step)


def _board(folder: Path) -> AbstractContextManager[SummaryWriter | None]:
    """TensorBoard's events, where it is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return nullcontext()
    return SummaryWriter(str(folder))
