"""Models on disk: `NAME.yaml` (manifest) beside `NAME.safetensors` (weights).

The manifest describes the network and its inputs. Both files are checked when a model is loaded.
"""

from __future__ import annotations

import hashlib
import os
import re
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
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.files import atomic_write
from tracking_runtime.models import signatures
from tracking_runtime.untrusted.documents import DocumentError, parse_yaml
from tracking_runtime.untrusted.files import read_file
from tracking_runtime.untrusted.limits import DOCUMENT_BYTES

MODEL_PATH_VARIABLE = "RSTRACK_MODEL_PATH"

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")  # a file name without folder


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

    The signature is checked too if `signatures.set_required` or its environment variable asks for it.

    Args:
        name_or_path: name of the model, or path of its manifest or weights.
        architecture: architecture that the model must have, `hanet` or `spax`.

    Raises:
        ModelError: a file is missing or damaged, the architecture differs, or a required signature is missing
            or not valid; the message names the file.
    """
    path = find_model(name_or_path)
    manifest_content = _read_manifest_file(path)
    manifest = _parse_manifest(path, manifest_content)
    if signatures.is_required():
        signatures.verify(path, manifest_content)
    if manifest.architecture != architecture:
        raise ModelError(f"{path} is a model of architecture {manifest.architecture}, not {architecture}")
    weights_path, content = _read_weights(path, manifest)
    try:
        weights = load(content)
    except SafetensorError as error:
        raise ModelError(f"{weights_path} is not a safetensors file: {error}") from error
    return Model(manifest, weights, path)


def check_weights(path: Path) -> Manifest:
    """Check that the weights of a model belong to its manifest, and return the manifest.

    Args:
        path: path of the manifest.

    Raises:
        ModelError: a file is missing, damaged or not of this model.
    """
    manifest = read_manifest(path)
    _read_weights(path, manifest)
    return manifest


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
    return _parse_manifest(path, _read_manifest_file(path))


def _read_manifest_file(path: Path) -> bytes:
    try:
        DOCUMENT_BYTES.check(path.stat().st_size, path)
        return read_file(path)
    except (OSError, SourceError) as error:
        raise ModelError(f"{path} is not a model manifest: {error}") from error


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        manifest = dacite.from_dict(Manifest, parse_yaml(content), dacite.Config(strict=True))
    except (
        DocumentError,
        dacite.DaciteError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ModelError(f"{path} is not a model manifest: {error}") from error
    if not _MODEL_NAME.fullmatch(manifest.name):
        raise ModelError(f"{path}: name must be a file name without folder: got {manifest.name[:200]!r}")
    return manifest


def _read_weights(path: Path, manifest: Manifest) -> tuple[Path, bytes]:
    """Return path and content of the weights of a manifest. Raise ModelError if the checksum differs."""
    weights_path = path.with_suffix(".safetensors")
    try:
        content = read_file(weights_path)
    except OSError as error:
        raise ModelError(f"cannot read the weights {weights_path}: {error.strerror}") from error
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != manifest.weights_sha256:
        raise ModelError(
            f"{weights_path} does not belong to its manifest: sha256 {checksum[:12]}…, expected "
            f"{manifest.weights_sha256[:12]}…. Copy both files again"
        )
    return weights_path, content
