"""Following chosen targets through hyperspectral video with HA-Net.

One search crop per target and frame, all targets as one batch. The response and the spectrum of a box tell
together how sure it is. A lost target is looked for in more crops, where the spectrum fits best.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter
from scipy.special import expit

from hsi_tracker_ros.cubes.bands import BandMatcher
from hsi_tracker_ros.cubes.false_color import false_color, white_level
from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.crops import SquareCrop, cut, search_side, template_side
from hsi_tracker_ros.hanet.model import Kernels, Maps, SiameseModel, stack
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.hanet.storage import load_network
from hsi_tracker_ros.signature import Signature, core_spectrum, likely_places
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import FrameRefused, ModelError, TargetRefused
from tracking_runtime.geometry import clip_to_image
from tracking_runtime.spectral import SpectralInfo
from tracking_runtime.timing import StageTimes

Floats = NDArray[np.float32]

_PEAK_WIDTH = 5
_DEEPEST_EASING = 2
_SIZE_TOLERANCE_PX = 8


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
        peak_width: a response this much below the best, in logits, is worth 1/e of it; 0: a response is worth
            its probability (SiamBAN), which tells responses that are all near 1 from each other no more.
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
        redetection_places: places with the best fitting spectra that these crops show in turns.
        redetection_scale: in every second round it is looked for this much larger, in every third smaller.
        peaks: of the responses in a crop, so many are compared by their spectra as well.
        score_offset: log odds that a box holds the target, where response and spectrum say nothing.
        score_logit: what each logit of the response adds to them.
        score_angle: what each radian between its spectrum and the target's takes from them.
        score_elsewhere: what it takes from them that a LOST target is seen elsewhere than where it was last.
        signature_rate: share of a certain frame's spectrum in the target's.
    """

    window_influence: float = 0.35
    penalty_k: float = 0.08
    peak_width: float = 3.0
    size_rate: float = 0.40
    motion_rate: float = 0.7
    minimum_side: float = 3.0
    online_interval: int = 10
    online_weight: float = 0.5
    online_score: float = 0.99
    certain_score: float = 0.75
    lost_score: float = 0.5
    lost_after: int = 5
    found_score: float = 0.95
    redetection_crops: int = 3
    redetection_places: int = 6
    redetection_scale: float = 1.5
    peaks: int = 4
    score_offset: float = 2.3
    score_logit: float = 0.8
    score_angle: float = 20.0
    score_elsewhere: float = 2.4
    signature_rate: float = 0.05


SIAMBAN = TrackerSettings(
    window_influence=0.463253,
    penalty_k=0.085136,
    peak_width=0.0,
    size_rate=0.444182,
    motion_rate=0.0,
    minimum_side=10.0,
    online_interval=0,
    lost_score=0.2,
    found_score=0.9,
    redetection_crops=0,
    peaks=1,
    score_offset=0.0,
    score_logit=1.0,
    score_angle=0.0,
)
"""SiamBAN's own tracker, as tuned for VOT2018, and thresholds of ours on its probability."""


@dataclass
class _Target:
    """What the tracker knows of a target between frames."""

    id: int
    label: str
    box: NDArray[np.float64]
    first: Kernels
    online: Kernels
    signature: Signature
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
    crops: tuple[NDArray[Any], ...]
    stamp_ns: int


@dataclass(frozen=True)
class _View:
    """A frame with what every crop of it needs.

    Attributes:
        pixels: ``(height, width, channels)``, a cube or a BGR picture.
        color: makes BGR of it or of a part of it.
        bands: makes the model's bands of the camera's; None: the model takes none.
        black: value of no light.
        means: ``(channels,)`` mean of the frame above black.
        ceiling: ``(channels,)`` what a saturated sample is, relative to the mean.
        mean_color: ``(3,)`` mean of the frame in BGR.
    """

    pixels: NDArray[Any]
    color: Callable[[NDArray[Any]], NDArray[np.uint8]]
    bands: BandMatcher | None
    black: float
    means: Floats
    ceiling: Floats
    mean_color: NDArray[np.float64] = field(repr=False)

    def crops(self, crop: SquareCrop, sizes: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
        """A square in colour, and for a second size as a cube relative to the frame's mean in each band."""
        rows, columns = crop.window(*self.pixels.shape[:2])
        region = self.pixels[rows, columns]
        local = crop.moved(-columns.start, -rows.start)
        if not region.size:
            fill = (self.means[None, None] + self.black).astype(self.pixels.dtype)
            region, local = fill, SquareCrop(-crop.side, -crop.side, crop.side / 2)
        image = cut(self.color(region), local, sizes[0], self.mean_color)
        if self.bands is None:
            return (image,)
        relative = cut(region.astype(np.float32, copy=False), local, sizes[1], self.means + self.black)
        relative = self.bands((relative - self.black) / self.means)
        return image, np.ascontiguousarray(relative, np.float32)

    def spectrum(self, box: NDArray[np.float64]) -> Floats:
        """Of the middle of a box, relative to the frame."""
        return core_spectrum(self.pixels, box, self.black, self.means)


@dataclass(frozen=True)
class _Match:
    """A peak of the responses in one search crop.

    Attributes:
        evidence: log odds that the box holds the target.
        penalty: what a change of size and shape leaves of it, 0..1.
        window: of the cosine window there, 0..1.
        box: x, y, width, height in image pixels.
        spectrum: of the box, relative to the frame.
        response: ``(25, 25)`` logits of its crop.
    """

    evidence: float
    penalty: float
    window: float
    box: NDArray[np.float64]
    spectrum: Floats
    response: Floats

    @property
    def score(self) -> float:
        """How surely the box holds the target, 0..1."""
        return float(expit(self.evidence))


class HsiTracker:
    """HA-Net with state: targets in, boxes out, frame after frame.

    Args:
        model: the network, ready to run.
        camera: the bands of the cubes; None: those of the model, and where it has none frames are pictures,
            BGR.
        settings: how responses become boxes.
        times: told how long ``crop``, ``engine`` and ``update`` take.

    Attributes:
        channels: of the frames.

    Raises:
        CameraMismatch: the camera's bands don't cover the model's.
    """

    def __init__(
        self,
        model: SiameseModel,
        settings: TrackerSettings | None = None,
        times: StageTimes | None = None,
        *,
        camera: SpectralInfo | None = None,
    ) -> None:
        self.model, self.settings = model, settings or TrackerSettings()
        self.times = times or StageTimes()
        self.camera = camera or (SpectralInfo(model.wavelengths_nm) if model.wavelengths_nm else None)
        self._wavelengths_nm = self.camera.wavelengths_nm if self.camera else None
        self.channels = len(self._wavelengths_nm or "bgr")
        self.response: Floats | None = None
        self._bands = (
            BandMatcher(self.camera, model.wavelengths_nm) if self.camera and model.wavelengths_nm else None
        )
        self.deepest_easing, self.size_tolerance_px = _DEEPEST_EASING, _SIZE_TOLERANCE_PX
        self._easing, self._turn = 0, 0
        self._usual = self.settings
        self._targets: dict[int, _Target] = {}
        self._next_id = 1
        self._window = np.outer(np.hanning(model.grid.size), np.hanning(model.grid.size))
        offsets = model.grid.offsets().numpy()
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
        kernels = self.model.encode(*view.crops(crop, self.model.crop_sizes("template")))
        number = self._next_id if target_id is None else target_id
        inside = clip_to_image(checked, cube.shape[1], cube.shape[0])[0]
        signature = Signature(view.spectrum(inside))
        target = _Target(number, label, checked, kernels, kernels, signature, stamp_ns)
        replaced = {**self._targets, number: target}
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

    def ease(self, level: int) -> None:
        """Do less in each frame: of the targets, 1 in 2^level is looked for, in turns, and in fewer places.

        Args:
            level: 0: do all there is to do, to ``deepest_easing``.
        """
        usual = self._usual
        crops, peaks = usual.redetection_crops >> level, max(usual.peaks >> level, 1)
        self._easing, self.settings = level, replace(usual, redetection_crops=crops, peaks=peaks)

    def take_over(self, other: HsiTracker) -> None:
        """Go on where another tracker of the same camera is, for the targets that were set on both.

        Raises:
            ModelError: the other is for a camera of other bands.
        """
        if other._wavelengths_nm != self._wavelengths_nm:
            raise ModelError("its bands are not those of the other model: set the parameter camera")
        for number in self._targets.keys() & other._targets.keys():
            mine, theirs = self._targets[number], other._targets[number]
            self._targets[number] = replace(theirs, first=mine.first, online=mine.online, candidate=None)

    def false_color(self, cube: NDArray[Any]) -> NDArray[np.uint8]:
        """A frame as the RGB branch sees it, ``(height, width, 3)`` BGR."""
        return self._view(cube).color(cube)

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
        known = [target for target in self._targets.values() if only is None or target.id in only]
        self.response = None
        if not known:
            return []
        targets = self._in_turn(known)
        with self.times.stage("crop"):
            places = [self._places(target, view) for target in targets]
        owners = [index for index, crops in enumerate(places) for _ in crops]
        squares = [crop for crops in places for crop in crops]
        with self.times.stage("crop"):
            sizes = self.model.crop_sizes("search")
            looks = [view.crops(crop, sizes) for crop in squares]
            crops = [np.stack(each) for each in zip(*looks, strict=True)]
        with self.times.stage("engine"):
            first = stack([targets[index].first for index in owners])
            online = stack([targets[index].online for index in owners])
            maps = self.model.search(crops, first, online)
        with self.times.stage("update"):
            for index, target in enumerate(targets):
                rows = [row for row, owner in enumerate(owners) if owner == index]
                own = [squares[row] for row in rows]
                best = self._match(target, view, own, Maps(*(part[rows] for part in maps)))
                self._update(target, best, width=cube.shape[1], height=cube.shape[0])
                self._remember(target, view, best, stamp_ns)
                if index == 0:
                    self.response = expit(best.response)
        return [target.state() for target in known]

    def _in_turn(self, targets: list[_Target]) -> list[_Target]:
        """Those to look for in this frame; the others stay where they are, no more TRACKING."""
        count = -(-len(targets) >> self._easing)
        start = self._turn % len(targets)
        ordered = targets[start:] + targets[:start]
        self._turn += count
        for target in ordered[count:]:
            target.frames_since_seen += 1
            target.status = max(target.status, TargetStatus.UNCERTAIN)
        return ordered[:count]

    def _view(self, pixels: NDArray[Any]) -> _View:
        if pixels.ndim != 3 or pixels.shape[2] != self.channels or not pixels.size:
            raise FrameRefused(
                f"a frame of shape {pixels.shape} where (height, width, {self.channels}) is expected"
            )
        if pixels.dtype not in ((np.uint8, np.uint16, np.float32) if self.camera else (np.uint8,)):
            raise FrameRefused(
                f"a frame of {pixels.dtype}; known: {'uint8, uint16, float32' if self.camera else 'uint8'}"
            )
        if pixels.dtype == np.float32 and not np.isfinite(pixels.sum(dtype=np.float64)):
            raise FrameRefused("a frame with values that are not finite")
        sample = pixels[::4, ::4].astype(np.float32)
        if self.camera is None:
            means = np.maximum(sample.mean(axis=(0, 1)), 1e-6)
            ceiling = 255 / means
            return _View(pixels, lambda picture: picture, None, 0.0, means, ceiling, means.astype(np.float64))
        black, nm = self.camera.black_level, self.camera.wavelengths_nm
        means = np.maximum(sample.mean(axis=(0, 1)) - black, 1e-6)
        color = partial(false_color, wavelengths_nm=nm, white=white_level(pixels, black), black=black)
        mean_color = color(means[None, None] + black)[0, 0].astype(np.float64)
        ceiling = ((self.camera.saturation_level or np.inf) - black) / means
        return _View(pixels, color, self._bands, black, means, ceiling, mean_color)

    def _places(self, target: _Target, view: _View) -> list[SquareCrop]:
        """Where to look for a target: around its last box; if it is lost, where its spectrum fits as well."""
        settings = self.settings
        around = _square(target.box, search_side(target.box)).moved(*target.motion).settled()
        if target.status is not TargetStatus.LOST or not settings.redetection_crops:
            return [around]
        likely = likely_places(
            view.pixels,
            target.box[2:],
            target.signature,
            view.black,
            view.means,
            view.ceiling,
            settings.redetection_places,
        )
        sizes = (1.0, settings.redetection_scale, 1 / settings.redetection_scale)
        side = around.side * sizes[target.scan // max(len(likely), 1) % len(sizes)]
        crops = [replace(around, side=side)]
        for step in range(min(settings.redetection_crops, len(likely))):
            x, y = likely[(target.scan + step) % len(likely)]
            crops.append(SquareCrop(float(x), float(y), side))
        target.scan += settings.redetection_crops
        return crops

    def _match(self, target: _Target, view: _View, crops: Sequence[SquareCrop], maps: Maps) -> _Match:
        """The response, of all crops, that is most likely the target."""
        weight = self.settings.online_weight if target.online is not target.first else 0.0
        logits = (1 - weight) * maps.first + weight * maps.online
        peaks = [
            peak
            for row, crop in enumerate(crops)
            for peak in self._peaks(target, view, crop, logits[row], maps.loc[row], elsewhere=row > 0)
        ]
        top = max(peak.evidence for peak in peaks)
        held = self._held(target)

        def rank(peak: _Match) -> float:
            worth = _worth(peak.evidence, top, self.settings.peak_width)
            return peak.penalty * worth * (1 - held) + peak.window * held

        return max(peaks, key=rank)

    def _held(self, target: _Target) -> float:
        """Weight of the cosine window: none for a target that may be anywhere."""
        return 0.0 if target.status is TargetStatus.LOST else self.settings.window_influence

    def _peaks(
        self,
        target: _Target,
        view: _View,
        crop: SquareCrop,
        logits: Floats,
        loc: Floats,
        *,
        elsewhere: bool,
    ) -> Iterator[_Match]:
        """SiamBAN's ranking of responses: penalised for change of size, held by a cosine window."""
        settings = self.settings
        scale = crop.side / self.model.config.search_size
        left, upper, right, lower = loc
        width, height = left + right, upper + lower
        previous_width, previous_height = target.box[2:] / scale
        change = _ratio(_padded_size(width, height), _padded_size(previous_width, previous_height))
        change *= _ratio(width / height, previous_width / previous_height)
        penalty = np.exp(-(change - 1) * settings.penalty_k)
        held = self._held(target)
        evidence = settings.score_logit * logits
        worth = _worth(evidence, evidence.max(), settings.peak_width)
        ranked = penalty * worth * (1 - held) + self._window * held
        summits = np.flatnonzero(ranked == maximum_filter(ranked, _PEAK_WIDTH))
        for flat in summits[np.argsort(-ranked.flat[summits])][: settings.peaks]:
            at = np.unravel_index(flat, ranked.shape)
            x = crop.x + (self._points[0][at] + (right[at] - left[at]) / 2) * scale
            y = crop.y + (self._points[1][at] + (lower[at] - upper[at]) / 2) * scale
            w, h = width[at] * scale, height[at] * scale
            box = np.array([x - w / 2, y - h / 2, w, h], np.float64)
            spectrum = view.spectrum(box)
            angle = float(target.signature.angles(spectrum, view.ceiling))
            odds = settings.score_offset + evidence[at] - settings.score_angle * angle
            odds -= settings.score_elsewhere * elsewhere
            yield _Match(float(odds), float(penalty[at]), float(self._window[at]), box, spectrum, logits)

    def _update(self, target: _Target, match: _Match, *, width: int, height: int) -> None:
        settings = self.settings
        lost = target.status is TargetStatus.LOST
        target.score = match.score
        seen = match.score >= (settings.found_score if lost else settings.certain_score)
        held = match.score >= settings.lost_score
        if seen or (held and not lost):
            rate = 1.0 if lost else match.penalty * match.score * settings.size_rate
            size = (1 - rate) * target.box[2:] + rate * match.box[2:]
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
        target.frames_below = 0 if held else target.frames_below + 1
        if not lost:
            gone = target.frames_below >= settings.lost_after
            target.status = TargetStatus.LOST if gone else TargetStatus.UNCERTAIN

    def _remember(self, target: _Target, view: _View, match: _Match, stamp_ns: int) -> None:
        """Online update (paper, section 2.3): every so often the most confident frame is a template."""
        settings = self.settings
        sure = target.status is TargetStatus.TRACKING and match.score >= settings.online_score
        if sure:
            target.signature.learn(match.spectrum, view.ceiling, settings.signature_rate)
        if not settings.online_interval:
            return
        best = target.candidate.score if target.candidate else settings.online_score
        if sure and target.score >= best:
            crop = _square(target.box, template_side(target.box))
            crops = view.crops(crop, self.model.crop_sizes("template"))
            target.candidate = _Candidate(target.score, crops, stamp_ns)
        target.frames_to_update += 1
        if target.frames_to_update >= settings.online_interval:
            target.frames_to_update = 0
            if target.candidate is not None:
                target.online = self.model.encode(*target.candidate.crops)
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
    if isinstance(network, HANet) and spectral is not None and spectral.wavelengths_nm is None:
        if bands is None:
            raise ModelError(f"model {name_or_path} fits any camera: say which, by its bands")
        network = network.bake(bands.wavelengths_nm)
    asked = replace(engine_settings or EngineSettings(), engine=engine)
    model = SiameseModel(network, asked, Path(name_or_path).stem)
    return HsiTracker(model, settings or tuned_settings(network.config), times, camera=bands)


def load_rgb_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    *,
    settings: TrackerSettings | None = None,
    engine_settings: EngineSettings | None = None,
    times: StageTimes | None = None,
    camera: SpectralInfo | None = None,
) -> HsiTracker:
    """A tracker with nothing but the RGB branch of a model from disk.

    Args:
        name_or_path: of the model, whatever it is for.
        engine: as of ``load_tracker``.
        settings: as of ``load_tracker``.
        engine_settings: as of ``load_tracker``.
        times: as of ``load_tracker``.
        camera: frames are its cubes, seen in false colour; None: frames are BGR pictures.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: no engine works.
    """
    network = load_network(name_or_path)
    alone = network.rgb_alone() if isinstance(network, HANet) else network
    asked = replace(engine_settings or EngineSettings(), engine=engine)
    model = SiameseModel(alone, asked, f"{Path(name_or_path).stem} rgb")
    return HsiTracker(model, settings or tuned_settings(alone.config), times, camera=camera)


def tuned_settings(config: HANetConfig) -> TrackerSettings:
    """The settings that go with a network: its own, and for what it does not say those of its kind.

    Raises:
        ModelError: there is no setting of that name.
    """
    usual = SIAMBAN if config.spectral is None else TrackerSettings()
    unknown = set(config.tracking) - {setting.name for setting in fields(usual)}
    if unknown:
        raise ModelError(f"the tracker has no settings {', '.join(sorted(unknown))}")
    return replace(usual, **{name: type(getattr(usual, name))(v) for name, v in config.tracking.items()})


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


def _padded_size(width: Any, height: Any) -> Any:
    context = (width + height) / 2
    return np.sqrt((width + context) * (height + context))


def _worth(evidence: Any, best: float, width: float) -> Any:
    """What a response counts among others, 0..1: how near it comes to the best, or its probability."""
    return np.exp((evidence - best) / width) if width else expit(evidence)


def _ratio(value: Any, reference: Any) -> Any:
    ratio = value / reference
    return np.maximum(ratio, 1 / ratio)


__all__: Sequence[str] = (
    "HsiTracker",
    "TargetState",
    "TargetStatus",
    "TrackerSettings",
    "load_rgb_tracker",
    "load_tracker",
)
