"""Interface of the benchmark's trackers: their input, their output and their factory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import hsi_tracker_ros
from hsi_tracker_ros.cubes.false_color import find_white_level, render_false_color
from tracking_runtime.errors import TrackingError
from tracking_runtime.spectral_info import SpectralInfo

Box = NDArray[np.float64]

INPUT_CODE = ("simulation", "cubes", "benchmark/base.py")
"""Code that determines the trackers' input, as paths in this package."""


class BenchmarkSettingsError(TrackingError, ValueError):
    """The options of a benchmark are invalid."""


@dataclass(frozen=True)
class BenchmarkFrame:
    """Input of every tracker: one frame.

    Attributes:
        cube: hyperspectral image, (H, W, bands), or a BGR image of a camera without bands.
        spectral_info: bands of the camera. None: the camera has no bands.
        stamp_ns: stamp of the frame in nanoseconds.
    """

    cube: NDArray[Any]
    spectral_info: SpectralInfo | None
    stamp_ns: int

    @cached_property
    def false_color(self) -> NDArray[np.uint8]:
        """BGR image, (H, W, 3): the cube by the CIE color matching functions, or the camera's own image."""
        if self.spectral_info is None:
            return self.cube
        black_level = self.spectral_info.black_level
        white_level = find_white_level(self.cube, black_level)
        return render_false_color(
            self.cube, self.spectral_info.wavelengths_nm, white=white_level, black=black_level
        )


@dataclass(frozen=True)
class TargetPrediction:
    """Output of a tracker for one frame.

    Attributes:
        box: box of the target in pixels, (4,): x, y, width, height.
        is_lost: True if the tracker reports the target as lost.
        score: probability that the box contains the target, 0 to 1; None if the tracker has no score.
    """

    box: Box
    is_lost: bool
    score: float | None = None


class SingleTargetTracker(Protocol):
    """Tracker of one target through one video."""

    def initialize(self, frame: BenchmarkFrame, box: Box) -> None:
        """Set the target to the content of a box in the first frame."""

    def track(self, frame: BenchmarkFrame) -> TargetPrediction:
        """Return the target's box in the next frame."""


@dataclass(frozen=True)
class BenchmarkEntry:
    """A tracker that takes part in the benchmark.

    Attributes:
        name: name of the tracker in tables and plots.
        components: model, engine, settings and code of the tracker. A change of any invalidates its results.
        make_tracker: factory, called once per video with the camera's bands; None for a camera without bands.
            Raises CameraMismatchError if the bands do not fit.
    """

    name: str
    components: Mapping[str, str]
    make_tracker: Callable[[SpectralInfo | None], SingleTargetTracker]


class BenchmarkSuite(Protocol):
    """Choice of the trackers to compare."""

    def select_entries(self) -> list[BenchmarkEntry]:
        """Return the entries of the chosen trackers. The others are compared with the first.

        Raises:
            ModelError: a model does not exist or is of another kind.
            BenchmarkSettingsError: an unknown tracker is chosen.
        """


def filter_entries(entries: Sequence[BenchmarkEntry], names: Sequence[str]) -> list[BenchmarkEntry]:
    """Return the entries with the given names; all entries if no names are given.

    Raises:
        BenchmarkSettingsError: no entry has one of the names.
    """
    unknown = set(names) - {entry.name for entry in entries}
    if unknown:
        available = ", ".join(entry.name for entry in entries)
        raise BenchmarkSettingsError(
            f"--only must name trackers of the benchmark: got {', '.join(sorted(unknown))}; "
            f"available: {available}"
        )
    return [entry for entry in entries if not names or entry.name in names]


@lru_cache
def compute_code_sha256(*paths: str) -> str:
    """Return the SHA-256 of Python sources.

    Args:
        paths: files and folders, relative to this package.
    """
    root = Path(hsi_tracker_ros.__file__).parent
    digest = hashlib.sha256()
    for path in (root / relative_path for relative_path in paths):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()
