"""Peaks of the responses in search crops, and which of them is most likely the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.special import expit

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.hanet.rgb_branch import ResponseGrid
from hsi_tracker_ros.tracker.frame_context import View
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.target import Sighting, Target

Floats = NDArray[np.float32]

_PEAK_WIDTH = 5
_CLOSEST = 0.2
"""Deviations of a frame by which spectra of the same thing may differ."""


class PeakFinder:
    """SiamBAN's ranking of responses, penalised for change of size and held by a cosine window, with spectra.

    Args:
        grid: where the responses of a search crop lie.
        search_size: side of a search crop in its own pixels.
    """

    def __init__(self, grid: ResponseGrid, search_size: int) -> None:
        self._search_size = search_size
        self._window = np.outer(np.hanning(grid.size), np.hanning(grid.size))
        offsets = grid.offsets().numpy()
        self._points = np.stack(np.meshgrid(offsets, offsets))

    def sightings(
        self,
        target: Target,
        view: View,
        crop: SquareCrop,
        logits: Floats,
        loc: Floats,
        settings: TrackerSettings,
        *,
        elsewhere: bool,
    ) -> Iterator[Sighting]:
        """The highest peaks in one search crop.

        Args:
            target: that is looked for.
            view: of the frame.
            crop: that was searched.
            logits: ``(25, 25)`` by which target exceeds background.
            loc: ``(4, 25, 25)`` left, top, right, bottom of the boxes, in search pixels.
            settings: of the tracker.
            elsewhere: than where the target was last.
        """
        scale = crop.side / self._search_size
        left, upper, right, lower = loc
        width, height = (
            (left + right) * target.size_correction[0],
            (upper + lower) * target.size_correction[1],
        )
        previous_width, previous_height = target.box[2:] / scale
        change = _ratio(_padded_size(width, height), _padded_size(previous_width, previous_height))
        change *= _ratio(width / height, previous_width / previous_height)
        penalty = np.exp(-(change - 1) * settings.penalty_k)
        evidence = settings.score_logit * logits
        ranked = _rank(penalty, _worth(evidence, evidence.max(), settings), self._window, target, settings)
        summits = np.flatnonzero(ranked == maximum_filter(ranked, _PEAK_WIDTH))
        for flat in summits[np.argsort(-ranked.flat[summits])][: settings.peaks]:
            at = np.unravel_index(flat, ranked.shape)
            x = crop.x + (self._points[0][at] + (right[at] - left[at]) / 2) * scale
            y = crop.y + (self._points[1][at] + (lower[at] - upper[at]) / 2) * scale
            w, h = width[at] * scale, height[at] * scale
            box = np.array([x - w / 2, y - h / 2, w, h], np.float64)
            misfit = spectral_misfit(target, view, box)
            odds = settings.score_offset + evidence[at] - settings.score_misfit * misfit
            odds -= settings.score_elsewhere * elsewhere
            yield Sighting(float(odds), float(penalty[at]), float(self._window[at]), box, logits, misfit)


def spectral_misfit(target: Target, view: View, box: NDArray[np.float64]) -> float:
    """Logarithm of the distance between the spectra of a box and the target's."""
    return float(np.log(view.distance(target.signature, box) + _CLOSEST))


def most_likely(sightings: list[Sighting], target: Target, settings: TrackerSettings) -> Sighting:
    """The one of all crops that is most likely the target."""
    top = max(sighting.evidence for sighting in sightings)
    return max(
        sightings,
        key=lambda each: _rank(
            each.penalty, _worth(each.evidence, top, settings), each.window, target, settings
        ),
    )


def _rank(penalty: Any, worth: Any, window: Any, target: Target, settings: TrackerSettings) -> Any:
    """SiamBAN's; no window holds a target that may be anywhere."""
    held = 0.0 if target.lost else settings.window_influence
    return penalty * worth * (1 - held) + window * held


def _worth(evidence: Any, best: float, settings: TrackerSettings) -> Any:
    """What a response counts among others, 0..1: how near it comes to the best, or its probability."""
    width = settings.peak_width
    return np.exp((evidence - best) / width) if width else expit(evidence)


def _padded_size(width: Any, height: Any) -> Any:
    context = (width + height) / 2
    return np.sqrt((width + context) * (height + context))


def _ratio(value: Any, reference: Any) -> Any:
    ratio = value / reference
    return np.maximum(ratio, 1 / ratio)
