"""Tables of installed and published models for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import Manifest, list_model_folders, read_manifest
from tracking_runtime.models.public_models import PublicModel

_CHECKSUM_DIGITS = 12  # of a SHA-256 checksum in a table


def make_installed_table() -> Table:
    """Return a table of the models in all folders that are searched for models."""
    table = _make_table("Installed models", "name", "architecture", "MB", "sha256", "scores", "folder")
    for path in _list_manifests():
        try:
            manifest = read_manifest(path)
        except ModelError as error:
            table.add_row(path.stem, "[red]damaged", "", "", str(error), str(path.parent))
            continue
        table.add_row(*_describe_installed(path, manifest))
    return table


def make_public_table(models: Sequence[PublicModel]) -> Table:
    """Return a table of published models."""
    table = _make_table("Published models", "name", "model", "MB", "sha256", "license", "scores")
    for model in models:
        checksum = model.sha256[:_CHECKSUM_DIGITS]
        size = _format_megabytes(model.size)
        table.add_row(
            model.name, model.description, size, checksum, model.license, _format_scores(model.scores)
        )
    return table


def _list_manifests() -> list[Path]:
    """Return the manifest of each installed model; of several with one name, the first that is found."""
    manifests: dict[str, Path] = {}
    for folder in list_model_folders():
        for path in sorted(folder.glob("*.yaml")):
            manifests.setdefault(path.stem, path)
    return [manifests[name] for name in sorted(manifests)]


def _describe_installed(path: Path, manifest: Manifest) -> tuple[str, ...]:
    weights = path.with_suffix(".safetensors")
    size = _format_megabytes(weights.stat().st_size) if weights.exists() else "[red]missing"
    checksum = manifest.weights_sha256[:_CHECKSUM_DIGITS]
    needed = manifest.parameters.get("rgb_model")
    architecture = f"{manifest.architecture}, needs {needed}" if needed else manifest.architecture
    return manifest.name, architecture, size, checksum, _format_scores(manifest.scores), str(path.parent)


def _make_table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _format_scores(scores: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in scores.items() if isinstance(value, int | float))


def _format_megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"
