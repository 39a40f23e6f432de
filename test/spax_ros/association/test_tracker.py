from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks, TrackState

PUBLISHED = Path(__file__).resolve().parents[4] / "shared/golden/gta_salt7.npz"
SMALL = Path(__file__).with_name("golden_gta.npz")
INTERVAL_NS = 100_000_000


def select_confirmed(tracks: Tracks) -> dict[int, np.ndarray]:
    is_confirmed = tracks.states == TrackState.CONFIRMED
    return dict(zip(tracks.ids[is_confirmed].tolist(), tracks.boxes[is_confirmed], strict=True))


def track_moving_box(
    tracker: GaussianTracker, num_frames: int, first_frame: int = 0, speed: float = 2.0
) -> Tracks:
    """Track one box that moves to the right, and return the tracks of the last frame."""
    for frame in range(first_frame, first_frame + num_frames):
        box = [[50 + speed * frame, 40, 6, 6]]
        tracks = tracker.update(box, [0.9], stamp_ns=frame * INTERVAL_NS)
    return tracks


@pytest.mark.parametrize("golden", [SMALL, pytest.param(PUBLISHED, id="published")])
def test_association_equals_the_published_one(golden: Path) -> None:
    if not golden.is_file():
        pytest.skip(f"no golden tracks at {golden}")
    with np.load(golden) as file:
        detections, expected = file["detections"], file["tracks"]
    tracker = GaussianTracker()

    for frame in range(int(detections[:, 0].max()) + 1):
        rows = detections[detections[:, 0] == frame]
        boxes = np.column_stack([rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]])
        confirmed = select_confirmed(tracker.update(boxes, rows[:, 5]))

        truth = {int(row[1]): row[2:6] for row in expected[expected[:, 0] == frame]}
        assert confirmed.keys() == truth.keys(), f"frame {frame}"
        for track_id, box in truth.items():
            np.testing.assert_allclose(confirmed[track_id], box, atol=0.01)


def test_new_track_is_confirmed_in_frame_one_or_by_detection_two() -> None:
    tracker = GaussianTracker()
    boxes = [[10, 10, 5, 5], [80, 80, 5, 5]]

    first = tracker.update(boxes[:1], [0.9])
    second = tracker.update(boxes, [0.9, 0.9])
    third = tracker.update(boxes, [0.9, 0.9])

    assert first.states.tolist() == [TrackState.CONFIRMED]
    assert second.states.tolist() == [TrackState.CONFIRMED, TrackState.TENTATIVE]
    assert third.states.tolist() == [TrackState.CONFIRMED, TrackState.CONFIRMED]


@pytest.mark.parametrize(("score", "begins"), [(0.39, False), (0.4, True)])
def test_track_begins_from_the_new_score(score: float, begins: bool) -> None:
    tracks = GaussianTracker().update([[10, 10, 5, 5]], [score])

    assert (len(tracks) == 1) is begins


def test_detection_of_low_score_keeps_a_track_confirmed() -> None:
    tracker = GaussianTracker()
    track_moving_box(tracker, 3)

    tracks = tracker.update([[56, 40, 6, 6]], [0.15], stamp_ns=3 * INTERVAL_NS)

    assert tracks.states.tolist() == [TrackState.CONFIRMED]


def test_velocity_is_in_pixels_per_second() -> None:
    tracks = track_moving_box(GaussianTracker(), 40, speed=2.0)

    np.testing.assert_allclose(tracks.velocities, [[20, 0]], atol=0.2)


def test_track_coasts_through_a_gap_and_keeps_its_id() -> None:
    tracker = GaussianTracker()
    track_moving_box(tracker, 30)

    coasting = [tracker.update([], [], stamp_ns=frame * INTERVAL_NS) for frame in range(30, 36)]
    tracks = track_moving_box(tracker, 2, first_frame=36)

    for frame, coasted in enumerate(coasting, start=30):
        assert coasted.states.tolist() == [TrackState.COASTING]
        np.testing.assert_allclose(coasted.boxes[0, 0], 50 + 2 * frame, atol=0.5)
    assert (tracks.ids.tolist(), tracks.states.tolist()) == ([1], [TrackState.CONFIRMED])


def test_track_is_removed_after_the_coasting_limit() -> None:
    tracker = GaussianTracker(AssociationSettings(max_coasting_frames=5))
    track_moving_box(tracker, 10)

    num_tracks = [len(tracker.update([], [])) for _ in range(8)]

    assert num_tracks[0] == 1
    assert num_tracks[-1] == 0


def test_camera_motion_is_not_velocity_of_the_object() -> None:
    tracker = GaussianTracker()
    pan = np.array([[1.0, 0, 15], [0, 1, -10]])

    for frame in range(20):
        box = [[50 + 15 * frame, 400 - 10 * frame, 6, 6]]
        tracks = tracker.update(
            box, [0.9], stamp_ns=frame * INTERVAL_NS, camera_motion=pan if frame else None
        )

    assert tracks.ids.tolist() == [1]
    np.testing.assert_allclose(tracks.velocities, 0, atol=1e-6)


def test_class_aware_association_never_matches_other_classes() -> None:
    tracker = GaussianTracker()
    tracker.update([[10, 10, 5, 5]], [0.9], [0])

    tracks = tracker.update([[10, 10, 5, 5]], [0.9], [2])

    assert sorted(zip(tracks.class_ids.tolist(), tracks.states.tolist(), strict=True)) == [
        (0, TrackState.COASTING),
        (2, TrackState.TENTATIVE),
    ]


def test_dropped_frames_are_bridged_by_stamps() -> None:
    tracker = GaussianTracker()
    track_moving_box(tracker, 30, speed=4.0)

    late = 35
    tracks = tracker.update([[50 + 4 * late, 40, 6, 6]], [0.9], stamp_ns=late * INTERVAL_NS)

    assert tracks.ids.tolist() == [1]


def test_stamp_that_jumps_back_counts_as_the_next_frame() -> None:
    tracker = GaussianTracker()
    track_moving_box(tracker, 10)

    tracks = tracker.update([[70, 40, 6, 6]], [0.9], stamp_ns=0)

    assert tracks.ids.tolist() == [1]
    assert np.isfinite(tracks.velocities).all()


def test_boxes_without_size_or_not_finite_are_ignored() -> None:
    boxes = [[10, 10, 5, 5], [np.nan, 0, 5, 5], [20, 20, 0, 5], [30, 30, -3, 5], [np.inf, 1, 2, 3]]

    tracks = GaussianTracker().update(boxes, np.full(5, 0.9))

    assert len(tracks) == 1


def test_result_is_unchanged_by_later_frames() -> None:
    tracker = GaussianTracker()
    tracks = track_moving_box(tracker, 5)
    before = copy.deepcopy(tracks)

    track_moving_box(tracker, 5, first_frame=5)

    for name in ("ids", "scores", "boxes", "velocities", "states", "ages"):
        np.testing.assert_array_equal(getattr(tracks, name), getattr(before, name))


def test_reset_restarts_ids() -> None:
    tracker = GaussianTracker()
    track_moving_box(tracker, 5)

    tracker.reset()
    tracks = tracker.update([[200, 200, 5, 5]], [0.9])

    assert tracks.ids.tolist() == [1]


def test_thousands_of_detections_are_tracked() -> None:
    boxes = np.random.default_rng(0).uniform([0, 0, 4, 4], [1500, 1500, 9, 9], (5000, 4))
    tracker = GaussianTracker()
    tracker.update(boxes, np.full(len(boxes), 0.9))

    tracks = tracker.update(boxes, np.full(len(boxes), 0.9))

    assert (tracks.states == TrackState.CONFIRMED).sum() > 4000


def test_track_of_a_certain_detection_is_confirmed_at_once() -> None:
    tracker = GaussianTracker(AssociationSettings(certain_score=0.6))
    tracker.update([], [])

    tracks = tracker.update([[10, 10, 5, 5], [80, 80, 5, 5]], [0.59, 0.6])

    assert tracks.states.tolist() == [TrackState.TENTATIVE, TrackState.CONFIRMED]


def track_states(speed: float, camera_speed: float = 0.0, num_frames: int = 30) -> list[int]:
    """Return the states of a track with a speed over the ground, seen by a moving camera."""
    tracker = GaussianTracker(AssociationSettings(min_speed=0.2))
    motion = np.array([[1.0, 0, camera_speed], [0, 1, 0]])
    boxes = [[[50 + (speed + camera_speed) * frame, 40, 6, 6]] for frame in range(num_frames)]
    return [int(tracker.update(box, [0.9], camera_motion=motion).states[0]) for box in boxes]


@pytest.mark.parametrize("camera_speed", [0.0, 0.8])
def test_track_that_stands_still_on_the_ground_is_not_confirmed(camera_speed: float) -> None:
    states_of_still = track_states(0.0, camera_speed)
    states_of_moving = track_states(0.5, camera_speed)

    assert set(states_of_still[3:]) == {TrackState.TENTATIVE}
    assert set(states_of_moving) == {TrackState.CONFIRMED}


def test_track_that_stops_is_confirmed_when_it_moves_again() -> None:
    tracker = GaussianTracker(AssociationSettings(min_speed=0.2))
    x, states, ids = 50.0, [], set()

    for speed in [2.0] * 15 + [0.0] * 25 + [2.0] * 10:
        x += speed
        tracks = tracker.update([[x, 40, 6, 6]], [0.9])
        states.append(int(tracks.states[0]))
        ids |= set(tracks.ids.tolist())

    assert (states[14], states[39], states[49]) == (2, 1, 2)
    assert ids == {1}


def test_track_has_the_class_of_most_detections() -> None:
    tracker = GaussianTracker(AssociationSettings(is_class_aware=False))
    class_aware_tracker = GaussianTracker()
    class_ids = [1, 2, 2, 2, 1, 2]

    for frame, class_id in enumerate(class_ids):
        tracks = tracker.update([[50 + 2 * frame, 40, 6, 6]], [0.9], [class_id])
    for frame, class_id in enumerate(class_ids[:2]):
        class_aware_tracks = class_aware_tracker.update([[50 + 2 * frame, 40, 6, 6]], [0.9], [class_id])

    assert (tracks.ids.tolist(), tracks.class_ids.tolist()) == ([1], [2])
    assert len(class_aware_tracks) == 2


def test_clipped_tracks_end_at_the_image() -> None:
    tracker = GaussianTracker()
    boxes = [[-4, 10, 10, 6], [40, 46, 8, 8], [20, 20, 6, 6], [70, 20, 6, 6]]

    tracks = tracker.update(boxes, [0.9] * 4).clip_to_image(64, 48)

    np.testing.assert_allclose(tracks.boxes, [[0, 10, 6, 6], [40, 46, 8, 2], [20, 20, 6, 6]])
    assert tracks.ids.tolist() == [1, 2, 3]
    assert len(tracks.states) == len(tracks.velocities) == len(tracks) == 3
    assert not len(tracker.update([], []).clip_to_image(1, 1))
