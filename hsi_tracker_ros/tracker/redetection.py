"""Re-detection of lost targets: regions to search, and the backward check of what is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.tracker.candidates import Candidate
from hsi_tracker_ros.tracker.frame_context import FrameContext
from hsi_tracker_ros.tracker.search_batch import TargetSearch
from hsi_tracker_ros.tracker.search_regions import make_search_region
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.target import Target
from hsi_tracker_ros.tracker.target_searcher import TargetSearcher
from tracking_runtime.boxes import intersection_over_union

_SPIRAL_STRIDE = 0.6  # distance between neighboring regions of the spiral, in sides of a region
_NUM_DETECTIONS = 6  # spectral detections per frame that the regions show round robin
_SCALES = (1.0, 1.5, 1 / 1.5)  # sizes of the regions relative to the last one, one for each round
_SAME_OBJECT_IOU = 0.2  # IoU from which two boxes of one frame show the same object


def find_search_regions(target: Target, context: FrameContext, settings: TrackerSettings) -> list[SquareCrop]:
    """Return the regions of a frame to search for a target.

    A target in view is searched around its last box. A lost target is searched in several regions:

    - in every second frame around its last box, otherwise at the next step of a spiral around that box
    - around its re-detection candidate
    - round robin around the positions that match its spectrum best

    Args:
        target: the target; unchanged, see `advance_search`.
        context: the frame.
        settings: settings of the tracker.
    """
    last_region = make_search_region(target.box, target.displacement, target.geometry)
    if not _is_redetecting(target, settings):
        return [last_region]
    detections = context.find_detections(target.signature, target.box[2:], _NUM_DETECTIONS)
    index = target.search.detection_index

    # Step 1: one scale for each round over the detections.
    side = last_region.side * _SCALES[index // max(len(detections), 1) % len(_SCALES)]

    # Step 2: around the last box, or beside it.
    spiral_step, is_spiral_turn = divmod(target.search.frames_since_lost, 2)
    if is_spiral_turn:
        regions = [_make_spiral_region(last_region, spiral_step, context.image_size)]
    else:
        regions = [replace(last_region, side=max(side, last_region.side))]

    # Step 3: around the re-detection candidate, and around the next detections.
    candidate = target.confidence.candidate
    if candidate is not None:
        regions.append(make_search_region(candidate.box, geometry=target.geometry))
    for offset in range(min(_count_detection_regions(target, settings), len(detections))):
        x, y = detections[(index + offset) % len(detections)]
        regions.append(replace(last_region, x=float(x), y=float(y), side=side))
    return regions


def advance_search(target: Target, settings: TrackerSettings) -> None:
    """Advance the search of a lost target by one frame. Do nothing for a target in view."""
    if _is_redetecting(target, settings):
        target.search = target.search.advance(_count_detection_regions(target, settings))


def fails_backward_check(
    candidate: Candidate, target: Target, searcher: TargetSearcher, settings: TrackerSettings
) -> bool:
    """Return whether a re-detection was already visible while the target was somewhere else.

    The check searches the last confident frame around the candidate's box (forward-backward consistency, TLD,
    Kalal et al. 2012).

    Args:
        candidate: the re-detection.
        target: the lost target.
        searcher: search with the network.
        settings: settings of the tracker; `alibi_evidence` is the threshold.
    """
    frame = target.last_confident_frame
    if not settings.alibi_evidence or frame is None:
        return False
    search = TargetSearch(
        target, frame.context, [make_search_region(candidate.box, geometry=target.geometry)]
    )
    return any(
        target.confidence.normalize_log_odds(earlier.log_odds) >= settings.alibi_evidence
        and intersection_over_union(earlier.box, frame.box)[0, 0] < _SAME_OBJECT_IOU
        for earlier in searcher.find_by_initial_template(search, settings)
    )


def _is_redetecting(target: Target, settings: TrackerSettings) -> bool:
    return target.is_lost and settings.redetection_crops > 0


def _count_detection_regions(target: Target, settings: TrackerSettings) -> int:
    """Return the number of regions for spectral detections: all but the candidate's region."""
    return settings.redetection_crops - (target.confidence.candidate is not None)


def _make_spiral_region(region: SquareCrop, step: int, image_size: tuple[int, int]) -> SquareCrop:
    """Return the region of a step, from 0, of a search from one region outward, again and again."""
    width, height = image_size
    stride = _SPIRAL_STRIDE * region.side
    margin = stride / 4
    columns = np.arange((region.x + margin) % stride - margin, width + margin, stride)
    rows = np.arange((region.y + margin) % stride - margin, height + margin, stride)
    centers = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    nearest = np.argsort(np.hypot(*(centers - (region.x, region.y)).T), kind="stable")
    x, y = centers[nearest[(step + 1) % len(nearest)]]
    return replace(region, x=float(x), y=float(y)).round_to_eighths()
