"""Models that their authors publish: where they are, under which license, and their download.

Nothing of them is part of this package. A download is accepted only with the size and the SHA-256 checksum of
the catalog.
"""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import dacite

from tracking_runtime.errors import ModelError
from tracking_runtime.files import atomic_write
from tracking_runtime.untrusted.documents import DocumentError, read_yaml_file

_TIMEOUT_S = 30.0  # without any byte from the server
_CHUNK_BYTES = 1 << 16
_SCHEMES = ("https://", "http://")
_NANOTRACK_URL = (
    "https://raw.githubusercontent.com/HonglinChu/SiamTrackers/248663fde6bf7c40190cf10ee396d5662919ecd3/"
    "NanoTrack/models/pretrained/"
)


@dataclass(frozen=True)
class PublicModel:
    """A published checkpoint. The attributes are the keys of a catalog file.

    Attributes:
        name: name of the model after the download.
        description: purpose of the model, in a few words.
        url: address of the checkpoint.
        sha256: SHA-256 checksum of the checkpoint, in hexadecimal digits.
        size: size of the checkpoint in bytes.
        license: identifier of the license (SPDX).
        importer: name of the command `rstrack import` that converts the checkpoint.
        scores: measured metrics by name, for users.
    """

    name: str
    description: str
    url: str
    sha256: str
    size: int
    license: str
    importer: str
    scores: dict[str, Any] = field(default_factory=dict)


_FEAR_URL = (
    "https://raw.githubusercontent.com/PinataFarms/FEARTracker/0a3bd039918909c79c1b7e55a4bfb7807520abde/"
    "evaluate/FEARDemo/FEARDemo/"
)

PUBLIC_MODELS: tuple[PublicModel, ...] = (
    PublicModel(
        name="fear_xs",
        description="color tracker, one target (PinataFarms/FEARTracker)",
        url=f"{_FEAR_URL}Tracker.mlmodel",
        sha256="2c01e12ee22f4effcbe0b4d68120b5ff99929c46280c0b9dca0c46230b7de47f",
        size=2_705_930,
        license="MIT",
        importer="fear",
        scores={"success": 0.702},
    ),
    PublicModel(
        name="nanotrack_v1",
        description="color tracker, one target (HonglinChu/SiamTrackers)",
        url=f"{_NANOTRACK_URL}nanotrackv1.pth",
        sha256="2a24bbfd1163a7692ab22100336a54de55dde12301b7d8ae7a4e745fb10b09a3",
        size=2_475_634,
        license="Apache-2.0",
        importer="nanotrack",
    ),
    PublicModel(
        name="nanotrack_v2",
        description="color tracker, one target (HonglinChu/SiamTrackers)",
        url=f"{_NANOTRACK_URL}nanotrackv2.pth",
        sha256="938a320c560fd8c8d6a148a76a072bca29c529ce16591c9a2157859ee0ecc5e1",
        size=2_095_829,
        license="Apache-2.0",
        importer="nanotrack",
    ),
    PublicModel(
        name="nanotrack_v3",
        description="color tracker, one target (HonglinChu/SiamTrackers)",
        url=f"{_NANOTRACK_URL}nanotrackv3.pth",
        sha256="4f0d25108385a67bdec5fa01ca37c74acb72343b53996dd645fe18b86e512e69",
        size=3_498_955,
        license="Apache-2.0",
        importer="nanotrack",
        scores={"success": 0.671},
    ),
)
"""Known models. Success: mean of 36 real color sequences of 130 frames, see docs/measurements.md."""


def read_catalog(path: Path) -> tuple[PublicModel, ...]:
    """Read the models of a catalog file: a YAML list whose items have the keys of `PublicModel`.

    Raises:
        ModelError: the file cannot be read, or an item is invalid.
    """
    try:
        items = read_yaml_file(path)
        if not isinstance(items, list):
            raise ModelError(f"{path} must be a list of models")
        models = tuple(dacite.from_dict(PublicModel, item, dacite.Config(strict=True)) for item in items)
    except (OSError, DocumentError, dacite.DaciteError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a catalog of models: {error}") from error
    for model in models:
        if not model.url.startswith(_SCHEMES):
            raise ModelError(
                f"{path}: url of {model.name} must begin with https:// or http://: got {model.url}"
            )
    return models


def select_public_model(name: str, models: Sequence[PublicModel]) -> PublicModel:
    """Return the model of a name.

    Raises:
        ModelError: no model has this name; the message lists the names.
    """
    for model in models:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in models)
    raise ModelError(f"no public model named {name}; available: {names}")


def download_checkpoint(
    model: PublicModel,
    path: Path,
    *,
    url: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Download the checkpoint of a model to a file. The file is written only if size and checksum are right.

    Args:
        model: model to download.
        path: file to write. Its folder must exist.
        url: address of a mirror; None: that of the model.
        on_progress: called with the number of bytes so far.

    Raises:
        ModelError: the server cannot be reached, or sends another file.
    """
    source = url or model.url
    if not source.startswith(_SCHEMES):
        raise ModelError(f"the address must begin with https:// or http://: got {source}")
    try:
        with urllib.request.urlopen(source, timeout=_TIMEOUT_S) as response, atomic_write(path) as partial:
            _copy_checked(response, partial, model, source, on_progress or (lambda _: None))
    except OSError as error:
        raise ModelError(
            f"cannot download {source}: {getattr(error, 'reason', error)}; without a network, copy the file "
            f"here and run: rstrack import {model.importer} FILE --name {model.name}"
        ) from error


def _copy_checked(
    response: BinaryIO, path: Path, model: PublicModel, source: str, on_progress: Callable[[int], None]
) -> None:
    """Copy a response to a file and check its size and checksum."""
    digest = hashlib.sha256()
    num_bytes = 0
    with path.open("wb") as file:
        while chunk := response.read(_CHUNK_BYTES):
            num_bytes += len(chunk)
            if num_bytes > model.size:
                raise ModelError(f"{source} must have {model.size} bytes: got more; the file has changed")
            file.write(chunk)
            digest.update(chunk)
            on_progress(num_bytes)
    if digest.hexdigest() != model.sha256:
        raise ModelError(
            f"{source} must have the SHA-256 checksum {model.sha256}: got {digest.hexdigest()} of "
            f"{num_bytes} bytes; the file has changed or is damaged"
        )
