"""LOST and re-detection statistics of single-object trackers.

An absence is a series of frames without the target. A return is the series of frames with the target after an
absence. Both count only if they last at least as long as the time limit of the tracker. If the target touched
the image's border in its last frame, the absence counts as an exit from the view. Otherwise, the target is
occluded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import compute_border_distance
from tracking_runtime.evaluation.one_pass import compute_frame_overlaps

NOTICE_FRAMES = 10
"""Time limit, in frames, within which an absence must be reported as LOST."""

RETURN_FRAMES = 15
"""Time limit, in frames, within which a target must be found after its return."""

FOUND_OVERLAP = 0.5
"""Minimum intersection over union of a found target."""

BORDER_PX = 1.0
"""Maximum distance, in pixels, of a box that touches the image's border."""


@dataclass(frozen=True)
class LostAndFound:
    """Counts of one or several videos.

    Attributes:
        absences: number of absences of at least `NOTICE_FRAMES` frames.
        noticed: number of them that are reported as LOST within their first `NOTICE_FRAMES` frames.
        exits: number of absences in which the target left the view.
        exits_noticed: number of exits that are noticed.
        returns: number of returns of at least `RETURN_FRAMES` frames.
        found: number of them in which the target is found within the first `RETURN_FRAMES` frames: not LOST,
            with an overlap of at least `FOUND_OVERLAP`.
        entries: number of returns of a target that had left the view.
        entries_found: number of entries that are found.
        present: number of frames with the target.
        lost_present: number of them that are reported as LOST.
        settled: number of frames with the target, without the first `RETURN_FRAMES` frames after an absence.
        lost_settled: number of them that are reported as LOST.
    """

    absences: int = 0
    noticed: int = 0
    exits: int = 0
    exits_noticed: int = 0
    returns: int = 0
    found: int = 0
    entries: int = 0
    entries_found: int = 0
    present: int = 0
    lost_present: int = 0
    settled: int = 0
    lost_settled: int = 0

    @property
    def metrics(self) -> dict[str, float]:
        """Fractions by their description; NaN if the event never happened."""
        return {
            f"called lost within {NOTICE_FRAMES} frames": _divide(self.noticed, self.absences),
            "- where it left the view": _divide(self.exits_noticed, self.exits),
            "called lost while visible": _divide(self.lost_present, self.present),
            f"- but for {RETURN_FRAMES} frames after a return": _divide(self.lost_settled, self.settled),
            f"found within {RETURN_FRAMES} frames of its return": _divide(self.found, self.returns),
            "- where it had left the view": _divide(self.entries_found, self.entries),
        }


def count_lost_and_found(
    predicted: ArrayLike, is_lost: ArrayLike, truth: ArrayLike, *, width: int, height: int
) -> LostAndFound:
    """Compare a tracker's predictions of one video with the ground truth.

    Args:
        predicted: boxes in pixels, (frames, 4): x, y, width, height.
        is_lost: True for frames in which the tracker reports LOST, (frames,).
        truth: boxes, (frames, 4); NaN or without a size if the target is absent.
        width: width of the image in pixels.
        height: height of the image in pixels.

    Raises:
        ValueError: the lengths differ.
    """
    overlaps = compute_frame_overlaps(predicted, truth)
    lost = np.asarray(is_lost, bool)
    if len(lost) != len(overlaps):
        raise ValueError(f"{len(lost)} predictions for {len(overlaps)} frames")
    is_present = np.isfinite(overlaps)
    is_found = ~lost & (np.nan_to_num(overlaps) >= FOUND_OVERLAP)
    is_at_border = compute_border_distance(truth, width, height) <= BORDER_PX
    is_settled = is_present.copy()
    counts: Counter[str] = Counter()
    has_left = False
    for start, stop in _find_series(is_present):
        if not is_present[start]:
            # An absence
            has_left = start > 0 and bool(is_at_border[start - 1])
            if stop - start >= NOTICE_FRAMES:
                noticed = bool(lost[start : start + NOTICE_FRAMES].any())
                counts.update(absences=1, noticed=noticed, exits=has_left, exits_noticed=has_left and noticed)
        elif start > 0:
            # A return
            is_settled[start : start + RETURN_FRAMES] = False
            if stop - start >= RETURN_FRAMES:
                found = bool(is_found[start : start + RETURN_FRAMES].any())
                counts.update(returns=1, found=found, entries=has_left, entries_found=has_left and found)
    return LostAndFound(
        **counts,
        present=int(is_present.sum()),
        lost_present=int(lost[is_present].sum()),
        settled=int(is_settled.sum()),
        lost_settled=int(lost[is_settled].sum()),
    )


def combine_lost_and_found(videos: Sequence[LostAndFound]) -> LostAndFound:
    """Add up the counts of several videos."""
    return LostAndFound(
        *(sum(getattr(video, field.name) for video in videos) for field in fields(LostAndFound))
    )


def _find_series(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Return the first index, and the index after the last, of each series of equal flags."""
    edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(flags)]
    return ((start, stop) for start, stop in pairwise(edges) if stop > start)


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
