"""Finds candidates: peaks of the network's responses, scored with the spectra of their boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.hanet.inference import ResponseMaps
from hsi_tracker_ros.hanet.rgb_branch import ResponseGrid
from hsi_tracker_ros.tracker.candidates import Candidate, compute_rank, compute_response_score
from hsi_tracker_ros.tracker.search_batch import TargetSearch
from hsi_tracker_ros.tracker.search_regions import make_search_region
from hsi_tracker_ros.tracker.settings import TrackerSettings

Floats = NDArray[np.float32]

_PEAK_WIDTH = 5  # side of the neighborhood in which a peak is the maximum, in cells of the response
_DISTANCE_FLOOR = 0.2  # deviations of the frame by which spectra of the same object may differ


class CandidateFinder:
    """Finder of candidates by SiamBAN's ranking of responses, and by spectra.

    Args:
        grid: positions of the responses in a search crop.
        search_size: side of a search crop in its own pixels.
    """

    def __init__(self, grid: ResponseGrid, search_size: int) -> None:
        self._search_size = search_size
        self._window = np.outer(np.hanning(grid.size), np.hanning(grid.size))
        offsets = grid.compute_offsets().numpy()
        self._points = np.stack(np.meshgrid(offsets, offsets))

    def find_candidates(
        self, search: TargetSearch, maps: ResponseMaps, settings: TrackerSettings
    ) -> Iterator[Candidate]:
        """Find the candidates in all regions of a search, by both templates.

        Candidates lose log odds in regions away from the target's last box.

        Args:
            search: target, frame and regions.
            maps: responses of the network, one item for each region.
            settings: settings of the tracker.
        """
        target = search.target
        weight = settings.online_weight if target.templates.has_online else 0.0
        logits = (1 - weight) * maps.first + weight * maps.online
        last_region = make_search_region(target.box, target.displacement, target.geometry)
        is_near = last_region.contains(np.array([[region.x, region.y] for region in search.regions]))
        for index in range(len(search.regions)):
            penalty = 0.0 if is_near[index] else settings.score_elsewhere
            yield from self._find_in_region(search, index, logits, maps.loc, settings, penalty)

    def find_by_initial_template(
        self, search: TargetSearch, maps: ResponseMaps, settings: TrackerSettings
    ) -> Iterator[Candidate]:
        """Find the candidates in all regions of a search, by the initial template and without a penalty."""
        for index in range(len(search.regions)):
            yield from self._find_in_region(search, index, maps.first, maps.loc, settings, penalty=0.0)

    def _find_in_region(
        self,
        search: TargetSearch,
        index: int,
        logits: Floats,
        distances: Floats,
        settings: TrackerSettings,
        penalty: float,
    ) -> Iterator[Candidate]:
        """Find the highest peaks in one region.

        Args:
            search: target, frame and regions.
            index: index of the region.
            logits: logits ``(regions, 25, 25)`` of target against background.
            distances: distances ``(regions, 4, 25, 25)`` to the left, top, right and bottom of the boxes.
            settings: settings of the tracker.
            penalty: log odds that every candidate loses.
        """
        target = search.target
        region = search.regions[index]
        scale = region.compute_scale(self._search_size)
        boxes = _ResponseBoxes.decode(distances[index], target.size_correction)
        scale_penalty = boxes.compute_scale_penalty(target.box[2:] / scale, settings.penalty_k)
        response = settings.score_logit * logits[index]
        ranks = compute_rank(
            compute_response_score(response, response.max(), settings),
            scale_penalty,
            self._window,
            settings,
            is_lost=target.is_lost,
        )
        for peak in _find_peaks(ranks, settings.peaks):
            box = self._locate_box(boxes, peak, region, scale)
            log_distance = compute_log_spectral_distance(search, box)
            log_odds = settings.score_offset + response[peak] - settings.score_misfit * log_distance
            log_odds -= penalty
            yield Candidate(
                float(log_odds),
                float(scale_penalty[peak]),
                float(self._window[peak]),
                box,
                logits[index],
                log_distance,
                float(logits[index][peak]),
            )

    def _locate_box(
        self, boxes: _ResponseBoxes, peak: tuple[Any, ...], region: SquareCrop, scale: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the box of a peak in image pixels."""
        scale_x, scale_y = scale.tolist()
        x = region.x + (self._points[0][peak] + (boxes.right[peak] - boxes.left[peak]) / 2) * scale_x
        y = region.y + (self._points[1][peak] + (boxes.bottom[peak] - boxes.top[peak]) / 2) * scale_y
        width = boxes.width[peak] * scale_x
        height = boxes.height[peak] * scale_y
        return np.array([x - width / 2, y - height / 2, width, height], np.float64)


@dataclass(frozen=True)
class _ResponseBoxes:
    """Boxes of all cells of a response, in search pixels.

    Attributes:
        left: distance ``(25, 25)`` from the cell to the left side of the box.
        top: distance to the upper side.
        right: distance to the right side.
        bottom: distance to the lower side.
        width: corrected width of the box.
        height: corrected height of the box.
    """

    left: Floats
    top: Floats
    right: Floats
    bottom: Floats
    width: NDArray[np.float64]
    height: NDArray[np.float64]

    @classmethod
    def decode(cls, distances: Floats, size_correction: NDArray[np.float64]) -> _ResponseBoxes:
        """Return the boxes of distances ``(4, 25, 25)``, with their sizes corrected by two factors."""
        left, top, right, bottom = distances
        width = (left + right) * size_correction[0]
        height = (top + bottom) * size_correction[1]
        return cls(left, top, right, bottom, width, height)

    def compute_scale_penalty(
        self, previous_size: NDArray[np.float64], penalty_k: float
    ) -> NDArray[np.float64]:
        """Return the factors ``(25, 25)`` for the change of size and shape since the last frame (SiamBAN).

        Args:
            previous_size: last width and height of the target in search pixels.
            penalty_k: strength of the penalty; 0 disables.
        """
        previous_width, previous_height = previous_size
        change = _compute_change(
            _compute_padded_size(self.width, self.height),
            _compute_padded_size(previous_width, previous_height),
        )
        change *= _compute_change(self.width / self.height, previous_width / previous_height)
        return np.exp(-(change - 1) * penalty_k)


def compute_log_spectral_distance(search: TargetSearch, box: NDArray[np.float64]) -> float:
    """Return the natural logarithm of the spectral distance between a box and the target.

    Args:
        search: search for the target, with the frame.
        box: x, y, width, height in pixels, (4,).
    """
    distance = search.context.compute_distance(search.target.signature, box)
    return float(np.log(distance + _DISTANCE_FLOOR))


def _find_peaks(ranks: NDArray[Any], max_count: int) -> list[tuple[Any, ...]]:
    """Return the positions of the highest local maxima, highest first."""
    maxima = np.flatnonzero(ranks == maximum_filter(ranks, _PEAK_WIDTH))
    highest = maxima[np.argsort(-ranks.flat[maxima])][:max_count]
    return [np.unravel_index(index, ranks.shape) for index in highest]


def _compute_padded_size(width: Any, height: Any) -> Any:
    """Return the side of the square with the area of a box and its context."""
    context = (width + height) / 2
    return np.sqrt((width + context) * (height + context))


def _compute_change(value: Any, reference: Any) -> Any:
    """Return the ratio of two values, inverted if below 1."""
    ratio = value / reference
    return np.maximum(ratio, 1 / ratio)
