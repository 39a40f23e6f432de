"""Options that all training runs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of a training run.

    Attributes:
        base_model: name or path of a model to refine at a low learning rate; None trains a new network.
        folder: folder of checkpoint, history and TensorBoard events. A run found there is resumed. None takes
            a folder named after the model.
        name: name of the trained model; None takes the default name, or NAME_refined of the base model.
        models: folder that the model is written to.
        steps: number of batches; None takes that of the recipe.
        batch: number of samples in a batch; None takes that of the recipe.
        device: PyTorch device that trains: `cpu`, `cuda`, `cuda:1`.
        seed: seed of all random draws.
        save_every_s: seconds between checkpoints. Higher loses more steps if the process is killed.
    """

    base_model: str | None = None
    folder: Path | None = None
    name: str | None = None
    models: Path = Path("models")
    steps: int | None = None
    batch: int | None = None
    device: str = "cpu"
    seed: int = 0
    save_every_s: float = 120.0

    def resolve_name(self, default_name: str) -> str:
        """Return the name of the trained model.

        Args:
            default_name: name of a new network, if the options have none.

        Raises:
            ModelError: the base model cannot be found.
        """
        from tracking_runtime.models.manifest import find_model

        if self.name:
            return self.name
        return f"{find_model(self.base_model).stem}_refined" if self.base_model else default_name
