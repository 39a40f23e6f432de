"""The folder of the results of `rstrack demo`: files of an earlier demo are replaced, others never."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tracking_runtime.errors import SourceError

METRICS_FILE = "metrics.json"
OVERVIEW_FILE = "overview.png"
REPORT_FILE = "report.html"

_MARKER_FILE = ".rstrack_demo"
_MARKER_TEXT = "A folder of rstrack demo. The next demo replaces its own files here, and keeps all others.\n"
_RESULT_FILES = (METRICS_FILE, OVERVIEW_FILE, REPORT_FILE)
_BAG_FOLDER = "bag"
_NODES = ("player", "recorder", "visualizer", "*_tracker")
_SCENARIO_PATTERNS = (
    *(f"{node}.{suffix}" for node in _NODES for suffix in ("log", "yaml")),
    "frame_[0-9]*.jpg",
)
_BAG_PATTERNS = ("bag_*.mcap", "metadata.yaml", ".metadata.yaml.*")


def prepare_output(output: Path, scenarios: Sequence[str]) -> None:
    """Create the folder of a demo with a folder for each scenario, without the files of an earlier demo.

    Only files that a demo wrote are deleted. A demo marks its folder by a hidden file.

    Args:
        output: folder of the report.
        scenarios: names of the scenarios that run.

    Raises:
        SourceError: a file that a demo did not write is in the way, or the folder cannot be written.
    """
    try:
        if not (output / _MARKER_FILE).is_file():
            _check_is_free(output, scenarios)
        output.mkdir(parents=True, exist_ok=True)
        (output / _MARKER_FILE).write_text(_MARKER_TEXT)
        for name in scenarios:
            _prepare_scenario(output / name)
    except OSError as error:
        raise SourceError(f"{output} cannot be written: {error.strerror}; choose another --output") from error


def _check_is_free(output: Path, scenarios: Sequence[str]) -> None:
    """Raise SourceError if a folder that no demo wrote contains a name that a demo would write."""
    for name in (*_RESULT_FILES, *scenarios):
        path = output / name
        if path.is_symlink() or path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise SourceError(
                f"{output} must be empty or contain an earlier demo: got {name}, which rstrack demo did not "
                "write; move it, or choose another --output"
            )


def _prepare_scenario(folder: Path) -> None:
    """Create the folder of a scenario, and delete the files of an earlier demo in it."""
    if folder.is_symlink():
        raise SourceError(f"{folder} must be a folder: got a link; remove it, or choose another --output")
    folder.mkdir(exist_ok=True)
    _delete(_find_files(folder, _SCENARIO_PATTERNS))
    bag = folder / _BAG_FOLDER
    if bag.is_dir() and not bag.is_symlink():
        _delete(_find_files(bag, _BAG_PATTERNS))
        if not any(bag.iterdir()):
            bag.rmdir()
    if bag.exists() or bag.is_symlink():
        raise SourceError(
            f"{bag} must be the recording of an earlier demo: got other files; move it, or choose another "
            "--output"
        )


def _find_files(folder: Path, patterns: Iterable[str]) -> Iterator[Path]:
    return (path for pattern in patterns for path in folder.glob(pattern) if not path.is_dir())


def _delete(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink()
