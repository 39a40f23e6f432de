"""Models on disk: `NAME.yaml` (manifest) beside `NAME.safetensors` (weights).

The manifest describes the network and its inputs. Both files are checked when a model is loaded.
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

from tracking_runtime import files
from tracking_runtime.errors import ModelError
from tracking_runtime.files import atomic_write

MODEL_PATH_VARIABLE = "RSTRACK_MODEL_PATH"


@dataclass(frozen=True)
class Manifest:
    """Content of a model's YAML file. The attributes are its keys.

    Attributes:
        name: name of the model; the stem of both files.
        architecture: architecture of the network, `hanet` or `spax`.
        parameters: parameters of the network; the module of the network defines and checks them.
        training: data and settings of the training, for users.
        scores: metrics measured after the training by name, for users.
        weights_sha256: SHA-256 checksum of the weights file.
    """

    name: str
    architecture: str
    parameters: dict[str, Any]
    weights_sha256: str
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A manifest and its weights.

    Attributes:
        manifest: content of the manifest.
        weights: tensor of each parameter by its name.
        path: path of the manifest.
    """

    manifest: Manifest
    weights: dict[str, Tensor]
    path: Path


def list_model_folders() -> list[Path]:
    """Return the folders in which models are looked up by name, in the order of the search."""
    user_folders = [Path(path) for path in os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep) if path]
    return user_folders + files.list_data_folders("models")


def find_model(name_or_path: str | Path) -> Path:
    """Find the manifest of a model.

    Args:
        name_or_path: name of the model, or path of its manifest or weights.

    Raises:
        ModelError: no model is found; the message lists the searched folders and their models.
    """
    given = Path(name_or_path)
    if given.suffix in {".yaml", ".safetensors"}:
        manifest = given.with_suffix(".yaml")
        if not manifest.is_file():
            raise ModelError(f"no model manifest at {manifest}")
        return manifest
    folders = list_model_folders()
    for folder in folders:
        if (folder / f"{name_or_path}.yaml").is_file():
            return folder / f"{name_or_path}.yaml"
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise ModelError(
        f"no model named {name_or_path} in {', '.join(str(folder) for folder in folders)}; "
        f"available: {', '.join(names) or 'none'}. Give a name, a path, or set {MODEL_PATH_VARIABLE}"
    )


def load_model(name_or_path: str | Path, architecture: str) -> Model:
    """Load a model. Check the keys of its manifest, its architecture and the checksum of its weights.

    Args:
        name_or_path: name of the model, or path of its manifest or weights.
        architecture: architecture that the model must have, `hanet` or `spax`.

    Raises:
        ModelError: a file is missing or damaged, or the architecture differs; the message names the file.
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
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != manifest.weights_sha256:
        raise ModelError(
            f"{weights_path} does not belong to its manifest: sha256 {checksum[:12]}…, expected "
            f"{manifest.weights_sha256[:12]}…. Copy both files again"
        )
    try:
        weights = load(content)
    except SafetensorError as error:
        raise ModelError(f"{weights_path} is not a safetensors file: {error}") from error
    return Model(manifest, weights, path)


def check_name_is_free(folder: Path, name: str) -> None:
    """Raise ModelError if a folder contains a model of this name."""
    if (folder / f"{name}.yaml").exists():
        raise ModelError(f"{folder / name}.yaml exists: give another name, or remove that model")


def describe_provenance(checkpoint: Path, authors: str) -> dict[str, str]:
    """Return the entries of a manifest that state the origin of imported weights.

    Args:
        checkpoint: published checkpoint.
        authors: authors of the checkpoint.
    """
    return {
        "imported_from": checkpoint.name,
        "imported_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "by": f"{authors}; trained and measured by them, not here",
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
    """Write the two files of a model atomically.

    Args:
        folder: folder of the files; created if needed.
        name: name of the model; the stem of both files.
        architecture: architecture of the network, `hanet` or `spax`.
        parameters: parameters of the network.
        weights: tensor of each parameter by its name.
        training: data and settings of the training.
        scores: metrics measured after the training by name.

    Returns:
        Path of the manifest.
    """
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
    with atomic_write(path.with_suffix(".safetensors")) as partial_path:
        partial_path.write_bytes(content)
    with atomic_write(path) as partial_path:
        text = yaml.safe_dump(asdict(manifest), sort_keys=False, allow_unicode=True)
        partial_path.write_bytes(text.encode())
    return path


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ModelError: the file is not a manifest; the message names the file.
    """
    try:
        content = yaml.safe_load(path.read_text())
        return dacite.from_dict(Manifest, content, dacite.Config(strict=True))
    except (OSError, ValueError, yaml.YAMLError, dacite.DaciteError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a model manifest: {error}") from error
