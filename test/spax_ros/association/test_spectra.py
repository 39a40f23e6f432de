"""Tests of the spectra of tracks in the association."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spax_ros.association import AssociationSettings, GaussianTracker, TrackState
from spax_ros.association.spectra import SpectralMemory, compute_box_spectra, compute_spectral_cost

BANDS = 16
SETTINGS = AssociationSettings(is_class_aware=False)
WAVES = np.linspace(0, 3, BANDS)
PAINTS = np.stack([1 + 0.5 * np.sin(WAVES), 1 + 0.5 * np.cos(WAVES)])


def count_switches(weight: float, seed: int) -> int:
    """Return the identity switches of twelve pairs of look-alikes that meet and turn back."""
    rng = np.random.default_rng(seed)
    tracker = GaussianTracker(replace(SETTINGS, spectral_weight=weight))
    num_pairs, num_frames = 12, 60
    owners: dict[int, int] = {}
    switches = 0
    for frame in range(num_frames):
        # Both approach to 3 pixels and part again, in a frame in which noise decides which is which.
        half = np.abs(frame - num_frames / 2) * 1.2 + 1.5
        centers = np.array(
            [[100 + sign * half, 40 + 40 * pair] for pair in range(num_pairs) for sign in (-1, 1)]
        ) + rng.normal(0, 0.8, (2 * num_pairs, 2))
        boxes = np.concatenate([centers - 4, np.full((2 * num_pairs, 2), 8.0)], axis=1)
        spectra = np.tile(PAINTS, (num_pairs, 1)) * rng.normal(1, 0.03, (2 * num_pairs, BANDS))
        is_seen = rng.random(2 * num_pairs) > 0.1
        tracks = tracker.update(boxes[is_seen], np.full(is_seen.sum(), 0.9), spectra=spectra[is_seen])
        confirmed = tracks.states == TrackState.CONFIRMED
        for track_id, box in zip(tracks.ids[confirmed].tolist(), tracks.boxes[confirmed], strict=True):
            distance = np.linalg.norm(centers - (box[:2] + box[2:] / 2), axis=1)
            if abs(frame - num_frames / 2) > 8:
                nearest = int(distance.argmin())
                switches += track_id in owners and owners[track_id] != nearest
                owners[track_id] = nearest
    return switches


def test_crossing_look_alikes_keep_their_ids_by_spectra() -> None:
    without, with_spectra = (sum(count_switches(weight, seed) for seed in range(3)) for weight in (0.0, 0.4))

    assert without >= 6
    assert with_spectra <= without / 2


def test_no_weight_equals_no_spectra() -> None:
    rng = np.random.default_rng(1)
    trackers = GaussianTracker(SETTINGS), GaussianTracker(SETTINGS)

    for frame in range(10):
        boxes = np.column_stack([20.0 * np.arange(5) + frame, np.full(5, 9.0), np.full((5, 2), 6.0)])
        with_spectra = trackers[0].update(boxes, np.full(5, 0.9), spectra=rng.random((5, BANDS)))
        without = trackers[1].update(boxes, np.full(5, 0.9))
        np.testing.assert_array_equal(with_spectra.ids, without.ids)
        np.testing.assert_array_equal(with_spectra.boxes, without.boxes)


@given(scale=st.floats(0.1, 100))
def test_brightness_does_not_change_the_spectral_cost(scale: float) -> None:
    costs = compute_spectral_cost(PAINTS, scale * PAINTS[::-1])

    np.testing.assert_allclose(costs, compute_spectral_cost(PAINTS, PAINTS[::-1]), atol=1e-6)
    np.testing.assert_allclose(compute_spectral_cost(PAINTS, scale * PAINTS), 0, atol=1e-5)


def test_box_spectra_are_means_of_their_pixels() -> None:
    cube = np.zeros((20, 30, 3), np.uint16)
    cube[5:9, 10:14] = [100, 200, 4000]
    boxes = np.array([[10.2, 4.9, 4, 4], [0, 0, 5, 5], [29.6, 19.7, 0.2, 0.2], [-9, -9, 3, 3]])

    spectra = compute_box_spectra(cube, boxes)

    np.testing.assert_allclose(spectra, [[100, 200, 4000], [0, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_memory_averages_and_forgets() -> None:
    memory = SpectralMemory()
    memory.update(np.array([4]), PAINTS[:1])
    memory.update(np.array([4]), PAINTS[:1])

    known = memory.compute_costs(np.array([4, 7]), PAINTS)
    memory.keep(np.array([7]))
    later = memory.compute_costs(np.array([4]), PAINTS[:1])

    assert known[0] == pytest.approx(0, abs=1e-5)
    assert np.isnan(known[1])
    assert np.isnan(later[0])
