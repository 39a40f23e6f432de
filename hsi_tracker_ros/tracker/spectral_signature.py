"""The spectral signature of a target: whether a box holds it, and where in a frame it may be.

Spectra are relative to the mean of their frame in each band, so that a change of the light's colour or
strength changes them little. What differs from the target least where the frame itself varies least is
most likely the target: a Mahalanobis distance by the frame's own covariance, as in the RX detector (Reed and
Yu, 1990).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from hsi_tracker_ros.cubes.channelwise import filtered

Floats = NDArray[np.float32]
Precision = NDArray[np.float64]

_CORE = 0.6
_SMALLEST_STEP = 2
_SAMPLES = 6
_DARKEST = 1e-3
_LOADING = 1e-2
"""Share of the mean variance that every direction of a frame's covariance has at least."""


class Signature:
    """What a target looks like in all bands: the spectra of its core's parts ``(parts, bands)``.

    It never changes: what learns from what it follows learns a look-alike as well.

    ``ceiling`` is always what a saturated sample is in each band, ``(bands,)``: where the target would be
    brighter than that in a frame, it looks so bright and tells no more.
    """

    def __init__(self, spectra: Floats) -> None:
        self._spectra = spectra.astype(np.float64)

    def distance(self, spectra: Floats, ceiling: Floats, precision: Precision) -> float:
        """Of a box ``(parts, bands)`` from the target, in deviations of the frame.

        The geometric mean of that of the whole cores and of the quarters that are most alike, which something
        in front of the target may leave uncovered.
        """
        pairs = _mahalanobis(spectra, np.minimum(self._spectra, ceiling), precision)
        return float(np.sqrt(pairs[0, 0] * pairs[1:, 1:].min()))

    def distances(self, spectra: NDArray[Any], ceiling: Floats, precision: Precision) -> NDArray[np.float64]:
        """Of each of ``(n, bands)`` from the target's whole core, in deviations of the frame."""
        return _mahalanobis(spectra, np.minimum(self._spectra[:1], ceiling), precision)[:, 0]


def frame_precision(spectra: NDArray[Any]) -> Precision:
    """Inverse covariance ``(bands, bands)`` of the logarithms of a frame's spectra ``(n, bands)``.

    Logarithms are compared, of which a change of light takes a constant.
    """
    covariance = np.atleast_2d(np.cov(_logarithms(spectra).T, bias=True))
    spread = covariance.trace() / len(covariance)
    inverse: Precision = np.linalg.inv(
        covariance + max(_LOADING * spread, _DARKEST**2) * np.eye(len(covariance))
    )
    return inverse


def _mahalanobis(spectra: NDArray[Any], others: NDArray[Any], precision: Precision) -> NDArray[np.float64]:
    return np.asarray(cdist(_logarithms(spectra), _logarithms(others), "mahalanobis", VI=precision))


def _logarithms(spectra: NDArray[Any]) -> NDArray[np.float64]:
    return np.log(np.maximum(spectra, _DARKEST, dtype=np.float64))


def core_spectra(cube: NDArray[Any], box: NDArray[np.float64], black: float, means: Floats) -> Floats:
    """Mean spectra ``(5, bands)`` of the middle of a box and of its quarters, relative to the frame.

    A part that lies outside the image has no light.

    Args:
        cube: ``(height, width, bands)``.
        box: x, y, width, height in pixels.
        black: value of no light.
        means: ``(bands,)`` mean of the frame above black.
    """
    centre, reach = box[:2] + box[2:] / 2, box[2:] * _CORE / 2
    whole = [(centre, np.maximum(reach, 0.5))]
    half = np.maximum(reach / 2, 0.5)
    quarters = [(centre + np.array([x, y]) * reach / 2, half) for y in (-1, 1) for x in (-1, 1)]
    spectra = [_mean_spectrum(cube, *part, black, means) for part in (*whole, *quarters)]
    return np.stack(spectra)


def _mean_spectrum(
    cube: NDArray[Any], centre: NDArray[np.float64], half: NDArray[np.float64], black: float, means: Floats
) -> Floats:
    (left, top), (right, bottom) = np.floor(centre - half), np.ceil(centre + half)
    part = cube[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)]
    if not part.size:
        return np.zeros_like(means)
    spectrum: Floats = (part.mean(axis=(0, 1), dtype=np.float32) - black) / means
    return spectrum


def sampled_spectra(cube: NDArray[Any], boxes: NDArray[np.float64], black: float, means: Floats) -> Floats:
    """Mean spectra ``(n, bands)`` of the middles of many boxes, relative to the frame, of 36 pixels each.

    Outside the image are the pixels of its rim.

    Args:
        cube: ``(height, width, bands)``.
        boxes: ``(n, 4)`` x, y, width, height in pixels.
        black: value of no light.
        means: ``(bands,)`` mean of the frame above black.
    """
    along = 0.5 + _CORE * ((np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5)
    last = np.array(cube.shape[1::-1]) - 1
    x, y = np.moveaxis(boxes[:, None, :2] + boxes[:, None, 2:] * along[:, None], -1, 0)
    columns, rows = (np.clip(at, 0, most).astype(int) for at, most in zip((x, y), last, strict=True))
    samples = cube[rows[:, :, None], columns[:, None, :]]
    spectra: Floats = (samples.mean(axis=(1, 2), dtype=np.float32) - black) / means
    return spectra


def likely_places(
    cube: NDArray[Any],
    size: NDArray[np.float64],
    signature: Signature,
    black: float,
    means: Floats,
    ceiling: Floats,
    precision: Precision,
    count: int,
) -> NDArray[np.float64]:
    """Centres ``(n, 2)`` in pixels, best first, of the ``count`` places of a frame whose spectra fit best.

    Each is a window as large as the target's core; they overlap by half.

    Args:
        cube: ``(height, width, bands)``.
        size: width and height of the target in pixels; no two places are closer than the larger of them.
        signature: of the target.
        black: value of no light.
        means: ``(bands,)`` mean of the frame above black.
        ceiling: ``(bands,)`` what a saturated sample is, relative to the mean.
        precision: of the frame.
        count: of places at most.
    """
    height, width, bands = cube.shape
    window = np.clip(np.round(_CORE * size), 1, (width, height)).astype(int)
    first, step = window // 2, np.maximum(window // 2, _SMALLEST_STEP)
    blur = partial(cv2.blur, ksize=window.tolist(), borderType=cv2.BORDER_REPLICATE)
    window_means = filtered(cube, blur)[first[1] :: step[1], first[0] :: step[0]]
    spectra = (window_means.astype(np.float32) - black) / means
    misfit = signature.distances(spectra.reshape(-1, bands), ceiling, precision).reshape(spectra.shape[:2])
    apart = np.maximum(np.ceil(size.max() / step), 1).astype(int)
    places: list[tuple[float, float]] = []
    while len(places) < count and np.isfinite(misfit).any():
        row, column = np.unravel_index(int(misfit.argmin()), misfit.shape)
        places.append((column * step[0] + window[0] / 2, row * step[1] + window[1] / 2))
        rows = slice(max(row - apart[1] + 1, 0), row + apart[1])
        misfit[rows, max(column - apart[0] + 1, 0) : column + apart[0]] = np.inf
    return np.array(places, dtype=np.float64).reshape(-1, 2)
