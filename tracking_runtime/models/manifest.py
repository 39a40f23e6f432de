"""Models on disk: ``NAME.yaml``, the manifest, beside ``NAME.safetensors``, the weights.

The manifest says what the network is and what it expects; both files are checked before anything runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dacite
import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tracking_runtime import resources
from tracking_runtime.errors import ModelError

MODEL_PATH_VARIABLE = "RSTRACK_MODEL_PATH"


@dataclass(frozen=True)
class Manifest:
    """What a model is.

    Attributes:
        name: as people call it; the stem of both files.
        architecture: which network, ``hanet`` or ``spax``.
        parameters: what that network is built from; its own module defines and checks them.
        training: what it was trained on and how, for people.
        scores: figures measured after training, by name, for people.
        weights_sha256: of the weights file.
    """

    name: str
    architecture: str
    parameters: dict[str, Any]
    weights_sha256: str
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A manifest and the weights it describes, by parameter name."""

    manifest: Manifest
    weights: dict[str, Tensor]
    path: Path


def search_path() -> list[Path]:
    """Folders in which a model's name is looked up, first to last."""
    own = [Path(p) for p in os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep) if p]
    return own + resources.folders("models")


def find_model(name_or_path: str | Path) -> Path:
    """The manifest of a model given by name, or by the path of its manifest or weights.

    Raises:
        ModelError: there is none; the message lists the folders looked into and the names they hold.
    """
    given = Path(name_or_path)
    if given.suffix in {".yaml", ".safetensors"}:
        manifest = given.with_suffix(".yaml")
        if not manifest.is_file():
            raise ModelError(f"no model manifest at {manifest}")
        return manifest
    folders = search_path()
    for folder in folders:
        if (folder / f"{name_or_path}.yaml").is_file():
            return folder / f"{name_or_path}.yaml"
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise ModelError(
        f"no model named {name_or_path} in {', '.join(str(folder) for folder in folders)}; "
        f"there: {', '.join(known) or 'none'}. Give a name, a path, or set {MODEL_PATH_VARIABLE}"
    )


def load_model(name_or_path: str | Path, architecture: str) -> Model:
    """Read a model and check it: the manifest's fields, its architecture and the weights' checksum.

    Raises:
        ModelError: a file is missing, damaged, or not of this architecture; the message names it.
    """
    path = find_model(name_or_path)
    manifest = read_manifest(path)
    if manifest.architecture != architecture:
        raise ModelError(f"{path} is a model of architecture {manifest.architecture}, not {architecture}")
    weights_path = path.with_suffix(".safetensors")
    try:
        content = weights_path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the weights {weights_path}: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.weights_sha256:
        raise ModelError(
            f"{weights_path} does not belong to its manifest: sha256 {digest[:12]}…, expected "
            f"{manifest.weights_sha256[:12]}…. Copy both files again"
        )
    try:
        weights = load(content)
    except SafetensorError as error:
        raise ModelError(f"{weights_path} is not a safetensors file: {error}") from error
    return Model(manifest, weights, path)


def check_free(folder: Path, name: str) -> None:
    """Raise ModelError where there is a model of this name."""
    if (folder / f"{name}.yaml").exists():
        raise ModelError(f"{folder / name}.yaml exists: give another name, or remove that model")


def provenance(checkpoint: Path, by: str) -> dict[str, str]:
    """Where the weights of a published checkpoint come from, as a manifest tells it.

    Args:
        checkpoint: the file.
        by: its authors.
    """
    return {
        "imported_from": checkpoint.name,
        "imported_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "by": f"{by}; trained and measured by them, not here",
    }


def save_model(
    folder: Path,
    name: str,
    architecture: str,
    parameters: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    *,
    training: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model's two files, each whole or not at all, and return the manifest's path."""
    content = save({key: value.detach().cpu().contiguous() for key, value in weights.items()})
    manifest = Manifest(
        name=name,
        architecture=architecture,
        parameters=dict(parameters),
        weights_sha256=hashlib.sha256(content).hexdigest(),
        training=dict(training or {}),
        scores=dict(scores or {}),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    _write_whole(path.with_suffix(".safetensors"), content)
    _write_whole(path, yaml.safe_dump(asdict(manifest), sort_keys=False, allow_unicode=True).encode())
    return path


def read_manifest(path: Path) -> Manifest:
    """What a manifest says of its model.

    Raises:
        ModelError: it is no manifest; the message names the file.
    """
    try:
        values = yaml.safe_load(path.read_text())
        return dacite.from_dict(Manifest, values, dacite.Config(strict=True))
    except (OSError, ValueError, yaml.YAMLError, dacite.DaciteError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a model manifest: {error}") from error


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    os.replace(partial, path)
