"""HA-Net as a tracker: targets are set in one frame and tracked through the frames that follow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from hsi_tracker_ros.hanet.inference import ResponseMaps, SiameseModel
from hsi_tracker_ros.tracker.box_refinement import refine_box
from hsi_tracker_ros.tracker.candidates import Candidate, select_best_candidate
from hsi_tracker_ros.tracker.frame_context import FrameContext, FrameContextFactory
from hsi_tracker_ros.tracker.redetection import advance_search, fails_backward_check, find_search_regions
from hsi_tracker_ros.tracker.search_batch import TargetSearch
from hsi_tracker_ros.tracker.search_regions import make_search_region, validate_box
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.target import SearchState, Target, TargetState, TargetStatus
from hsi_tracker_ros.tracker.target_searcher import TargetSearcher
from hsi_tracker_ros.tracker.templates import TemplateFrame, Templates
from tracking_runtime.boxes import clip_to_image, intersection_over_union
from tracking_runtime.errors import ModelError, TargetRefusedError
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.timing import StageTimes

_MAX_LOAD_LEVEL = 2
_SIZE_TOLERANCE_PX = 8  # rows and columns by which the frames of one stream may differ
_SAME_OBJECT_IOU = 0.2  # IoU from which the given box and the network's box show the same object
_WARM_UP_SIDE_PX = 64
_WARM_UP_BOX = (24, 24, 16, 16)


@dataclass(frozen=True)
class SearchResult:
    """Result of the search for one target in one frame.

    Attributes:
        boxes: boxes ``(candidates, 4)`` of the candidates in all search regions.
        features: their features ``(candidates, 5)``, in the order of `CandidateWeights`.
        best: the best candidate, whose box may have been refined.
        best_features: its features ``(5,)``.
        is_lost: True if the target was lost before the frame.
        is_at_border: True if the target was nearer to the border of the image than the size of its box.
    """

    boxes: NDArray[np.float64]
    features: NDArray[np.float64]
    best: Candidate
    best_features: NDArray[np.float64]
    is_lost: bool
    is_at_border: bool


class HsiTracker:
    """HA-Net as a tracker of the targets in the frames of one camera.

    Args:
        model: network on an engine.
        settings: settings of the tracker; None: the defaults.
        times: durations of the stages `crop`, `engine` and `update` are added here.
        camera: bands of the cubes; None: the bands of the model. Without both, frames are BGR images.

    Attributes:
        model: network on an engine.
        settings: current settings, at the load level.
        times: durations of the stages.
        camera: bands of the cubes; None: frames are BGR images.
        channels: number of channels of a frame.
        response: scores ``(25, 25)`` of the first target's best search region in the last frame; None without
            a target.
        last_search: search for the first target in the last frame; None without a target.
        max_load_level: highest load level.
        size_tolerance_px: rows and columns by which the frames of one stream may differ.

    Raises:
        CameraMismatchError: the camera's bands do not cover the model's.
    """

    def __init__(
        self,
        model: SiameseModel,
        settings: TrackerSettings | None = None,
        times: StageTimes | None = None,
        *,
        camera: SpectralInfo | None = None,
    ) -> None:
        self.model = model
        self.settings = settings or TrackerSettings()
        self.times = times or StageTimes()
        self.camera = camera or (SpectralInfo(model.wavelengths_nm) if model.wavelengths_nm else None)
        self._contexts = FrameContextFactory(self.camera, model.wavelengths_nm)
        self.channels = self._contexts.channels
        self.response: NDArray[np.float32] | None = None
        self.last_search: SearchResult | None = None
        self.max_load_level = _MAX_LOAD_LEVEL
        self.size_tolerance_px = _SIZE_TOLERANCE_PX
        self._searcher = TargetSearcher(model)
        self._full_settings = self.settings
        self._load_level = 0
        self._turn = 0
        self._targets: dict[int, Target] = {}
        self._next_id = 1

    @property
    def target_ids(self) -> list[int]:
        """Ids of the targets."""
        return list(self._targets)

    def set_target(
        self,
        cube: NDArray[Any],
        box: ArrayLike,
        *,
        stamp_ns: int = 0,
        label: str = "",
        target_id: int | None = None,
    ) -> int:
        """Start to track the object in a box of a frame.

        Args:
            cube: cube ``(height, width, bands)`` of the camera, uint8, uint16 or float32.
            box: x, y, width, height in pixels.
            stamp_ns: stamp of the frame.
            label: label of the target.
            target_id: id of the target, which replaces a target with this id; None: a new id.

        Returns:
            the target's id, from 1.

        Raises:
            TargetRefusedError: the box is empty, not finite or outside the image; nothing has changed.
            FrameRefusedError: the frame cannot be used; nothing has changed.
        """
        context = self._contexts.make_context(cube)
        checked_box = validate_box(box, context.image_size)
        if target_id is not None and target_id < 1:
            raise TargetRefusedError(f"target_id must be at least 1: got {target_id}")
        new_id = self._next_id if target_id is None else target_id
        kernels = self._searcher.encode_template(context, checked_box)
        templates = Templates(kernels, kernels, stamp_ns)
        inside = clip_to_image(checked_box, *context.image_size)[0]
        signature = context.make_signature(inside)
        target = Target(new_id, label, checked_box, templates, signature, self.model.geometry)
        target.size_correction = self._compute_size_correction(target, context)
        self._targets = {**self._targets, new_id: target}
        self._next_id = max(self._next_id, new_id + 1)
        return new_id

    def prepare_batch(self) -> None:
        """Build the engine that searches for all targets as one batch. Before, a search takes several runs.

        The build may take minutes. Another thread may track meanwhile.

        Raises:
            EngineError: no engine works.
        """
        self.model.compile_for_batch(max(len(self._targets), 1))

    def warm_up(self) -> None:
        """Run the network once on noise, because the first run of an engine is slow. Keep the state."""
        noise = np.random.default_rng(0).integers(
            0, 255, (_WARM_UP_SIDE_PX, _WARM_UP_SIDE_PX, self.channels), np.uint8
        )
        tracker = HsiTracker(self.model, self.settings, camera=self.camera)
        tracker.set_target(noise, _WARM_UP_BOX)
        tracker.track(noise, 0)

    def clear_target(self, target_id: int | None) -> int:
        """Stop tracking a target and return the number of deleted targets. None deletes all targets."""
        if target_id is None:
            cleared_ids = list(self._targets)
        else:
            cleared_ids = [target_id] if target_id in self._targets else []
        for cleared_id in cleared_ids:
            del self._targets[cleared_id]
        return len(cleared_ids)

    def reset(self) -> None:
        """Delete all targets. Ids start from 1 again."""
        self._targets = {}
        self._next_id = 1
        self.response = None
        self.last_search = None

    def set_load_level(self, level: int) -> None:
        """Set the load level: each frame searches for 1 of every 2^level targets, round robin.

        Args:
            level: from 0 (full work) to `max_load_level`. A higher level also searches fewer re-detection
                regions and compares fewer peaks.
        """
        full = self._full_settings
        self._load_level = level
        self.settings = replace(
            full, redetection_crops=full.redetection_crops >> level, peaks=max(full.peaks >> level, 1)
        )

    def copy_state_from(self, other: HsiTracker) -> None:
        """Continue from the state of another tracker, for the targets that were set on both.

        Args:
            other: tracker with another model in the frames of the same camera.

        Raises:
            ModelError: the other tracker is for a camera with other bands.
        """
        bands = self.camera.wavelengths_nm if self.camera else None
        other_bands = other.camera.wavelengths_nm if other.camera else None
        if bands != other_bands:
            raise ModelError(
                f"both models must use the same bands: got {_describe_bands(bands)} and "
                f"{_describe_bands(other_bands)}; set the parameter camera"
            )
        for shared_id in self._targets.keys() & other._targets.keys():
            target = self._targets[shared_id]
            state = other._targets[shared_id]
            # Kernels, sizes of boxes and responses belong to a network, and so do the frames for templates.
            templates = replace(
                state.templates,
                initial=target.templates.initial,
                online=target.templates.online,
                pending=None,
            )
            self._targets[shared_id] = replace(
                state,
                templates=templates,
                geometry=target.geometry,
                size_correction=target.size_correction,
                reference=target.reference,
                last_confident_frame=None,
            )

    def render_false_color(self, cube: NDArray[Any]) -> NDArray[np.uint8]:
        """Return a frame as the RGB branch gets it: a BGR image ``(height, width, 3)``."""
        return self._contexts.make_context(cube).render_false_color()

    def track(
        self, cube: NDArray[Any], stamp_ns: int, *, target_ids: Collection[int] | None = None
    ) -> list[TargetState]:
        """Track the targets in the next frame and return their states.

        Args:
            cube: cube ``(height, width, bands)`` of the camera, uint8, uint16 or float32. The tracker keeps
                the array; do not write to it afterward.
            stamp_ns: stamp of the frame.
            target_ids: ids of the targets to track, if others have seen this frame already; None: all.

        Raises:
            FrameRefusedError: the frame cannot be used; nothing has changed.
        """
        context = self._contexts.make_context(cube)
        targets = [
            target for target in self._targets.values() if target_ids is None or target.id in target_ids
        ]
        self.response = None
        self.last_search = None
        if not targets:
            return []
        searched_targets, waiting_targets = self._split_by_turn(targets)
        self._turn += len(searched_targets)
        for target in waiting_targets:
            target.coast()

        with self.times.measure("crop"):
            searches = [
                TargetSearch(target, context, find_search_regions(target, context, self.settings))
                for target in searched_targets
            ]
            for target in searched_targets:
                advance_search(target, self.settings)
            batch = self._searcher.cut_batch(searches)
        with self.times.measure("engine"):
            maps_per_search = self._searcher.run_batch(batch)
        with self.times.measure("update"):
            results = [
                self._update_target(search, maps, stamp_ns)
                for search, maps in zip(searches, maps_per_search, strict=True)
            ]
            self.last_search = results[0]
            self.response = expit(self.last_search.best.response)
        return [target.state for target in targets]

    def search_as_lost(self, cube: NDArray[Any], target_id: int, progress: SearchState) -> SearchResult:
        """Search a frame for a target as if it were lost, and change nothing.

        Args:
            cube: frame as of `track`.
            target_id: id of the target.
            progress: progress of the search, which determines the search regions.
        """
        context = self._contexts.make_context(cube)
        confidence = replace(self._targets[target_id].confidence, is_lost=True, candidate=None)
        target = replace(self._targets[target_id], confidence=confidence, search=progress)
        search = TargetSearch(target, context, find_search_regions(target, context, self.settings))
        (maps,) = self._searcher.run_batch(self._searcher.cut_batch([search]))
        return self._find_best_candidate(search, self._searcher.find_candidates(search, maps, self.settings))

    def _split_by_turn(self, targets: list[Target]) -> tuple[list[Target], list[Target]]:
        """Return the targets to search in this frame, and the others, round robin by the load level."""
        num_searched = -(-len(targets) >> self._load_level)
        first = self._turn % len(targets)
        ordered = targets[first:] + targets[:first]
        return ordered[:num_searched], ordered[num_searched:]

    def _find_best_candidate(self, search: TargetSearch, candidates: list[Candidate]) -> SearchResult:
        """Return the best candidate of a search, with the features of all."""
        target = search.target
        best = select_best_candidate(candidates, self.settings, is_lost=target.is_lost)
        best = refine_box(best, search, self.settings)
        return SearchResult(
            boxes=np.stack([candidate.box for candidate in candidates]),
            features=np.stack([target.compute_features(candidate) for candidate in candidates]),
            best=best,
            best_features=target.compute_features(best),
            is_lost=target.is_lost,
            is_at_border=target.is_at_border(search.context.image_size),
        )

    def _update_target(self, search: TargetSearch, maps: ResponseMaps, stamp_ns: int) -> SearchResult:
        """Update a target from the responses of its search, and return the result of the search."""
        target = search.target
        settings = self.settings

        # Step 1: find the best candidate and update the state.
        candidates = self._searcher.find_candidates(search, maps, settings)
        result = self._find_best_candidate(search, candidates)
        best = result.best
        backward_check = partial(
            fails_backward_check, target=target, searcher=self._searcher, settings=settings
        )
        target.update(best, settings, search.context.image_size, backward_check)

        # Step 2: learn from the frame.
        frame = TemplateFrame(search.context, target.box.copy(), best.score, stamp_ns)
        if target.status is TargetStatus.TRACKING and target.confidence.is_good:
            target.last_confident_frame = frame
        target.update_distractors(candidates, search.regions)
        self._update_online_template(target, frame)
        return result

    def _update_online_template(self, target: Target, frame: TemplateFrame) -> None:
        """Replace the online template by the best frame of each interval (paper, section 2.3).

        Frames with a lower confidence do not count: the target may be occluded, or another object.
        """
        settings = self.settings
        templates = target.templates
        if not settings.online_interval or target.confidence.value < settings.online_confidence:
            return
        if target.status is TargetStatus.TRACKING:
            templates.offer(frame)
        templates.frames_since_update += 1
        if templates.frames_since_update < settings.online_interval:
            return
        best_frame = templates.pending
        templates.begin_interval()
        if best_frame is not None:
            kernels = self._searcher.encode_template(best_frame.context, best_frame.box)
            templates.set_online(kernels, best_frame.stamp_ns)

    def _compute_size_correction(self, target: Target, context: FrameContext) -> NDArray[np.float64]:
        """Return factors ``(2,)`` from the size of the network's box to the given one, in the first frame.

        No correction if the network's box shows another object.
        """
        exponent = self.settings.size_calibration
        if not exponent:
            return target.size_correction
        search = TargetSearch(target, context, [make_search_region(target.box, geometry=target.geometry)])
        candidates = self._searcher.find_by_initial_template(search, self.settings)
        predicted_box = select_best_candidate(candidates, self.settings, is_lost=False).box
        if intersection_over_union(predicted_box, target.box)[0, 0] < _SAME_OBJECT_IOU:
            return target.size_correction
        return (target.box[2:] / predicted_box[2:]) ** exponent


def _describe_bands(wavelengths_nm: tuple[float, ...] | None) -> str:
    if wavelengths_nm is None:
        return "BGR images"
    return f"{len(wavelengths_nm)} bands from {min(wavelengths_nm):g} to {max(wavelengths_nm):g} nm"
