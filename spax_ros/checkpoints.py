"""PyTorch checkpoint files, read without running anything that they contain."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import torch

from tracking_runtime.errors import ModelError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        ModelError: it cannot be read, or holds no dictionary.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, struct.error) as error:
        raise ModelError(f"cannot read the checkpoint {path}: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is not a checkpoint: it holds a {type(content).__name__}")
    return content
