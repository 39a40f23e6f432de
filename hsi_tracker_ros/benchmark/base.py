"""What every contender is given, and what it answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import hsi_tracker_ros
from hsi_tracker_ros.cubes.false_color import false_color, white_level
from tracking_runtime.spectral_info import SpectralInfo

Box = NDArray[np.float64]

SHOWING = ("simulation", "cubes", "benchmark/contenders.py")
"""Code that decides what contenders see."""


@dataclass(frozen=True)
class Shown:
    """A frame as it is shown to all contenders.

    Attributes:
        cube: ``(height, width, bands)`` of the camera; of an ordinary one BGR.
        camera: its bands; None: an ordinary one.
        stamp_ns: of the frame.
    """

    cube: NDArray[Any]
    camera: SpectralInfo | None
    stamp_ns: int

    @cached_property
    def false_color(self) -> NDArray[np.uint8]:
        """``(height, width, 3)`` BGR, by the CIE's colour matching functions, or the camera's own."""
        if self.camera is None:
            return self.cube
        black = self.camera.black_level
        white = white_level(self.cube, black)
        return false_color(self.cube, self.camera.wavelengths_nm, white=white, black=black)


@dataclass(frozen=True)
class Answer:
    """What a contender says of a frame.

    Attributes:
        box: ``(4,)`` x, y, width, height in pixels.
        lost: whether it called the target lost.
    """

    box: Box
    lost: bool


class OneTargetTracker(Protocol):
    """Follows one target through one video."""

    def start(self, shown: Shown, box: Box) -> None:
        """Follow what a box holds."""

    def track(self, shown: Shown) -> Answer:
        """The target in the next frame."""


@dataclass(frozen=True)
class Contender:
    """A tracker to measure.

    Attributes:
        name: in tables and plots.
        ran: what it is made of; figures are measured anew when it changes.
        make: a fresh tracker for one video of a camera, None for an ordinary one. Raises CameraMismatch.
    """

    name: str
    ran: Mapping[str, str]
    make: Callable[[SpectralInfo | None], OneTargetTracker]


@lru_cache
def code_sha256(*places: str) -> str:
    """Of Python sources: files and folders of this package."""
    root = Path(hsi_tracker_ros.__file__).parent
    digest = hashlib.sha256()
    for place in places:
        for path in sorted((root / place).rglob("*.py")) if (root / place).is_dir() else [root / place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()
