"""PyTorch checkpoints, read without executing code from the file and written atomically."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracking_runtime.errors import ModelError
from tracking_runtime.files import atomic_write, describe_content
from tracking_runtime.untrusted.files import open_file

# Training scripts store NumPy scalars beside the weights, so the safe reader has to accept them.
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
_SAFE_NUMPY_GLOBALS: list[Any] = [
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
]

_MAGIC = (b"PK\x03\x04", b"\x80")  # a ZIP archive; a pickle, as PyTorch wrote before version 1.6
_NUM_START_BYTES = 1024
_FOREIGN_OBJECT = re.compile(r"(?:Unsupported (?:global: GLOBAL|class)|GLOBAL) ([\w.]+)")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the dictionary of a checkpoint, with its tensors on the CPU.

    Raises:
        ModelError: the file cannot be read, or does not contain a dictionary with strings as keys.
    """
    try:
        with open_file(path) as file:
            start = file.read(_NUM_START_BYTES)
    except OSError as error:
        raise ModelError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    if not start.startswith(_MAGIC):
        raise ModelError(f"{path} is not a checkpoint of PyTorch: it is {describe_content(start)}")
    try:
        with torch.serialization.safe_globals(_SAFE_NUMPY_GLOBALS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types for files of another kind
        reason = _find_foreign_archive(path) or _explain(error)
        raise ModelError(f"cannot read the checkpoint {path}: {reason}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is not a checkpoint: expected a dictionary, got a {type(content).__name__}")
    if not all(isinstance(key, str) for key in content):
        raise ModelError(f"{path} is not a checkpoint: all keys must be strings")
    return content


def _find_foreign_archive(path: Path) -> str:
    """Return what a ZIP archive is that is not a checkpoint; empty for a checkpoint or a damaged archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(name).name for name in archive.namelist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return ""
    if "constants.pkl" in names:
        return "the file is a TorchScript program, which could run code; save its state_dict alone"
    if "data.pkl" not in names:
        return f"the file is a zip archive of {len(names)} other files; unpack it, and give its checkpoint"
    return ""


def _explain(error: Exception) -> str:
    """Return why torch cannot read a checkpoint, without its advice to run code of the file."""
    foreign = _FOREIGN_OBJECT.search(str(error))
    if foreign:
        return (
            f"the file contains an object of {foreign[1]}, which could run code; save its state_dict alone, "
            "where you trust the file"
        )
    return f"the file is damaged or cut short ({type(error).__name__}); copy or download it again"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the weights of a published checkpoint, without the prefix `module.` of their names.

    Raises:
        ModelError: the file cannot be read, or does not contain weights.
    """
    content = read_checkpoint(path)
    weights = content.get("state_dict", content)
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise ModelError(f"{path} does not contain a state_dict of tensors")
    return {key.removeprefix("module."): value for key, value in weights.items()}


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically. Create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial_path:
        torch.save(content, partial_path)
