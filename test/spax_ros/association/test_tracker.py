from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks, TrackState

PUBLISHED = Path(__file__).resolve().parents[4] / "shared/golden/gta_salt7.npz"
SMALL = Path(__file__).with_name("golden_gta.npz")
TENTH_OF_A_SECOND = 100_000_000


def confirmed(tracks: Tracks) -> dict[int, np.ndarray]:
    seen = tracks.states == TrackState.CONFIRMED
    return dict(zip(tracks.ids[seen].tolist(), tracks.boxes[seen], strict=True))


def drive(tracker: GaussianTracker, frames: int, first: int = 0, speed: float = 2.0) -> Tracks:
    for frame in range(first, first + frames):
        box = [[50 + speed * frame, 40, 6, 6]]
        tracks = tracker.update(box, [0.9], stamp_ns=frame * TENTH_OF_A_SECOND)
    return tracks


@pytest.mark.parametrize("golden", [SMALL, pytest.param(PUBLISHED, id="published")])
def test_the_published_association_is_reproduced(golden: Path) -> None:
    if not golden.is_file():
        pytest.skip(f"no golden tracks at {golden}")
    with np.load(golden) as file:
        detections, expected = file["detections"], file["tracks"]
    tracker = GaussianTracker()
    for frame in range(int(detections[:, 0].max()) + 1):
        rows = detections[detections[:, 0] == frame]
        boxes = np.column_stack([rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]])
        found = confirmed(tracker.update(boxes, rows[:, 5]))
        truth = {int(row[1]): row[2:6] for row in expected[expected[:, 0] == frame]}
        assert found.keys() == truth.keys(), f"frame {frame}"
        for number, box in truth.items():
            np.testing.assert_allclose(found[number], box, atol=0.01)


def test_tracks_of_the_first_frame_count_at_once_and_later_ones_when_seen_again() -> None:
    tracker = GaussianTracker()
    assert tracker.update([[10, 10, 5, 5]], [0.9]).states.tolist() == [TrackState.CONFIRMED]
    both = [[10, 10, 5, 5], [80, 80, 5, 5]]
    assert tracker.update(both, [0.9, 0.9]).states.tolist() == [TrackState.CONFIRMED, TrackState.TENTATIVE]
    assert tracker.update(both, [0.9, 0.9]).states.tolist() == [TrackState.CONFIRMED, TrackState.CONFIRMED]


@pytest.mark.parametrize(("score", "begins"), [(0.39, False), (0.4, True)])
def test_a_track_begins_only_with_a_good_score(score: float, begins: bool) -> None:
    assert (len(GaussianTracker().update([[10, 10, 5, 5]], [score])) == 1) is begins


def test_a_faint_detection_keeps_a_track_alive() -> None:
    tracker = GaussianTracker()
    drive(tracker, 3)
    tracks = tracker.update([[56, 40, 6, 6]], [0.15], stamp_ns=3 * TENTH_OF_A_SECOND)
    assert tracks.states.tolist() == [TrackState.CONFIRMED]


def test_velocity_is_in_pixels_per_second() -> None:
    tracks = drive(GaussianTracker(), 40, speed=2.0)
    np.testing.assert_allclose(tracks.velocities, [[20, 0]], atol=0.2)


def test_a_track_coasts_through_a_gap_on_empty_frames_and_keeps_its_identity() -> None:
    tracker = GaussianTracker()
    drive(tracker, 30)
    for frame in range(30, 36):
        tracks = tracker.update([], [], stamp_ns=frame * TENTH_OF_A_SECOND)
        assert tracks.states.tolist() == [TrackState.COASTING]
        np.testing.assert_allclose(tracks.boxes[0, 0], 50 + 2 * frame, atol=0.5)
    tracks = drive(tracker, 2, first=36)
    assert (tracks.ids.tolist(), tracks.states.tolist()) == ([1], [TrackState.CONFIRMED])


def test_a_track_unseen_for_longer_than_the_buffer_is_forgotten() -> None:
    tracker = GaussianTracker(AssociationSettings(buffer=5))
    drive(tracker, 10)
    lengths = [len(tracker.update([], [])) for _ in range(8)]
    assert lengths[0] == 1
    assert lengths[-1] == 0


def test_camera_motion_is_no_motion_of_the_object() -> None:
    tracker = GaussianTracker()
    pan = np.array([[1.0, 0, 15], [0, 1, -10]])
    for frame in range(20):
        box = [[50 + 15 * frame, 400 - 10 * frame, 6, 6]]
        tracks = tracker.update(
            box, [0.9], stamp_ns=frame * TENTH_OF_A_SECOND, camera_motion=pan if frame else None
        )
    assert tracks.ids.tolist() == [1]
    np.testing.assert_allclose(tracks.velocities, 0, atol=1e-6)


def test_classes_never_mix() -> None:
    tracker = GaussianTracker()
    tracker.update([[10, 10, 5, 5]], [0.9], [0])
    tracks = tracker.update([[10, 10, 5, 5]], [0.9], [2])
    assert sorted(zip(tracks.class_ids.tolist(), tracks.states.tolist(), strict=True)) == [
        (0, TrackState.COASTING),
        (2, TrackState.TENTATIVE),
    ]


def test_a_dropped_frame_is_bridged_by_the_stamps() -> None:
    tracker = GaussianTracker()
    drive(tracker, 30, speed=4.0)
    late = 35
    tracks = tracker.update([[50 + 4 * late, 40, 6, 6]], [0.9], stamp_ns=late * TENTH_OF_A_SECOND)
    assert tracks.ids.tolist() == [1]


def test_time_going_backwards_counts_as_the_next_frame() -> None:
    tracker = GaussianTracker()
    drive(tracker, 10)
    tracks = tracker.update([[70, 40, 6, 6]], [0.9], stamp_ns=0)
    assert tracks.ids.tolist() == [1]
    assert np.isfinite(tracks.velocities).all()


def test_unusable_boxes_are_ignored() -> None:
    boxes = [[10, 10, 5, 5], [np.nan, 0, 5, 5], [20, 20, 0, 5], [30, 30, -3, 5], [np.inf, 1, 2, 3]]
    assert len(GaussianTracker().update(boxes, np.full(5, 0.9))) == 1


def test_results_stay_as_they_were_when_the_next_frame_comes() -> None:
    tracker = GaussianTracker()
    tracks = drive(tracker, 5)
    before = copy.deepcopy(tracks)
    drive(tracker, 5, first=5)
    for name in ("ids", "scores", "boxes", "velocities", "states", "ages"):
        np.testing.assert_array_equal(getattr(tracks, name), getattr(before, name))


def test_after_a_reset_ids_begin_anew() -> None:
    tracker = GaussianTracker()
    drive(tracker, 5)
    tracker.reset()
    assert tracker.update([[200, 200, 5, 5]], [0.9]).ids.tolist() == [1]


def test_thousands_of_detections_pass() -> None:
    boxes = np.random.default_rng(0).uniform([0, 0, 4, 4], [1500, 1500, 9, 9], (5000, 4))
    tracker = GaussianTracker()
    tracker.update(boxes, np.full(len(boxes), 0.9))
    tracks = tracker.update(boxes, np.full(len(boxes), 0.9))
    assert (tracks.states == TrackState.CONFIRMED).sum() > 4000


def test_a_certain_detection_is_confirmed_at_once() -> None:
    tracker = GaussianTracker(AssociationSettings(certain_score=0.6))
    tracker.update([], [])
    tracks = tracker.update([[10, 10, 5, 5], [80, 80, 5, 5]], [0.59, 0.6])
    assert tracks.states.tolist() == [TrackState.TENTATIVE, TrackState.CONFIRMED]


def states_of(speed: float, camera: float = 0.0, frames: int = 30) -> list[int]:
    """States of a track that moves over the ground, seen by a camera that moves as well."""
    tracker = GaussianTracker(AssociationSettings(least_speed=0.2))
    motion = np.array([[1.0, 0, camera], [0, 1, 0]])
    boxes = [[[50 + (speed + camera) * frame, 40, 6, 6]] for frame in range(frames)]
    return [int(tracker.update(box, [0.9], camera_motion=motion).states[0]) for box in boxes]


@pytest.mark.parametrize("camera", [0.0, 0.8])
def test_what_stands_still_over_the_ground_is_not_confirmed(camera: float) -> None:
    assert set(states_of(0.0, camera)[3:]) == {TrackState.TENTATIVE}
    assert set(states_of(0.5, camera)) == {TrackState.CONFIRMED}


def test_what_stops_is_given_up_and_confirmed_again_when_it_goes_on() -> None:
    tracker = GaussianTracker(AssociationSettings(least_speed=0.2))
    x, states, ids = 50.0, [], set()
    for speed in [2.0] * 15 + [0.0] * 25 + [2.0] * 10:
        x += speed
        tracks = tracker.update([[x, 40, 6, 6]], [0.9])
        states.append(int(tracks.states[0]))
        ids |= set(tracks.ids.tolist())
    assert (states[14], states[39], states[49]) == (2, 1, 2)
    assert ids == {1}


def test_a_track_has_the_class_that_it_was_seen_as_most() -> None:
    tracker = GaussianTracker(AssociationSettings(classes_apart=False))
    seen = [1, 2, 2, 2, 1, 2]
    for frame, class_id in enumerate(seen):
        tracks = tracker.update([[50 + 2 * frame, 40, 6, 6]], [0.9], [class_id])
    assert (tracks.ids.tolist(), tracks.class_ids.tolist()) == ([1], [2])
    apart = GaussianTracker()
    for frame, class_id in enumerate(seen[:2]):
        tracks = apart.update([[50 + 2 * frame, 40, 6, 6]], [0.9], [class_id])
    assert len(tracks) == 2


def test_within_an_image_tracks_are_cut_and_what_has_left_it_is_none() -> None:
    tracker = GaussianTracker()
    boxes = [[-4, 10, 10, 6], [40, 46, 8, 8], [20, 20, 6, 6], [70, 20, 6, 6]]
    tracks = tracker.update(boxes, [0.9] * 4).within(64, 48)
    np.testing.assert_allclose(tracks.boxes, [[0, 10, 6, 6], [40, 46, 8, 2], [20, 20, 6, 6]])
    assert tracks.ids.tolist() == [1, 2, 3]
    assert len(tracks.states) == len(tracks.velocities) == len(tracks) == 3
    assert not len(tracker.update([], []).within(1, 1))
