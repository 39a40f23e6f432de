"""PyTorch checkpoint files, read without running anything that they contain, and written whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracking_runtime.errors import ModelError

# Training scripts leave numpy's numbers beside the weights.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMBERS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        ModelError: it cannot be read, or holds no dictionary with names.
    """
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the reader stumbles over in a file of another kind
        raise ModelError(f"cannot read the checkpoint {path}: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is not a checkpoint: it holds a {type(content).__name__}")
    if not all(isinstance(key, str) for key in content):
        raise ModelError(f"{path} is not a checkpoint: what it holds has no names")
    return content


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights of a published checkpoint: it, or its ``state_dict``, without the prefix ``module.``.

    Raises:
        ModelError: it cannot be read, or holds no weights.
    """
    content = read_checkpoint(path)
    found = content.get("state_dict", content)
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()
    ):
        raise ModelError(f"{path} holds no state_dict")
    return {key.removeprefix("module."): value for key, value in found.items()}


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(content, partial)
    os.replace(partial, path)
