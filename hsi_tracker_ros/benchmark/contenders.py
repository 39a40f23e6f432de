"""Who runs over the videos: HA-Net, parts of it, and OpenCV's trackers on false colour."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

import hsi_tracker_ros
from hsi_tracker_ros.cubes.false_color import false_color, white_level
from hsi_tracker_ros.hanet.model import SiameseModel
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.hanet.storage import load_network
from hsi_tracker_ros.tracker import HsiTracker, TargetStatus, TrackerSettings
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import ModelError
from tracking_runtime.geometry import clip_to_image
from tracking_runtime.models import find_model, read_manifest
from tracking_runtime.spectral import SpectralInfo

REFERENCE = "HA-Net"
RGB_BRANCH = "RGB branch"
NOT_UPDATED = "without online update"

Box = NDArray[np.float64]

_SHOWING = ("simulation", "cubes", "benchmark/contenders.py")
_TRACKING = ("hanet", "tracker.py", "signature.py")
"""Code of which a contender's answers are made; a change of it makes old ones worthless."""


@dataclass(frozen=True)
class Shown:
    """A frame as it is shown to all contenders.

    Attributes:
        cube: ``(height, width, bands)`` of the camera.
        camera: its bands.
        stamp_ns: of the frame.
    """

    cube: NDArray[Any]
    camera: SpectralInfo
    stamp_ns: int

    @cached_property
    def false_color(self) -> NDArray[np.uint8]:
        """``(height, width, 3)`` BGR, by the CIE's colour matching functions."""
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
        make: a fresh tracker for one video of a camera. Raises CameraMismatch.
    """

    name: str
    ran: Mapping[str, str]
    make: Callable[[SpectralInfo], OneTargetTracker]


@dataclass(frozen=True)
class Lineup:
    """Whom to measure.

    Attributes:
        model: of HA-Net, by name or path.
        engine: that runs it.
    """

    model: str = "hanet_edge_vis16"
    engine: str = "auto"

    def contenders(self) -> list[Contender]:
        """Everyone that can run here; the first is ``REFERENCE``.

        Raises:
            ModelError: there is no such model.
        """
        return [*self._hanet(), *opencv_contenders()]

    def tracker(
        self, settings: TrackerSettings, camera: SpectralInfo, *, spectral: bool = True
    ) -> HsiTracker:
        """HA-Net for a camera, with or without its spectral branch.

        Raises:
            CameraMismatch: the camera's bands don't cover the model's.
            EngineError: no engine works.
        """
        config = _network(self.model).config.spectral
        bands = camera.wavelengths_nm if config is not None and config.wavelengths_nm is None else None
        return HsiTracker(_model(self.model, self.engine, bands, spectral), settings, camera=camera)

    def _hanet(self) -> list[Contender]:
        ours = TrackerSettings()
        ran = {
            "model": self.model,
            "weights sha256": read_manifest(find_model(self.model)).weights_sha256,
            "engine": self.engine,
            "code sha256": code_sha256(*_SHOWING, *_TRACKING),
        }

        def contender(name: str, settings: TrackerSettings, *, spectral: bool = True) -> Contender:
            return Contender(
                name,
                {**ran, "settings": repr(settings), "spectral branch": str(spectral)},
                lambda camera: _HsiContender(self.tracker(settings, camera, spectral=spectral)),
            )

        return [
            contender(REFERENCE, ours),
            contender(NOT_UPDATED, replace(ours, online_interval=0)),
            contender(RGB_BRANCH, as_siamban(ours), spectral=False),
        ]


def as_siamban(settings: TrackerSettings) -> TrackerSettings:
    """The same, without spectra: the box always follows the response, which no online template changes."""
    return replace(
        settings,
        online_interval=0,
        certain_score=0.0,
        lost_score=0.0,
        score_offset=0.0,
        score_angle=0.0,
        redetection_crops=0,
    )


@lru_cache(maxsize=4)
def _network(name: str) -> HANet:
    network = load_network(name)
    if not isinstance(network, HANet):
        raise ModelError(f"model {name} has no spectral branch, so that it is no HA-Net")
    return network


@lru_cache(maxsize=4)
def _model(name: str, engine: str, bands: tuple[float, ...] | None, spectral: bool) -> SiameseModel:
    """A model for these bands, None: its own; without spectra it is the RGB branch alone."""
    whole = _network(name)
    if not spectral:
        return SiameseModel(whole.rgb_alone(), EngineSettings(engine), f"{Path(name).stem} rgb")
    network = whole if bands is None else whole.bake(bands)
    return SiameseModel(network, EngineSettings(engine), Path(name).stem)


class _HsiContender:
    """An ``HsiTracker`` with one target."""

    def __init__(self, tracker: HsiTracker) -> None:
        self._tracker = tracker

    def start(self, shown: Shown, box: Box) -> None:
        self._tracker.set_target(shown.cube, box, stamp_ns=shown.stamp_ns)

    def track(self, shown: Shown) -> Answer:
        (target,) = self._tracker.track(shown.cube, shown.stamp_ns)
        return Answer(target.box, target.state is TargetStatus.LOST)


class OpenCVTracker:
    """One of OpenCV's trackers; where it finds nothing, the box stays and the target is lost."""

    def __init__(self, create: Callable[[], Any]) -> None:
        self._tracker = create()
        self._box = np.zeros(4)

    def start(self, shown: Shown, box: Box) -> None:
        """See :class:`OneTargetTracker`; OpenCV takes whole pixels."""
        height, width = shown.cube.shape[:2]
        self._box = clip_to_image(box, width, height)[0]
        left, top, right, bottom = np.round([*self._box[:2], *(self._box[:2] + self._box[2:])]).astype(int)
        whole = int(left), int(top), max(int(right - left), 1), max(int(bottom - top), 1)
        self._tracker.init(shown.false_color, whole)

    def track(self, shown: Shown) -> Answer:
        """See :class:`OneTargetTracker`."""
        found, box = self._tracker.update(shown.false_color)
        if found:
            self._box = np.array(box, np.float64)
        return Answer(self._box, not found)


OPENCV_TRACKERS = ("CSRT", "KCF", "MIL")


def missing_opencv_trackers() -> list[str]:
    """Those of OpenCV's trackers that this OpenCV was built without."""
    return [name for name in OPENCV_TRACKERS if not hasattr(cv2, f"Tracker{name}_create")]


def opencv_contenders() -> list[Contender]:
    """OpenCV's trackers, as far as this OpenCV has them: CSRT and KCF are in its contrib modules."""
    missing = missing_opencv_trackers()
    return [_opencv_contender(name) for name in OPENCV_TRACKERS if name not in missing]


def _opencv_contender(name: str) -> Contender:
    ran = {"tracker": name, "opencv": cv2.__version__, "code sha256": code_sha256(*_SHOWING)}
    create = getattr(cv2, f"Tracker{name}_create")
    return Contender(name, ran, lambda _: OpenCVTracker(create))


@lru_cache
def code_sha256(*places: str) -> str:
    """Of Python sources: files and folders of this package."""
    root = Path(hsi_tracker_ros.__file__).parent
    digest = hashlib.sha256()
    for place in places:
        for path in sorted((root / place).rglob("*.py")) if (root / place).is_dir() else [root / place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()
