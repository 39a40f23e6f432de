"""HA-Net with state: targets in, boxes out, frame after frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.hanet.inference import Kernels, Maps, SiameseModel, stack
from hsi_tracker_ros.tracker.box_refinement import fitted
from hsi_tracker_ros.tracker.candidates import PeakFinder, most_likely
from hsi_tracker_ros.tracker.frame_context import View, Viewer
from hsi_tracker_ros.tracker.search_regions import checked_box, search_area, search_areas, template_area
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.spectral_signature import Signature
from hsi_tracker_ros.tracker.target import SeenFrame, Sighting, Target, TargetState, TargetStatus
from tracking_runtime.boxes import clip_to_image, intersection_over_union
from tracking_runtime.errors import ModelError, TargetRefused
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.timing import StageTimes

Floats = NDArray[np.float32]

_DEEPEST_EASING = 2
_SIZE_TOLERANCE_PX = 8
_SAME_THING = 0.2
"""Overlap of the box that is given and the one that the network draws, if both mean the same."""


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
        self._viewer = Viewer(self.camera, model.wavelengths_nm)
        self._peaks = PeakFinder(model.grid, model.config.search_size)
        self.channels = self._viewer.channels
        self.response: Floats | None = None
        self.deepest_easing, self.size_tolerance_px = _DEEPEST_EASING, _SIZE_TOLERANCE_PX
        self._easing, self._turn = 0, 0
        self._usual = self.settings
        self._targets: dict[int, Target] = {}
        self._next_id = 1

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
        view = self._viewer.view(cube)
        checked = checked_box(box, width=cube.shape[1], height=cube.shape[0])
        if target_id is not None and target_id < 1:
            raise TargetRefused(f"ids of targets count from 1; {target_id} is none")
        kernels = self._encoded(view, checked)
        number = self._next_id if target_id is None else target_id
        inside = clip_to_image(checked, cube.shape[1], cube.shape[0])[0]
        signature = Signature(view.spectra(inside))
        target = Target(number, label, checked, kernels, kernels, signature, stamp_ns)
        self._calibrate(target, view)
        self._targets = {**self._targets, number: target}
        self._next_id = max(self._next_id, number + 1)
        return number

    def prepare(self) -> None:
        """Compile what searches for all targets at once; until then that is done for one after the other.

        It may take minutes; another thread may track meanwhile.

        Raises:
            EngineError: no engine works.
        """
        self.model.prepare(max(len(self._targets), 1))

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
        mine, theirs = (each.wavelengths_nm if each else None for each in (self.camera, other.camera))
        if mine != theirs:
            raise ModelError("its bands are not those of the other model: set the parameter camera")
        for number in self._targets.keys() & other._targets.keys():
            own, known = self._targets[number], other._targets[number]
            self._targets[number] = replace(
                known,
                first=own.first,
                online=own.online,
                size_correction=own.size_correction,
                candidate=None,
                sure_frame=None,
            )

    def false_color(self, cube: NDArray[Any]) -> NDArray[np.uint8]:
        """A frame as the RGB branch sees it, ``(height, width, 3)`` BGR."""
        return self._viewer.view(cube).color(cube)

    def track(
        self, cube: NDArray[Any], stamp_ns: int, *, only: Collection[int] | None = None
    ) -> list[TargetState]:
        """Find every target in the next frame.

        Args:
            cube: ``(height, width, bands)`` of the camera, uint8, uint16 or float32; it is kept, and is
                not to be written to any more.
            stamp_ns: of the frame.
            only: ids of the targets that have not seen this frame yet; None: all.

        Raises:
            FrameRefused: the frame cannot be used; nothing has changed.
        """
        view = self._viewer.view(cube)
        known = [target for target in self._targets.values() if only is None or target.id in only]
        self.response = None
        if not known:
            return []
        targets = self._in_turn(known)
        with self.times.stage("crop"):
            areas = [search_areas(target, view, self.settings) for target in targets]
            sizes = self.model.crop_sizes("search")
            looks = [view.crops(area, sizes) for own in areas for area in own]
            crops = [_stacked(each) for each in zip(*looks, strict=True)]
        with self.times.stage("engine"):
            wanted = [target for target, own in zip(targets, areas, strict=True) for _ in own]
            first, online = stack([each.first for each in wanted]), stack([each.online for each in wanted])
            maps = self.model.search(crops, first, online)
        with self.times.stage("update"):
            best = [
                self._follow(target, view, own, part, stamp_ns)
                for target, own, part in zip(targets, areas, _split(maps, areas), strict=True)
            ]
            self.response = expit(best[0].response)
        return [target.state() for target in known]

    def _encoded(self, view: View, box: NDArray[np.float64]) -> Kernels:
        """The template that a box of a frame shows."""
        return self.model.encode(*view.crops(template_area(box), self.model.crop_sizes("template")))

    def _in_turn(self, targets: list[Target]) -> list[Target]:
        """Those to look for in this frame; the others stay where they are, no more TRACKING."""
        count = -(-len(targets) >> self._easing)
        start = self._turn % len(targets)
        ordered = targets[start:] + targets[:start]
        self._turn += count
        for target in ordered[count:]:
            target.skip()
        return ordered[:count]

    def _follow(
        self, target: Target, view: View, areas: Sequence[SquareCrop], maps: Maps, stamp_ns: int
    ) -> Sighting:
        """Take a target to where it is most likely seen."""
        sightings = self._sightings(target, view, areas, maps)
        best = fitted(most_likely(sightings, target, self.settings), target, view, self.settings)
        height, width = view.pixels.shape[:2]
        was_there = partial(self._was_there, target)
        target.follow(best, self.settings, was_there, width=width, height=height)
        seen = SeenFrame(view, target.box.copy(), best.score, stamp_ns)
        if target.status is TargetStatus.TRACKING and target.presence.as_usual:
            target.sure_frame = seen
        target.look_around(sightings, areas)
        self._remember(target, seen)
        return best

    def _sightings(
        self, target: Target, view: View, areas: Sequence[SquareCrop], maps: Maps
    ) -> list[Sighting]:
        """What may be the target, in all areas."""
        weight = self.settings.online_weight if target.online is not target.first else 0.0
        logits = (1 - weight) * maps.first + weight * maps.online
        near = search_area(target.box, target.motion).holds(np.array([[area.x, area.y] for area in areas]))
        sightings = [
            sighting
            for row, area in enumerate(areas)
            for sighting in self._peaks.sightings(
                target, view, area, logits[row], maps.loc[row], self.settings, elsewhere=not near[row]
            )
        ]
        return target.recognise(sightings, self.settings)

    def _was_there(self, target: Target, sighting: Sighting) -> bool:
        """Whether something like a lost target was where it seems to be, while it surely was elsewhere."""
        least, sure = self.settings.alibi_evidence, target.sure_frame
        if not least or sure is None:
            return False
        seen = self._search(target, sure.view, search_area(sighting.box))
        return any(
            target.presence.share_of_usual(other.evidence) >= least
            and intersection_over_union(other.box, sure.box)[0, 0] < _SAME_THING
            for other in seen
        )

    def _search(self, target: Target, view: View, area: SquareCrop) -> list[Sighting]:
        """What one area of a frame shows that may be the target, by its first template."""
        crops = [crop[np.newaxis] for crop in view.crops(area, self.model.crop_sizes("search"))]
        kernels = stack([target.first])
        maps = self.model.search(crops, kernels, kernels)
        found = self._peaks.sightings(
            target, view, area, maps.first[0], maps.loc[0], self.settings, elsewhere=False
        )
        return list(found)

    def _calibrate(self, target: Target, view: View) -> None:
        """Learn how much larger or smaller than its given box the network draws a target."""
        share = self.settings.size_calibration
        if not share:
            return
        area = search_areas(target, view, self.settings)[0]
        drawn = most_likely(self._search(target, view, area), target, self.settings).box
        if intersection_over_union(drawn, target.box)[0, 0] >= _SAME_THING:
            target.size_correction = (target.box[2:] / drawn[2:]) ** share

    def _remember(self, target: Target, seen: SeenFrame) -> None:
        """Online update (paper, section 2.3): every so often the most confident frame is a template.

        Frames in which the target is not seen as usual do not count: it may be half hidden, or another thing.
        """
        settings = self.settings
        if not settings.online_interval or target.presence.confidence < settings.online_confidence:
            return
        sure = target.status is TargetStatus.TRACKING and seen.score >= settings.online_score
        if sure and (target.candidate is None or seen.score >= target.candidate.score):
            target.candidate = seen
        chosen = target.due_template(settings.online_interval)
        if chosen is not None:
            target.online = self._encoded(chosen.view, chosen.box)
            target.template_stamp_ns = chosen.stamp_ns


def _stacked(crops: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Crops as one batch; a single one is not copied."""
    return np.stack(crops) if len(crops) > 1 else crops[0][np.newaxis]


def _split(maps: Maps, areas: Sequence[Sequence[SquareCrop]]) -> Iterator[Maps]:
    """The maps of each target's areas."""
    ends = np.cumsum([len(own) for own in areas])[:-1]
    return (Maps(*part) for part in zip(*(np.split(each, ends) for each in maps), strict=True))
