"""Whether a tracker of one target says when it is gone, only then, and finds it again.

An absence is a run of frames without the target; a return, the run of frames with it that follows. Either
counts if it lasts as long as the tracker is given for it. A target that was last seen at the image's border
has left the view; another is hidden.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import border_distance
from tracking_runtime.evaluation.one_pass import frame_overlaps

NOTICE_FRAMES = 10
RETURN_FRAMES = 15
FOUND_OVERLAP = 0.5
BORDER_PX = 1.0
"""From the image's border, within which a box touches it."""


@dataclass(frozen=True)
class LostAndFound:
    """Counts of one video, or of several together.

    Attributes:
        absences: of at least ``NOTICE_FRAMES`` frames.
        noticed: of them, those in whose first ``NOTICE_FRAMES`` frames the tracker called the target lost.
        exits: of the absences, those of a target that left the view.
        exits_noticed: of them, those noticed.
        returns: of at least ``RETURN_FRAMES`` frames.
        found: of them, those in whose first ``RETURN_FRAMES`` frames the tracker had the target again: not
            called lost, with an overlap of at least ``FOUND_OVERLAP``.
        entries: of the returns, those of a target that had left the view.
        entries_found: of them, those found.
        present: frames with the target.
        lost_present: of them, those in which the tracker called it lost.
        settled: frames with the target that are none of the first ``RETURN_FRAMES`` after an absence.
        lost_settled: of them, those in which the tracker called it lost.
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
    def figures(self) -> dict[str, float]:
        """Shares by what they mean; NaN where nothing of the kind happened."""
        return {
            f"called lost within {NOTICE_FRAMES} frames": _share(self.noticed, self.absences),
            "- where it left the view": _share(self.exits_noticed, self.exits),
            "called lost while visible": _share(self.lost_present, self.present),
            f"- but for {RETURN_FRAMES} frames after a return": _share(self.lost_settled, self.settled),
            f"found within {RETURN_FRAMES} frames of its return": _share(self.found, self.returns),
            "- where it had left the view": _share(self.entries_found, self.entries),
        }


def lost_and_found(
    predicted: ArrayLike, called_lost: ArrayLike, truth: ArrayLike, *, width: int, height: int
) -> LostAndFound:
    """Compare a tracker's answers to one video with the truth.

    Args:
        predicted: ``(frames, 4)`` boxes x, y, width, height in pixels.
        called_lost: ``(frames,)`` whether the tracker called the target lost.
        truth: ``(frames, 4)`` boxes, NaN or sizeless where the target is absent.
        width: of the image, in pixels.
        height: of the image, in pixels.

    Raises:
        ValueError: they have different lengths.
    """
    overlaps, lost = frame_overlaps(predicted, truth), np.asarray(called_lost, bool)
    if len(lost) != len(overlaps):
        raise ValueError(f"{len(lost)} answers of the tracker for {len(overlaps)} frames")
    present = np.isfinite(overlaps)
    having = ~lost & (np.nan_to_num(overlaps) >= FOUND_OVERLAP)
    at_border = border_distance(truth, width, height) <= BORDER_PX
    settled = present.copy()
    counts: Counter[str] = Counter()
    left = False
    for start, stop in _runs(present):
        if not present[start]:
            left = start > 0 and bool(at_border[start - 1])
            if stop - start >= NOTICE_FRAMES:
                noticed = bool(lost[start : start + NOTICE_FRAMES].any())
                counts.update(absences=1, noticed=noticed, exits=left, exits_noticed=left and noticed)
        elif start > 0:
            settled[start : start + RETURN_FRAMES] = False
            if stop - start >= RETURN_FRAMES:
                found = bool(having[start : start + RETURN_FRAMES].any())
                counts.update(returns=1, found=found, entries=left, entries_found=left and found)
    return LostAndFound(
        **counts,
        present=int(present.sum()),
        lost_present=int(lost[present].sum()),
        settled=int(settled.sum()),
        lost_settled=int(lost[settled].sum()),
    )


def together(videos: Sequence[LostAndFound]) -> LostAndFound:
    """The counts of several videos."""
    return LostAndFound(
        *(sum(getattr(video, field.name) for video in videos) for field in fields(LostAndFound))
    )


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First index, and that after the last, of each run of equal flags."""
    edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(flags)]
    return ((start, stop) for start, stop in pairwise(edges) if stop > start)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
