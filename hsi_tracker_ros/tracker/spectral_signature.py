"""Spectral signature of a target: measures how much a box differs from the target in all bands.

Spectra are relative to the mean of their frame in each band, so that a change of illumination has little
effect. Boxes are compared by Mahalanobis distances by the covariance of the frame, as in the RX detector
(Reed and Yu, 1990): a difference counts more in a direction in which the frame itself varies little.

The whole frame is searched by two angles, which hardly depend on brightness and on mixing with the
background: the angle between the spectra, and the angle between their logarithms in the white space of the
target's surroundings (see `matched_filter`). Color images have too few channels for angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from hsi_tracker_ros.cubes.channelwise import apply_channelwise
from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles
from hsi_tracker_ros.tracker.matched_filter import Background

Floats = NDArray[np.float32]

_CORE_FRACTION = 0.6  # side of a box's core as a fraction of the side of the box
_MIN_STRIDE_PX = 2  # distance between neighboring windows of the detection map
_NUM_SAMPLES = 6  # sampled pixels along each side of a core
_MIN_RELATIVE_VALUE = 1e-3  # lower bound of relative values, before their logarithm
_DIAGONAL_LOADING = 1e-2  # fraction of the mean variance that every direction of a covariance has at least
_MIN_BAND_MEAN = 1e-6  # lower bound of a band's mean, against division by zero
_SAME_ANGLE = 0.01  # radians by which the spectra of the same object may differ
_SAME_WHITE_ANGLE = 0.1  # radians by which they may differ in the white space of the surroundings
_MIN_SURROUNDINGS = 1.3  # sides of the surroundings' inner and outer border, in sides of the box
_MAX_SURROUNDINGS = 7.0
_MIN_BACKGROUND_PIXELS = 16  # number of surrounding pixels below which the whole frame is the background
_MAX_BACKGROUND_PIXELS = 4096  # largest number of pixels from which a background is estimated


@dataclass(frozen=True)
class FrameStatistics:
    """Spectral statistics of a frame.

    Attributes:
        black_level: digital number without light.
        band_means: mean ``(bands,)`` of the frame above black.
        saturation: value ``(bands,)`` of a clipped sample, relative to the mean; infinite if unknown.
        inverse_covariance: inverse covariance ``(bands, bands)`` of the logarithms of relative spectra.
    """

    black_level: float
    band_means: Floats
    saturation: Floats
    inverse_covariance: NDArray[np.float64]

    @classmethod
    def measure(cls, sample: Floats, black_level: float, saturation_level: float) -> FrameStatistics:
        """Measure the statistics in evenly spaced pixels of a frame.

        Args:
            sample: digital numbers ``(height, width, bands)``.
            black_level: digital number without light.
            saturation_level: digital number of a clipped sample; infinite if unknown.
        """
        band_means = np.maximum(sample.mean(axis=(0, 1)) - black_level, _MIN_BAND_MEAN)
        # A quarter of the pixels is enough for a covariance.
        spectra = sample[::2, ::2].reshape(-1, sample.shape[2])
        return cls(
            black_level,
            band_means,
            (saturation_level - black_level) / band_means,
            compute_inverse_covariance((spectra - black_level) / band_means),
        )

    def normalize(self, spectra: Floats) -> Floats:
        """Return spectra ``(..., bands)`` above black, relative to the mean of the frame."""
        relative: Floats = (spectra - self.black_level) / self.band_means
        return relative


class SpectralSignature:
    """Relative spectra of a target's core and its quarters in the frame in which the target was set.

    The signature never changes: an adaptive signature would also adapt to a look-alike. A comparison clips
    the signature to the saturation of the frame, so that a saturated band does not count as a difference.

    Args:
        spectra: relative spectra ``(5, bands)`` from `compute_core_spectra`.
        background: distribution from `estimate_background`; None: no distances by angles.
    """

    def __init__(self, spectra: Floats, background: Background | None = None) -> None:
        self._spectra = spectra.astype(np.float64)
        self._background = background

    def compute_distance(self, spectra: Floats, statistics: FrameStatistics) -> float:
        """Return the Mahalanobis distance between a box and the target.

        The distance is the geometric mean of the whole-core distance and of the best-matching quarter's, so
        that partial occlusion costs little.

        Args:
            spectra: relative spectra ``(5, bands)`` of the box from `compute_core_spectra`.
            statistics: statistics of the frame of the box.
        """
        reference = np.minimum(self._spectra, statistics.saturation)
        pairs = _compute_mahalanobis(spectra, reference, statistics.inverse_covariance)
        return float(np.sqrt(pairs[0, 0] * pairs[1:, 1:].min()))

    def compute_distances(self, spectra: NDArray[Any], statistics: FrameStatistics) -> NDArray[np.float64]:
        """Return the Mahalanobis distances ``(n,)`` of relative spectra ``(n, bands)`` to the whole core."""
        reference = np.minimum(self._spectra[:1], statistics.saturation)
        return _compute_mahalanobis(spectra, reference, statistics.inverse_covariance)[:, 0]

    def compute_angular_distances(
        self, spectra: NDArray[Any], statistics: FrameStatistics
    ) -> NDArray[np.float64]:
        """Return the distances ``(n,)`` of spectra to the whole core by their angles, in radians.

        The distance is the weighted geometric mean of the angle between the spectra, and of the angle after
        the background's covariance is made white. Without a background, the distances are Mahalanobis
        distances.

        Args:
            spectra: relative spectra ``(n, bands)``.
            statistics: statistics of the frame.
        """
        if self._background is None:
            return self.compute_distances(spectra, statistics)
        reference = np.minimum(self._spectra[:1], statistics.saturation)
        angles = compute_spectral_angles(spectra, reference) + _SAME_ANGLE
        logarithms = _compute_logarithms(spectra), _compute_logarithms(reference)
        white_angles = self._background.compute_angles(*logarithms) + _SAME_WHITE_ANGLE
        distances: NDArray[np.float64] = np.cbrt(angles * white_angles**2)[:, 0]
        return distances


def estimate_background(
    cube: NDArray[Any], box: NDArray[np.float64], statistics: FrameStatistics
) -> Background:
    """Return the distribution of the logarithms of relative spectra around a box.

    In logarithms a change of illumination is a constant. Without surroundings inside the frame, the
    distribution is that of the whole frame.

    Args:
        cube: cube ``(height, width, bands)``.
        box: x, y, width, height in pixels.
        statistics: statistics of the cube.
    """
    is_around = np.zeros(cube.shape[:2], bool)
    is_around[_find_window(box, _MAX_SURROUNDINGS)] = True
    is_around[_find_window(box, _MIN_SURROUNDINGS)] = False
    if is_around.sum() < _MIN_BACKGROUND_PIXELS:
        is_around[:] = True
    rows, columns = np.nonzero(is_around)
    step = -(-len(rows) // _MAX_BACKGROUND_PIXELS)
    spectra = cube[rows[::step], columns[::step]].astype(np.float32)
    return Background.estimate(_compute_logarithms(statistics.normalize(spectra)))


def _find_window(box: NDArray[np.float64], factor: float) -> tuple[slice, slice]:
    """Return the rows and columns of a box whose sides are multiplied by a factor."""
    center = box[:2] + box[2:] / 2
    left, top = np.maximum(np.floor(center - factor * box[2:] / 2), 0).astype(int)
    right, bottom = np.maximum(np.ceil(center + factor * box[2:] / 2), 0).astype(int)
    return slice(top, bottom), slice(left, right)


def compute_inverse_covariance(spectra: NDArray[Any]) -> NDArray[np.float64]:
    """Return the inverse covariance ``(bands, bands)`` of the logarithms of spectra ``(n, bands)``.

    In logarithms a change of illumination is a constant.
    """
    covariance = np.atleast_2d(np.cov(_compute_logarithms(spectra).T, bias=True))
    mean_variance = covariance.trace() / len(covariance)
    loading = max(_DIAGONAL_LOADING * mean_variance, _MIN_RELATIVE_VALUE**2)
    inverse: NDArray[np.float64] = np.linalg.inv(covariance + loading * np.eye(len(covariance)))
    return inverse


def _compute_mahalanobis(
    spectra: NDArray[Any], references: NDArray[Any], inverse_covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    logarithms = _compute_logarithms(spectra), _compute_logarithms(references)
    return np.asarray(cdist(*logarithms, "mahalanobis", VI=inverse_covariance))


def _compute_logarithms(spectra: NDArray[Any]) -> NDArray[np.float64]:
    return np.log(np.maximum(spectra, _MIN_RELATIVE_VALUE, dtype=np.float64))


def compute_core_spectra(cube: NDArray[Any], box: NDArray[np.float64], statistics: FrameStatistics) -> Floats:
    """Return the mean relative spectra ``(5, bands)`` of a box's core and of the core's four quarters.

    A part outside the image has zeros.

    Args:
        cube: cube ``(height, width, bands)``.
        box: x, y, width, height in pixels.
        statistics: statistics of the cube.
    """
    center = box[:2] + box[2:] / 2
    half_size = box[2:] * _CORE_FRACTION / 2
    core = (center, np.maximum(half_size, 0.5))
    quarter_half_size = np.maximum(half_size / 2, 0.5)
    quarters = [
        (center + np.array([x, y]) * half_size / 2, quarter_half_size) for y in (-1, 1) for x in (-1, 1)
    ]
    return np.stack([_compute_mean_spectrum(cube, *part, statistics) for part in (core, *quarters)])


def _compute_mean_spectrum(
    cube: NDArray[Any],
    center: NDArray[np.float64],
    half_size: NDArray[np.float64],
    statistics: FrameStatistics,
) -> Floats:
    (left, top), (right, bottom) = np.floor(center - half_size), np.ceil(center + half_size)
    part = cube[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)]
    if not part.size:
        return np.zeros_like(statistics.band_means)
    return statistics.normalize(part.mean(axis=(0, 1), dtype=np.float32))


def compute_sampled_spectra(
    cube: NDArray[Any], boxes: NDArray[np.float64], statistics: FrameStatistics
) -> Floats:
    """Return the mean relative spectra ``(n, bands)`` of the cores of many boxes, from 36 pixels each.

    Positions outside the image take the nearest pixel of its border.

    Args:
        cube: cube ``(height, width, bands)``.
        boxes: boxes ``(n, 4)`` x, y, width, height in pixels.
        statistics: statistics of the cube.
    """
    fractions = 0.5 + _CORE_FRACTION * ((np.arange(_NUM_SAMPLES) + 0.5) / _NUM_SAMPLES - 0.5)
    height, width = cube.shape[:2]
    x, y = np.moveaxis(boxes[:, None, :2] + boxes[:, None, 2:] * fractions[:, None], -1, 0)
    columns = np.clip(x, 0, width - 1).astype(int)
    rows = np.clip(y, 0, height - 1).astype(int)
    samples = cube[rows[:, :, None], columns[:, None, :]]
    return statistics.normalize(samples.mean(axis=(1, 2), dtype=np.float32))


def find_spectral_detections(
    cube: NDArray[Any],
    size: NDArray[np.float64],
    signature: SpectralSignature,
    statistics: FrameStatistics,
    max_count: int,
) -> NDArray[np.float64]:
    """Return the positions of a frame that match a signature best.

    A position is the center of a window of the size of the target's core. Neighboring windows overlap by
    half.

    Args:
        cube: cube ``(height, width, bands)``.
        size: width and height of the target in pixels; the larger one is the minimum distance between two
            positions.
        signature: signature of the target.
        statistics: statistics of the cube.
        max_count: maximum number of positions.

    Returns:
        positions ``(n, 2)`` in pixels, best first.
    """
    height, width = cube.shape[:2]
    window = np.clip(np.round(_CORE_FRACTION * size), 1, (width, height)).astype(int)
    stride = np.maximum(window // 2, _MIN_STRIDE_PX)
    distances = _compute_distance_map(cube, window, stride, signature, statistics)
    min_separation = np.maximum(np.ceil(size.max() / stride), 1).astype(int)
    cells = _select_minima(distances, min_separation, max_count)
    return cells * stride + window / 2


def _compute_distance_map(
    cube: NDArray[Any],
    window: NDArray[np.int_],
    stride: NDArray[np.int_],
    signature: SpectralSignature,
    statistics: FrameStatistics,
) -> NDArray[np.float64]:
    """Return the distances ``(rows, columns)`` between a signature and the windows of a frame.

    Args:
        cube: cube ``(height, width, bands)``.
        window: width and height of a window in pixels.
        stride: horizontal and vertical distance between windows in pixels.
        signature: signature of the target.
        statistics: statistics of the cube.
    """
    blur = partial(cv2.blur, ksize=window.tolist(), borderType=cv2.BORDER_REPLICATE)
    first = window // 2
    window_means = apply_channelwise(cube, blur)[first[1] :: stride[1], first[0] :: stride[0]]
    spectra = statistics.normalize(window_means.astype(np.float32))
    distances = signature.compute_angular_distances(spectra.reshape(-1, cube.shape[2]), statistics)
    return distances.reshape(spectra.shape[:2])


def _select_minima(
    distances: NDArray[np.float64], min_separation: NDArray[np.int_], max_count: int
) -> NDArray[np.int_]:
    """Return column and row ``(n, 2)`` of the smallest distances that are separated, smallest first.

    Args:
        distances: distances ``(rows, columns)``.
        min_separation: minimum number of columns and rows between two minima.
        max_count: maximum number of minima.
    """
    remaining = distances.copy()
    minima: list[tuple[int, int]] = []
    while len(minima) < max_count and np.isfinite(remaining).any():
        row, column = np.unravel_index(int(remaining.argmin()), remaining.shape)
        minima.append((int(column), int(row)))
        rows = slice(max(row - min_separation[1] + 1, 0), row + min_separation[1])
        columns = slice(max(column - min_separation[0] + 1, 0), column + min_separation[0])
        remaining[rows, columns] = np.inf
    return np.array(minima, int).reshape(-1, 2)
