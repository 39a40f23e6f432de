"""Tracker with the shipped model: tracks of moving objects, and refusals of unusable frames."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spax_ros.association import Tracks, TrackState
from spax_ros.decoding import Detections, make_empty_detections
from spax_ros.preprocessing import find_white_level, to_uint8
from spax_ros.sparse.grid import TILE_PX
from spax_ros.sparse.tile_budget import count_active_tiles
from spax_ros.tracker import (
    SpaxTracker,
    TrackerSettings,
    TrackingResult,
    load_tracker,
    suppress_non_maxima,
)
from spax_ros.weights import load_spax
from tracking_runtime.boxes import compute_centers
from tracking_runtime.engines import EngineError
from tracking_runtime.errors import FrameRefusedError, ModelError

NUM_FRAMES = 24
SHARED = Path(__file__).parents[3] / "shared"
REAL_CLIP = SHARED / "data" / "satellite" / "car-0001"


@pytest.fixture(scope="module")
def ground() -> NDArray[np.float32]:
    rng = np.random.default_rng(4)
    coarse = cv2.resize(
        rng.normal(0, 1, (24, 32)).astype(np.float32), (320, 240), interpolation=cv2.INTER_CUBIC
    )
    blocks = np.kron(rng.uniform(-25, 25, (30, 40)), np.ones((8, 8)))
    return (110 + 12 * coarse + cv2.GaussianBlur(blocks, (0, 0), 1.0)).astype(np.float32)


def get_true_boxes(index: int) -> NDArray[np.float64]:
    """Return the boxes of three cars of 8 x 4 pixels in a frame: x, y, width, height."""
    return np.array(
        [
            [40 + 2.5 * index, 60.3, 8.0, 4.0],
            [250 - 2.0 * index, 120.6, 8.0, 4.0],
            [150.2, 40 + 3.0 * index, 4.0, 8.0],
        ]
    )


def render_frame(ground: NDArray[np.float32], index: int) -> NDArray[np.uint8]:
    """Render the cars on the ground, to a quarter of a pixel, with noise."""
    fine = cv2.resize(ground, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    for x, y, width, height in get_true_boxes(index):
        left, top = round(4 * x), round(4 * y)
        fine[top : top + round(4 * height), left : left + round(4 * width)] = 225
    image = cv2.GaussianBlur(cv2.resize(fine, (320, 240), interpolation=cv2.INTER_AREA), (0, 0), 0.7)
    noise = np.random.default_rng(index).normal(0, 1.0, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def get_stamp_ns(index: int) -> int:
    return 1_000_000_000 + index * 100_000_000


def track_all(tracker: SpaxTracker, frames: list[NDArray[np.uint8]]) -> list[TrackingResult]:
    return [tracker.track(frame, get_stamp_ns(index)) for index, frame in enumerate(frames)]


@pytest.fixture(scope="module")
def clip(ground: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    return [render_frame(ground, index) for index in range(NUM_FRAMES)]


def compute_distances(tracks: Tracks, index: int) -> NDArray[np.float64]:
    """Return the distances of the cars' centers in a frame to those of the confirmed tracks."""
    confirmed = compute_centers(tracks.boxes[tracks.states == TrackState.CONFIRMED])
    centers = compute_centers(get_true_boxes(index))
    return np.linalg.norm(centers[:, None] - confirmed[None], axis=-1)


def assert_cars_are_tracked(results: list[TrackingResult]) -> None:
    """Check that each car has one track in the last frames, at its center and with its velocity."""
    identities = []
    for index in range(NUM_FRAMES - 6, NUM_FRAMES):
        tracks = results[index].tracks
        distances = compute_distances(tracks, index)
        assert (distances.min(axis=1) < 2.5).all()
        confirmed_ids = tracks.ids[tracks.states == TrackState.CONFIRMED]
        identities.append(tuple(confirmed_ids[distances.argmin(axis=1)].tolist()))
    assert len(set(identities)) == 1
    assert len(set(identities[0])) == 3
    last = results[-1].tracks
    velocities = last.velocities[[last.ids.tolist().index(track_id) for track_id in identities[0]]]
    np.testing.assert_allclose(velocities, [[25, 0], [-20, 0], [0, 30]], atol=6)


def test_moving_cars_are_tracked(clip: list[NDArray[np.uint8]]) -> None:
    tracker = load_tracker("spax_small", "pytorch")

    results = track_all(tracker, clip)

    assert_cars_are_tracked(results)
    last = results[-1]
    assert last.motion_mask.shape == last.heat_map.shape == (240, 320)
    assert 0 < last.active_fraction < 0.2
    assert list(tracker.times.summarize()) == ["mask", "engine", "peaks", "associate"]
    assert len(last.detections) >= 3


def test_warm_up_leaves_the_tracker_unchanged(clip: list[NDArray[np.uint8]]) -> None:
    warm, cold = load_tracker("spax_small", "pytorch"), load_tracker("spax_small", "pytorch")
    track_all(warm, clip[:4])
    track_all(cold, clip[:4])

    warm.warm_up()

    assert warm.times.summarize()["engine"].count == 4
    warm_result, cold_result = (tracker.track(clip[4], get_stamp_ns(4)) for tracker in (warm, cold))
    np.testing.assert_array_equal(warm_result.tracks.boxes, cold_result.tracks.boxes)
    np.testing.assert_array_equal(warm_result.motion_mask, cold_result.motion_mask)


def test_load_level_keeps_the_strongest_tiles(clip: list[NDArray[np.uint8]]) -> None:
    full_tracker, loaded_tracker = (load_tracker("spax_small", "pytorch") for _ in range(2))
    track_all(full_tracker, clip[:10])
    track_all(loaded_tracker, clip[:10])

    loaded_tracker.set_load_level(2)
    full, loaded = (tracker.track(clip[10], get_stamp_ns(10)) for tracker in (full_tracker, loaded_tracker))

    num_tiles = count_active_tiles(full.motion_mask, TILE_PX)
    assert count_active_tiles(loaded.motion_mask, TILE_PX) == -(-num_tiles // 4)
    assert not (loaded.motion_mask & ~full.motion_mask).any()
    assert loaded.operations <= full.operations
    assert not loaded.is_saturated


def test_tracker_with_copied_state_continues_tracks(clip: list[NDArray[np.uint8]]) -> None:
    first, second = load_tracker("spax_small", "pytorch"), load_tracker("spax_small", "pytorch")
    results = track_all(first, clip[:12])

    second.copy_state_from(first)
    results += [second.track(frame, get_stamp_ns(12 + index)) for index, frame in enumerate(clip[12:])]

    assert_cars_are_tracked(results)


def test_sixteen_bit_images_are_tracked(clip: list[NDArray[np.uint8]]) -> None:
    twelve_bits = [(frame.astype(np.uint16) << 4) + (frame >> 4) for frame in clip]

    results = track_all(load_tracker("spax_small", "pytorch"), twelve_bits)

    assert_cars_are_tracked(results)


@pytest.fixture(scope="module")
def twelve_bit_results(clip: list[NDArray[np.uint8]]) -> list[TrackingResult]:
    return track_all(load_tracker("spax_small", "pytorch"), [frame.astype(np.uint16) << 4 for frame in clip])


@pytest.mark.parametrize(
    ("dtype", "first_brightness"), [("uint16", 0.05), ("uint16", 0.4), ("uint16", 16), ("float32", 0.05)]
)
def test_first_image_of_another_brightness_costs_no_track(
    clip: list[NDArray[np.uint8]],
    twelve_bit_results: list[TrackingResult],
    dtype: str,
    first_brightness: float,
) -> None:
    images = [(16 * frame.astype(np.float32)).astype(dtype) for frame in clip]
    images[0] = (images[0] * first_brightness).astype(dtype)

    results = track_all(load_tracker("spax_small", "pytorch"), images)

    assert_cars_are_tracked(results)
    assert "range of brightness was changed" in results[1].warning
    assert results[-1].brightness.white in (4095, 4096)
    for index in range(2, NUM_FRAMES):
        num_found, num_expected = (
            (compute_distances(each[index].tracks, index).min(axis=1, initial=np.inf) < 4).sum()
            for each in (results, twelve_bit_results)
        )
        assert num_found >= num_expected


def test_sixteen_bit_color_with_infrared_is_tracked(clip: list[NDArray[np.uint8]]) -> None:
    images = [
        np.dstack([frame.astype(np.uint16) << 4] * 3 + [np.full_like(frame, 9, np.uint16)]) for frame in clip
    ]

    assert_cars_are_tracked(track_all(load_tracker("spax_small", "pytorch"), images))


@pytest.mark.parametrize(
    ("dtype", "num_bands"), [("uint8", 16), ("uint16", 16), ("float32", 16), ("uint16", 5)]
)
def test_cube_is_tracked_by_the_mean_of_its_bands(
    clip: list[NDArray[np.uint8]], dtype: str, num_bands: int
) -> None:
    factor = 1 if dtype == "uint8" else 16
    spectrum = np.linspace(0.9, 1.1, num_bands, dtype=np.float32)
    cubes = [(factor * np.clip(frame[..., None] * spectrum, 0, 255)).astype(dtype) for frame in clip]

    assert_cars_are_tracked(track_all(load_tracker("spax_small", "pytorch"), cubes))


def test_cube_of_another_type_is_refused() -> None:
    with pytest.raises(FrameRefusedError, match="uint8, uint16 or float32: got int32"):
        load_tracker("spax_small", "pytorch").track(np.zeros((64, 64, 16), np.int32), 0)


def assert_same_results(ours: TrackingResult, theirs: TrackingResult) -> None:
    np.testing.assert_array_equal(ours.camera_motion, theirs.camera_motion)
    np.testing.assert_array_equal(ours.motion_mask, theirs.motion_mask)
    np.testing.assert_array_equal(ours.heat_map, theirs.heat_map)
    np.testing.assert_array_equal(ours.tracks.boxes, theirs.tracks.boxes)
    np.testing.assert_array_equal(ours.tracks.ids, theirs.tracks.ids)


def test_images_prepared_beside_the_tracker_give_the_same_tracks(clip: list[NDArray[np.uint8]]) -> None:
    expected = track_all(load_tracker("spax_small", "pytorch"), clip)
    tracker = load_tracker("spax_small", "pytorch")

    results, prepared, num_registered = [], None, 0
    with ThreadPoolExecutor(1) as executor:
        for index, image in enumerate(clip):
            result = executor.submit(tracker.track, image, get_stamp_ns(index), prepared)
            if index % 2:
                result.result()  # otherwise the next image is prepared while this one is tracked
            prepared = tracker.prepare(clip[index + 1]) if index + 1 < len(clip) else None
            num_registered += prepared is not None and prepared.registration is not None
            results.append(result.result())

    assert num_registered > NUM_FRAMES // 2
    for ours, theirs in zip(results, expected, strict=True):
        assert_same_results(ours, theirs)


def test_image_prepared_before_another_frame_is_registered_anew(clip: list[NDArray[np.uint8]]) -> None:
    expected = track_all(load_tracker("spax_small", "pytorch"), clip[:4])
    tracker = load_tracker("spax_small", "pytorch")

    track_all(tracker, clip[:2])
    early, other = tracker.prepare(clip[3]), tracker.prepare(clip[0])
    results = [tracker.track(clip[2], get_stamp_ns(2), other), tracker.track(clip[3], get_stamp_ns(3), early)]

    for ours, theirs in zip(results, expected[2:], strict=True):
        assert_same_results(ours, theirs)


def test_image_that_cannot_be_prepared_is_left_to_tracking(clip: list[NDArray[np.uint8]]) -> None:
    tracker = load_tracker("spax_small", "pytorch")

    assert tracker.prepare(clip[0]) is None
    tracker.track(clip[0], get_stamp_ns(0))
    assert tracker.prepare(clip[1][:-1]) is None
    assert tracker.prepare(clip[1].astype(np.float32)) is None
    assert tracker.prepare(clip[1]) is not None


def test_reset_tracker_equals_a_new_one(clip: list[NDArray[np.uint8]]) -> None:
    tracker = load_tracker("spax_small", "pytorch")
    before = track_all(tracker, clip[:8])

    tracker.reset()
    after = track_all(tracker, clip[:8])

    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first.tracks.ids, second.tracks.ids)
        np.testing.assert_allclose(first.tracks.boxes, second.tracks.boxes)
    tracker.reset()
    tracker.track(np.zeros((64, 96), np.uint8), 0)


def test_still_or_black_scene_has_no_tracks(clip: list[NDArray[np.uint8]]) -> None:
    for frame in (clip[0], np.zeros_like(clip[0])):
        results = track_all(load_tracker("spax_small", "pytorch"), [frame] * 6)

        assert all(len(result.tracks) == 0 for result in results)


def test_overlapping_detections_become_one() -> None:
    boxes = np.array([[10.0, 10, 50, 50], [14, 12, 50, 48], [100, 10, 8, 4], [105, 12, 8, 4]])
    scores = np.array([0.5, 0.7, 0.3, 0.4], np.float32)

    kept = suppress_non_maxima(Detections(boxes, scores, np.array([1, 1, 0, 0], np.uint8)), 0.4)

    assert sorted(kept.scores.tolist()) == pytest.approx([0.3, 0.4, 0.7])
    assert len(suppress_non_maxima(make_empty_detections(), 0.4)) == 0


@pytest.mark.parametrize(
    ("interruption", "warning"),
    [("black", "one brightness"), ("white", "one brightness"), ("frozen", "frozen"), ("noise", "more moves")],
)
def test_faulty_images_cause_a_warning_and_tracking_resumes(
    ground: NDArray[np.float32], interruption: str, warning: str
) -> None:
    frames = [render_frame(ground, index) for index in range(30)]
    shape = frames[0].shape
    faulty = {
        "black": np.zeros((3, *shape), np.uint8),
        "white": np.full((3, *shape), 255, np.uint8),
        "frozen": np.stack([frames[8]] * 3),
        "noise": np.random.default_rng(0).integers(0, 255, (3, *shape), np.uint8),
    }[interruption]
    tracker = load_tracker("spax_small", "pytorch")

    *_, before = track_all(tracker, frames[:9])
    during = [tracker.track(faulty[index - 9], get_stamp_ns(index)) for index in (9, 10, 11)]
    *_, after = [tracker.track(frames[index], get_stamp_ns(index)) for index in range(12, 30)]

    assert not before.warning
    for result in during:
        assert warning in result.warning
        assert result.active_fraction < 0.2
        assert len(result.tracks) < 20
    assert (compute_distances(after.tracks, 29).min(axis=1) < 3).all()
    assert not after.warning


def test_stamps_that_jump_back_keep_the_tracks(clip: list[NDArray[np.uint8]]) -> None:
    tracker = load_tracker("spax_small", "pytorch")
    stamps = [get_stamp_ns(index) - (index > 8) * 10**9 for index in range(len(clip))]

    results = [tracker.track(frame, stamp_ns) for frame, stamp_ns in zip(clip, stamps, strict=True)]

    assert_cars_are_tracked(results)


def test_tracks_do_not_depend_on_threads(clip: list[NDArray[np.uint8]]) -> None:
    num_threads_before, results = torch.get_num_threads(), []

    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            results.append(track_all(load_tracker("spax_small", "pytorch"), clip[:10]))
    finally:
        torch.set_num_threads(num_threads_before)

    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one.tracks.ids, two.tracks.ids)
        np.testing.assert_allclose(one.tracks.boxes, two.tracks.boxes, atol=1e-3)


def test_motion_over_the_tile_limit_is_bounded_and_saturated(clip: list[NDArray[np.uint8]]) -> None:
    tracker = SpaxTracker(load_spax("spax_small"), replace(TrackerSettings(), max_tiles=8))
    noise = np.random.default_rng(0).integers(0, 255, clip[0].shape, np.uint8)

    *_, result = track_all(tracker, [*clip[:3], noise])

    assert result.motion_mask.sum() <= 8 * 64
    assert result.is_saturated


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((240, 320), np.float64), "float64"),
        (np.zeros((240, 320, 2), np.uint8), r"\(240, 320, 2\)"),
        (np.zeros((0, 0), np.uint8), "at least"),
        (np.zeros((480, 640), np.uint8), "reset"),
    ],
)
def test_refused_frame_leaves_the_tracker_unchanged(
    clip: list[NDArray[np.uint8]], image: NDArray[np.generic], reason: str
) -> None:
    disturbed, undisturbed = load_tracker("spax_small", "pytorch"), load_tracker("spax_small", "pytorch")
    track_all(disturbed, clip[:4])
    track_all(undisturbed, clip[:4])

    with pytest.raises(FrameRefusedError, match=reason):
        disturbed.track(image, get_stamp_ns(4))

    result, expected = (tracker.track(clip[4], get_stamp_ns(4)) for tracker in (disturbed, undisturbed))
    np.testing.assert_allclose(result.tracks.boxes, expected.tracks.boxes)


def test_images_of_slightly_different_sizes_are_one_stream(clip: list[NDArray[np.uint8]]) -> None:
    uneven = [frame[: 240 - index % 3] for index, frame in enumerate(clip)]

    assert_cars_are_tracked(track_all(load_tracker("spax_small", "pytorch"), uneven))


def test_unknown_engine_or_model_is_named() -> None:
    with pytest.raises(EngineError, match=r"unknown engine abacus; known: auto, .*openvino, pytorch"):
        load_tracker("spax_small", engine="abacus")
    with pytest.raises(ModelError, match="no model named spax_none"):
        load_tracker("spax_none")


def test_white_level_is_the_highest_value_of_bits_in_use() -> None:
    assert find_white_level(np.array([[3000]], np.uint16)) == 4095
    assert find_white_level(np.array([[3]], np.uint16)) == 255
    assert to_uint8(np.full((40, 40), 4095, np.uint16), 4095.0).max() == 255


@pytest.mark.slow
@pytest.mark.skipif(not REAL_CLIP.is_dir(), reason=f"no real clip at {REAL_CLIP}")
def test_car_of_the_real_clip_is_tracked() -> None:
    truth = np.loadtxt(REAL_CLIP / "gt.txt")[:50]
    tracker = load_tracker("spax_small", "pytorch")
    num_tracked = num_present = 0

    for index, box in enumerate(truth):
        frame = cv2.imread(str(REAL_CLIP / "img" / f"{index + 1:06d}.jpg"))
        assert frame is not None
        tracks = tracker.track(frame, get_stamp_ns(index)).tracks
        if box[0] >= 0:
            confirmed = tracks.boxes[tracks.states == TrackState.CONFIRMED]
            distance = np.linalg.norm(compute_centers(confirmed) - compute_centers(box), axis=1)
            num_present += 1
            num_tracked += bool(len(distance)) and distance.min() <= 5

    assert num_tracked >= 0.6 * num_present


def test_number_of_detections_is_bounded(clip: list[NDArray[np.uint8]]) -> None:
    model = load_tracker("spax_small", "pytorch").model
    model.network.head("hm").out.bias.add_(20)  # every active pixel becomes a peak
    tracker = SpaxTracker(model, replace(TrackerSettings(), max_detections=300))

    results = track_all(tracker, clip[:12])

    assert len(results[-1].detections) <= 300
    assert max(len(result.tracks) for result in results) <= 12 * 300
