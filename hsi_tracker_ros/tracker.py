"""Following chosen targets through hyperspectral video with HA-Net.

One search crop per target and frame, all targets as one batch. A lost target is looked for in more crops,
around where it was last seen and, in turns, all over the image.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from hsi_tracker_ros.cubes.bands import BandMatcher
from hsi_tracker_ros.cubes.false_color import false_color, white_level
from hsi_tracker_ros.hanet.config import RESPONSE_SIZE, STRIDE
from hsi_tracker_ros.hanet.crops import SquareCrop, cut, search_side, template_side
from hsi_tracker_ros.hanet.model import HANetModel, Kernels, Maps, stack
from hsi_tracker_ros.hanet.storage import load_network
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import FrameRefused, ModelError, TargetRefused
from tracking_runtime.geometry import clip_to_image
from tracking_runtime.spectral import SpectralInfo
from tracking_runtime.timing import StageTimes

Floats = NDArray[np.float32]


class TargetStatus(IntEnum):
    """How a target fares; values as in TargetTrack.msg."""

    TRACKING = 1
    UNCERTAIN = 2
    LOST = 3


@dataclass(frozen=True)
class TargetState:
    """One target in one frame.

    Attributes:
        id: as given by ``set_target``.
        box: ``(4,)`` x, y, width, height in image pixels.
        score: 0..1, how surely the box holds the target.
        state: how it fares.
        label: as given to ``set_target``.
        frames_since_seen: since the last TRACKING, 0 while TRACKING.
        template_stamp_ns: stamp of the frame that the newest template was cut from.
    """

    id: int
    box: NDArray[np.float64]
    score: float
    state: TargetStatus
    label: str
    frames_since_seen: int
    template_stamp_ns: int


@dataclass(frozen=True)
class TrackerSettings:
    """How responses become boxes, and when a target is lost.

    Attributes:
        window_influence: weight of the cosine window, which holds a target where it was (SiamBAN).
        penalty_k: how strongly a change of size or shape counts against a response (SiamBAN).
        peak_width: a response this much below the best, in logits, is worth 1/e of it; SiamBAN takes the
            probability instead, which tells responses that are all near 1 from each other no more.
        size_rate: how fast a box takes the size that the response gives (SiamBAN's LR).
        motion_rate: share of the newest step in the motion expected for the next frame, by which the search
            crop is moved; 0: none is expected (SiamBAN).
        minimum_side: no side of a box becomes smaller, in pixels (SiamBAN: 10).
        online_interval: frames after which the most confident of them becomes the online template; 0: never.
        online_weight: of the online template's score map in the sum with the first template's.
        online_score: a frame less confident than this never becomes a template.
        certain_score: at and above it a target is TRACKING.
        lost_score: below it a target's box stays where it was.
        lost_after: frames in a row below ``lost_score`` after which a target is LOST.
        found_score: a LOST target is found where the score reaches this.
        redetection_crops: further crops per frame in which a LOST target is looked for.
    """

    window_influence: float = 0.35
    penalty_k: float = 0.08
    peak_width: float = 3.0
    size_rate: float = 0.40
    motion_rate: float = 0.7
    minimum_side: float = 3.0
    online_interval: int = 10
    online_weight: float = 0.25
    online_score: float = 0.99
    certain_score: float = 0.75
    lost_score: float = 0.5
    lost_after: int = 5
    found_score: float = 0.95
    redetection_crops: int = 3


@dataclass
class _Target:
    """What the tracker knows of a target between frames."""

    id: int
    label: str
    box: NDArray[np.float64]
    first: Kernels
    online: Kernels
    template_stamp_ns: int
    motion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    status: TargetStatus = TargetStatus.TRACKING
    score: float = 1.0
    frames_since_seen: int = 0
    frames_below: int = 0
    scan: int = 0
    frames_to_update: int = 0
    candidate: _Candidate | None = None

    def state(self) -> TargetState:
        return TargetState(
            self.id,
            self.box.copy(),
            self.score,
            self.status,
            self.label,
            self.frames_since_seen,
            self.template_stamp_ns,
        )


@dataclass(frozen=True)
class _Candidate:
    """The most confident frame since the last online template, cut as a template."""

    score: float
    image: NDArray[np.uint8]
    cube: Floats
    stamp_ns: int


@dataclass(frozen=True)
class _View:
    """A frame with what every crop of it needs."""

    cube: NDArray[Any]
    wavelengths_nm: tuple[float, ...]
    bands: BandMatcher
    black: float
    white: float
    means: Floats
    mean_color: NDArray[np.float64] = field(repr=False)

    def crops(self, crop: SquareCrop, image_size: int, cube_size: int) -> tuple[NDArray[np.uint8], Floats]:
        """A square in false colour, and as a cube relative to the frame's mean in each band."""
        rows, columns = crop.window(*self.cube.shape[:2])
        region = self.cube[rows, columns]
        local = crop.moved(-columns.start, -rows.start)
        if not region.size:
            region, local = (
                self.means[None, None] + self.black,
                SquareCrop(-crop.side, -crop.side, crop.side / 2),
            )
        image = false_color(region, self.wavelengths_nm, white=self.white, black=self.black)
        relative = cut(region.astype(np.float32, copy=False), local, cube_size, self.means + self.black)
        relative = (relative - self.black) / self.means
        relative = self.bands(relative)
        return cut(image, local, image_size, self.mean_color), np.ascontiguousarray(relative, np.float32)


@dataclass(frozen=True)
class _Match:
    """The best response in one search crop."""

    score: float
    box: NDArray[np.float64]
    rate: float
    response: Floats


class HsiTracker:
    """HA-Net with state: targets in, boxes out, frame after frame.

    Args:
        model: the network, ready to run.
        camera: the bands of the cubes; None: those of the model.
        settings: how responses become boxes.
        times: told how long ``crop``, ``engine`` and ``update`` take.

    Raises:
        CameraMismatch: the camera's bands don't cover the model's.
    """

    def __init__(
        self,
        model: HANetModel,
        settings: TrackerSettings | None = None,
        times: StageTimes | None = None,
        *,
        camera: SpectralInfo | None = None,
    ) -> None:
        self.model, self.settings = model, settings or TrackerSettings()
        self.times = times or StageTimes()
        self.camera = camera or SpectralInfo(model.wavelengths_nm)
        self.response: Floats | None = None
        self._bands = BandMatcher(self.camera, model.wavelengths_nm)
        self._targets: dict[int, _Target] = {}
        self._next_id = 1
        self._window = np.outer(np.hanning(RESPONSE_SIZE), np.hanning(RESPONSE_SIZE))
        offsets = (np.arange(RESPONSE_SIZE) - RESPONSE_SIZE // 2) * float(STRIDE)
        self._points = np.stack(np.meshgrid(offsets, offsets))

    def set_target(
        self,
        cube: NDArray[Any],
        box: ArrayLike,
        *,
        stamp_ns: int = 0,
        label: str = "",
        target_id: int | None = None,
    ) -> int:
        """Follow what a box holds in this frame.

        Args:
            cube: ``(height, width, bands)`` of the camera, uint8, uint16 or float32.
            box: x, y, width, height in pixels.
            stamp_ns: of the frame.
            label: what people call it.
            target_id: replaces that target, or gives the new one its id; None: a new id.

        Returns:
            the target's id, from 1.

        Raises:
            TargetRefused: the box is empty, not finite or outside the image; nothing has changed.
            FrameRefused: the frame cannot be used; nothing has changed.
        """
        view = self._view(cube)
        checked = _checked_box(box, width=cube.shape[1], height=cube.shape[0])
        if target_id is not None and target_id < 1:
            raise TargetRefused(f"ids of targets count from 1; {target_id} is none")
        crop = _square(checked, template_side(checked))
        kernels = self.model.encode(
            *view.crops(crop, self.model.config.template_size, self.model.spectral.template_size)
        )
        number = self._next_id if target_id is None else target_id
        replaced = {**self._targets, number: _Target(number, label, checked, kernels, kernels, stamp_ns)}
        self.model.prepare(len(replaced))
        self._targets = replaced
        self._next_id = max(self._next_id, number + 1)
        return number

    def clear_target(self, target_id: int | None) -> int:
        """Stop following a target, or with None all of them; returns how many that were."""
        cleared = (
            list(self._targets) if target_id is None else [target_id] if target_id in self._targets else []
        )
        for number in cleared:
            del self._targets[number]
        return len(cleared)

    def reset(self) -> None:
        """Forget all targets; ids count from 1 again."""
        self._targets, self._next_id, self.response = {}, 1, None

    def false_color(self, cube: NDArray[Any]) -> NDArray[np.uint8]:
        """A frame as the RGB branch sees it, ``(height, width, 3)`` BGR."""
        view = self._view(cube)
        return false_color(cube, view.wavelengths_nm, white=view.white, black=view.black)

    def track(
        self, cube: NDArray[Any], stamp_ns: int, *, only: Collection[int] | None = None
    ) -> list[TargetState]:
        """Find every target in the next frame.

        Args:
            cube: ``(height, width, bands)`` of the camera, uint8, uint16 or float32.
            stamp_ns: of the frame.
            only: ids of the targets that have not seen this frame yet; None: all.

        Raises:
            FrameRefused: the frame cannot be used; nothing has changed.
        """
        view = self._view(cube)
        targets = [target for target in self._targets.values() if only is None or target.id in only]
        self.response = None
        if not targets:
            return []
        places = [self._places(target, cube.shape[1], cube.shape[0]) for target in targets]
        owners = [index for index, crops in enumerate(places) for _ in crops]
        squares = [crop for crops in places for crop in crops]
        with self.times.stage("crop"):
            sizes = self.model.config.search_size, self.model.spectral.search_size
            images, cubes = (
                np.stack(crops) for crops in zip(*(view.crops(crop, *sizes) for crop in squares), strict=True)
            )
        with self.times.stage("engine"):
            first = stack([targets[index].first for index in owners])
            online = stack([targets[index].online for index in owners])
            maps = self.model.search(images, cubes, first, online)
        with self.times.stage("update"):
            for index, target in enumerate(targets):
                rows = [row for row, owner in enumerate(owners) if owner == index]
                matches = [
                    self._match(target, squares[row], Maps(*(part[row] for part in maps))) for row in rows
                ]
                best = max(matches, key=lambda match: match.score)
                self._update(target, best, width=cube.shape[1], height=cube.shape[0])
                self._remember(target, view, stamp_ns)
                if index == 0:
                    self.response = best.response
        return [target.state() for target in targets]

    def _view(self, cube: NDArray[Any]) -> _View:
        bands = len(self.camera.wavelengths_nm)
        if cube.ndim != 3 or cube.shape[2] != bands or not cube.size:
            raise FrameRefused(f"a cube of shape {cube.shape} where (height, width, {bands}) is expected")
        if cube.dtype not in (np.uint8, np.uint16, np.float32):
            raise FrameRefused(f"a cube of {cube.dtype}; known: uint8, uint16, float32")
        sample = cube[::4, ::4].astype(np.float32)
        if cube.dtype == np.float32 and not np.isfinite(cube.sum(dtype=np.float64)):
            raise FrameRefused("a cube with values that are not finite")
        black = self.camera.black_level
        means = np.maximum(sample.mean(axis=(0, 1)) - black, 1e-6)
        white = white_level(cube, black)
        nm = self.camera.wavelengths_nm
        mean_color = false_color(means[None, None] + black, nm, white=white, black=black)[0, 0]
        return _View(cube, nm, self._bands, black, white, means, mean_color.astype(np.float64))

    def _places(self, target: _Target, width: int, height: int) -> list[SquareCrop]:
        """Where to look for a target: around its last box; if it is lost, at some other places as well."""
        side = search_side(target.box)
        crops = [_square(target.box, side).moved(*target.motion)]
        if target.status is TargetStatus.LOST and self.settings.redetection_crops:
            around = _scan(crops[0], width, height)
            count = min(self.settings.redetection_crops, len(around))
            crops += [around[(target.scan + step) % len(around)] for step in range(count)]
            target.scan += count
        return crops

    def _match(self, target: _Target, crop: SquareCrop, maps: Maps) -> _Match:
        """SiamBAN's choice of a response: penalised for change of size, held by a cosine window."""
        settings = self.settings
        scale = crop.side / self.model.config.search_size
        weight = settings.online_weight if target.online is not target.first else 0.0
        logits = (1 - weight) * maps.first + weight * maps.online
        score = expit(logits)
        left, top, right, bottom = maps.loc
        width, height = left + right, top + bottom
        previous_width, previous_height = target.box[2:] / scale
        change = _ratio(_padded_size(width, height), _padded_size(previous_width, previous_height))
        change *= _ratio(width / height, previous_width / previous_height)
        penalty = np.exp(-(change - 1) * settings.penalty_k)
        held = 0.0 if target.status is TargetStatus.LOST else settings.window_influence
        peak = np.exp((logits - logits.max()) / settings.peak_width)
        ranked = penalty * peak * (1 - held) + self._window * held
        at = np.unravel_index(int(ranked.argmax()), ranked.shape)
        x = crop.x + (self._points[0][at] + (right[at] - left[at]) / 2) * scale
        y = crop.y + (self._points[1][at] + (bottom[at] - top[at]) / 2) * scale
        w, h = width[at] * scale, height[at] * scale
        rate = float(penalty[at] * score[at] * settings.size_rate)
        return _Match(
            float(score[at]),
            np.array([x - w / 2, y - h / 2, w, h], np.float64),
            rate,
            score.astype(np.float32),
        )

    def _update(self, target: _Target, match: _Match, *, width: int, height: int) -> None:
        settings = self.settings
        lost = target.status is TargetStatus.LOST
        target.score = match.score
        seen = match.score >= (settings.found_score if lost else settings.certain_score)
        if seen or (not lost and match.score >= settings.lost_score):
            size = (1 - match.rate) * target.box[2:] + match.rate * match.box[2:]
            size = np.clip(size, settings.minimum_side, (width, height))
            centre = np.clip(match.box[:2] + match.box[2:] / 2, 0, (width, height))
            step = centre - (target.box[:2] + target.box[2:] / 2)
            target.motion += settings.motion_rate * (step - target.motion)
            target.box = np.concatenate([centre - size / 2, size])
        else:
            target.motion[:] = 0
        if seen:
            target.status, target.frames_since_seen, target.frames_below, target.scan = (
                TargetStatus.TRACKING,
                0,
                0,
                0,
            )
            return
        target.frames_since_seen += 1
        target.frames_below = target.frames_below + 1 if match.score < settings.lost_score else 0
        if not lost:
            gone = target.frames_below >= settings.lost_after
            target.status = TargetStatus.LOST if gone else TargetStatus.UNCERTAIN

    def _remember(self, target: _Target, view: _View, stamp_ns: int) -> None:
        """Online update (paper, section 2.3): every so often the most confident frame is a template."""
        settings = self.settings
        if not settings.online_interval:
            return
        best = target.candidate.score if target.candidate else settings.online_score
        if target.status is TargetStatus.TRACKING and target.score >= best:
            crop = _square(target.box, template_side(target.box))
            crops = view.crops(crop, self.model.config.template_size, self.model.spectral.template_size)
            target.candidate = _Candidate(target.score, *crops, stamp_ns)
        target.frames_to_update += 1
        if target.frames_to_update >= settings.online_interval:
            target.frames_to_update = 0
            if target.candidate is not None:
                target.online = self.model.encode(target.candidate.image, target.candidate.cube)
                target.template_stamp_ns = target.candidate.stamp_ns
                target.candidate = None


def load_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    bands: SpectralInfo | None = None,
    *,
    settings: TrackerSettings | None = None,
    engine_settings: EngineSettings | None = None,
    times: StageTimes | None = None,
) -> HsiTracker:
    """A tracker with a model from disk.

    Args:
        name_or_path: of the model.
        engine: name of an engine, or ``auto``.
        bands: the camera; None: the one whose bands are fixed in the model.
        settings: how responses become boxes.
        engine_settings: precision and threads; ``engine`` goes before what it says.
        times: told how long each stage takes.

    Raises:
        ModelError: the model cannot be loaded, or fits any camera and none is given.
        CameraMismatch: the camera's bands don't cover the model's.
        EngineError: no engine works.
    """
    network = load_network(name_or_path)
    spectral = network.config.spectral
    if spectral is not None and spectral.wavelengths_nm is None:
        if bands is None:
            raise ModelError(f"model {name_or_path} fits any camera: say which, by its bands")
        network = network.bake(bands.wavelengths_nm)
    asked = replace(engine_settings or EngineSettings(), engine=engine)
    model = HANetModel(network, asked, Path(name_or_path).stem)
    return HsiTracker(model, settings, times, camera=bands)


def _checked_box(box: ArrayLike, *, width: int, height: int) -> NDArray[np.float64]:
    checked = np.array(box, dtype=np.float64).reshape(-1)
    if checked.shape != (4,) or not np.isfinite(checked).all():
        raise TargetRefused(
            f"a box is four finite numbers x, y, width, height, not {np.asarray(box).tolist()}"
        )
    if (checked[2:] <= 0).any():
        raise TargetRefused(f"a box of {checked[2]:g} x {checked[3]:g} pixels holds nothing")
    if (clip_to_image(checked, width, height)[0, 2:] <= 0).any():
        raise TargetRefused(f"the box {checked.tolist()} lies outside the image of {width} x {height} pixels")
    return checked


def _square(box: NDArray[np.float64], side: float) -> SquareCrop:
    return SquareCrop(float(box[0] + box[2] / 2), float(box[1] + box[3] / 2), side)


def _scan(last: SquareCrop, width: int, height: int) -> list[SquareCrop]:
    """Half-overlapping squares all over the image, those next to the last place first."""
    columns, rows = (np.arange(max(round(2 * length / last.side), 1)) + 0.5 for length in (width, height))
    centres = [(x * width / len(columns), y * height / len(rows)) for y in rows for x in columns]
    centres.sort(key=lambda centre: float(np.hypot(centre[0] - last.x, centre[1] - last.y)))
    return [replace(last, x=float(x), y=float(y)) for x, y in centres]


def _padded_size(width: Any, height: Any) -> Any:
    context = (width + height) / 2
    return np.sqrt((width + context) * (height + context))


def _ratio(value: Any, reference: Any) -> Any:
    ratio = value / reference
    return np.maximum(ratio, 1 / ratio)


__all__: Sequence[str] = ("HsiTracker", "TargetState", "TargetStatus", "TrackerSettings", "load_tracker")
