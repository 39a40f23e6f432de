"""Tests of the confirmation of tracks by their motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spax_ros.association import AssociationSettings, GaussianTracker, MotionEvidence, Tracks, TrackState
from spax_ros.association.motion_evidence import (
    WINDOW_FRAMES,
    ClutterMap,
    fit_paths,
    has_evidence,
    start_window,
)

SETTINGS = AssociationSettings(is_class_aware=False, evidence=MotionEvidence())
NO_CLUTTER = np.zeros(1)


def make_window(positions: np.ndarray) -> np.ndarray:
    """Return the window ``(1, WINDOW_FRAMES, 2)`` of a track with these last positions ``(n, 2)``."""
    window = start_window(positions[-1:])
    window[0, WINDOW_FRAMES - len(positions) :] = positions
    return window


def track_objects(
    paths: np.ndarray, settings: AssociationSettings = SETTINGS, score: float = 0.9
) -> list[Tracks]:
    """Return the tracks of objects of 6 pixels at centers ``(frames, objects, 2)``; NaN: absent."""
    tracker = GaussianTracker(settings)
    results = []
    for centers in paths:
        visible = centers[np.isfinite(centers[:, 0])]
        boxes = np.concatenate([visible - 3, np.full((len(visible), 2), 6.0)], axis=1)
        results.append(tracker.update(boxes, np.full(len(visible), score)))
    return results


def count_confirmed(results: list[Tracks]) -> list[int]:
    return [int((tracks.states == TrackState.CONFIRMED).sum()) for tracks in results]


@given(
    velocity=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    num=st.integers(3, WINDOW_FRAMES),
    gap=st.integers(0, 1),
)
def test_speed_of_a_straight_path_is_exact(velocity: tuple[float, float], num: int, gap: int) -> None:
    positions = np.arange(num)[:, None] * np.array(velocity) + 50
    if gap:
        positions[1] = np.nan

    fit = fit_paths(make_window(positions), position_noise=0.3)

    assert fit.speeds[0] == pytest.approx(np.hypot(*velocity), abs=1e-9)
    assert fit.num_detections[0] == num - gap
    assert fit.num_frames[0] == num


def test_significance_is_speed_over_its_standard_error() -> None:
    num = 10
    fit = fit_paths(make_window(np.arange(num)[:, None] * [0.5, 0.0]), position_noise=0.3)

    standard_error = 0.3 / np.sqrt((num**3 - num) / 12)
    assert fit.significances[0] == pytest.approx(0.5 / standard_error)


def test_jitter_has_no_evidence_in_most_windows() -> None:
    rng = np.random.default_rng(0)
    window = 50 + rng.normal(0, 0.5, (2000, WINDOW_FRAMES, 2))

    is_proven = has_evidence(window, np.zeros(2000), MotionEvidence(min_speed=0, min_distance=0))

    assert is_proven.mean() < 0.001


@pytest.mark.parametrize(
    ("change", "is_proven"),
    [
        ({}, True),
        ({"min_speed": 1.1}, False),
        ({"min_distance": 9.5}, False),
        ({"min_significance": 100.0}, False),
        ({"min_detections": 11}, False),
    ],
)
def test_evidence_needs_each_of_its_limits(change: dict[str, float], is_proven: bool) -> None:
    window = make_window(np.arange(10)[:, None] * [1.0, 0.0])

    assert has_evidence(window, NO_CLUTTER, replace(MotionEvidence(), **change))[0] == is_proven


def test_flashing_object_needs_its_hit_rate() -> None:
    positions = np.arange(13)[:, None] * np.array([1.0, 0.0])
    positions[np.arange(13) % 3 > 0] = np.nan

    rates = [0.3, 0.5]

    proven = [
        bool(has_evidence(make_window(positions), NO_CLUTTER, MotionEvidence(min_hit_rate=rate))[0])
        for rate in rates
    ]
    assert proven == [True, False]


def test_lost_tracks_delay_a_confirmation() -> None:
    window = make_window(np.arange(10)[:, None] * [1.0, 0.0])

    proven = [bool(has_evidence(window, np.array([lost]), MotionEvidence())[0]) for lost in (0.0, 20.0)]

    assert proven == [True, False]


def test_clutter_map_counts_around_and_forgets() -> None:
    clutter = ClutterMap()
    clutter.add_lost(np.array([[100.0, 100.0], [110.0, 100.0]]), np.array([1, 4]))

    tracks, detections = clutter.count_around(np.array([[100.0, 100.0], [150.0, 100.0], [900.0, 100.0]]))
    for _ in range(1000):
        clutter.advance()
    later, _ = clutter.count_around(np.array([[100.0, 100.0]]))

    np.testing.assert_allclose(tracks, [2 / 9, 2 / 9, 0])
    np.testing.assert_allclose(detections, [3 / 9, 3 / 9, 0])
    assert later[0] == 0


def test_share_of_objects_follows_proven_and_lost_tracks() -> None:
    clutter = ClutterMap()
    assert clutter.object_share == 1

    clutter.add_lost(np.zeros((3, 2)), np.ones(3, np.int64))
    assert clutter.object_share == pytest.approx(1 / 4)

    clutter.add_proven(4)
    assert clutter.object_share == pytest.approx(5 / 8)


def test_moving_object_is_confirmed_within_five_frames() -> None:
    paths = 50 + np.arange(10)[:, None, None] * np.array([[[1.0, 0.5]]])

    confirmed = count_confirmed(track_objects(paths))

    assert confirmed[:2] == [0, 0]
    assert confirmed[4:] == [1] * 6


def test_standing_object_that_jitters_is_never_confirmed() -> None:
    paths = 50 + np.random.default_rng(1).normal(0, 0.5, (60, 1, 2))

    results = track_objects(paths)

    assert max(count_confirmed(results)) == 0
    assert all(len(tracks) for tracks in results)


def test_confirmed_object_stays_confirmed_while_it_waits() -> None:
    steps = np.concatenate([np.ones(15), np.zeros(60)])
    paths = 50 + np.stack([np.cumsum(steps), np.zeros(75)], axis=1)[:, None]

    results = track_objects(paths)

    assert count_confirmed(results)[5:] == [1] * 70
    assert {int(track_id) for tracks in results for track_id in tracks.ids} == {1}


def test_flashes_on_water_make_few_tracks_and_a_ship_keeps_its_id() -> None:
    rng = np.random.default_rng(2)
    num_frames, num_flashes = 120, 40
    paths = np.full((num_frames, num_flashes + 1, 2), np.nan)
    paths[:, 0] = [300, 20] + np.arange(num_frames)[:, None] * [0.0, 0.6]
    for number in range(1, num_flashes + 1):
        frame = 0
        while frame < num_frames:
            length = int(rng.geometric(1 / 3))
            place = rng.uniform(0, 400, 2) + np.cumsum(rng.normal(0, 0.4, (length, 2)), axis=0)
            end = min(frame + length, num_frames)
            paths[frame:end, number] = place[: end - frame]
            frame = end + int(rng.geometric(1 / 3))

    with_evidence = track_objects(paths, score=0.5)
    published = track_objects(paths, AssociationSettings(), score=0.5)

    num_false = [sum(count_confirmed(results)) / num_frames - 1 for results in (with_evidence, published)]
    assert num_false[0] < 0.5
    assert num_false[1] > 3
    ship_ids = {
        int(tracks.ids[index])
        for tracks, centers in zip(with_evidence[40:], paths[40:], strict=True)
        for index in np.flatnonzero(tracks.states == TrackState.CONFIRMED)
        if np.abs(tracks.boxes[index, :2] + 3 - centers[0]).max() < 3
    }
    assert len(ship_ids) == 1


def test_evidence_follows_the_ground_under_a_moving_camera() -> None:
    tracker = GaussianTracker(SETTINGS)
    pan = np.array([[1.0, 0, 3], [0, 1, -2]])
    for frame in range(12):
        standing, moving = np.array([50.0, 90]), np.array([100.0 + frame, 90])
        centers = np.stack([standing, moving]) + frame * pan[:, 2]
        boxes = np.concatenate([centers - 3, np.full((2, 2), 6.0)], axis=1)
        tracks = tracker.update(boxes, [0.9, 0.9], camera_motion=pan if frame else None)

    assert tracks.states.tolist() == [TrackState.TENTATIVE, TrackState.CONFIRMED]


def test_certain_object_is_confirmed_at_once_where_tracks_prove_to_move() -> None:
    settings = replace(SETTINGS, certain_score=0.6)
    paths = np.full((20, 2, 2), np.nan)
    paths[:, 0] = 50 + np.arange(20)[:, None] * [1.0, 0.0]
    paths[15:, 1] = 200 + np.arange(5)[:, None] * [1.0, 0.0]

    certain = count_confirmed(track_objects(paths, settings))
    others = count_confirmed(track_objects(paths, SETTINGS))

    assert (certain[15], others[15]) == (2, 1)
    assert certain[19] == others[19] == 2
