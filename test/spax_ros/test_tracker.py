"""The tracker with the shipped model: it follows what moves, and says no to what it cannot use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spax_ros.association import Tracks, TrackState
from spax_ros.decoding import Detections, no_detections
from spax_ros.preprocessing import as_uint8, white_level
from spax_ros.sparse.grid import TILE
from spax_ros.sparse.tile_budget import active_tiles
from spax_ros.tracker import SpaxTracker, TrackerSettings, load_tracker, strongest
from spax_ros.weights import load_spax
from tracking_runtime.boxes import centres
from tracking_runtime.engines import EngineError
from tracking_runtime.errors import FrameRefusedError, ModelError

FRAMES = 24
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


def cars(index: int) -> NDArray[np.float64]:
    """Three cars of 8 x 4 pixels at frame ``index``: x, y, width, height."""
    return np.array(
        [
            [40 + 2.5 * index, 60.3, 8.0, 4.0],
            [250 - 2.0 * index, 120.6, 8.0, 4.0],
            [150.2, 40 + 3.0 * index, 4.0, 8.0],
        ]
    )


def image(ground: NDArray[np.float32], index: int) -> NDArray[np.uint8]:
    """The cars on their ground, with a quarter of a pixel's drift and some noise."""
    fine = cv2.resize(ground, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    for x, y, width, height in cars(index):
        left, top = round(4 * x), round(4 * y)
        fine[top : top + round(4 * height), left : left + round(4 * width)] = 225
    seen = cv2.GaussianBlur(cv2.resize(fine, (320, 240), interpolation=cv2.INTER_AREA), (0, 0), 0.7)
    noise = np.random.default_rng(index).normal(0, 1.0, seen.shape)
    return np.clip(seen + noise, 0, 255).astype(np.uint8)


def stamp(index: int) -> int:
    return 1_000_000_000 + index * 100_000_000


def follow(tracker: SpaxTracker, frames: list[NDArray[np.uint8]]) -> list[Tracks]:
    return [tracker.track(frame, stamp(index)) for index, frame in enumerate(frames)]


@pytest.fixture(scope="module")
def clip(ground: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    return [image(ground, index) for index in range(FRAMES)]


def assert_cars_are_followed(results: list[Tracks]) -> None:
    """Each car has the same track in the last frames, near its centre and moving as it does."""
    identities = []
    for index in range(FRAMES - 6, FRAMES):
        tracks = results[index]
        confirmed = tracks.states == TrackState.CONFIRMED
        distance = np.linalg.norm(
            centres(cars(index))[:, None] - centres(tracks.boxes[confirmed])[None], axis=-1
        )
        assert (distance.min(axis=1) < 2.5).all()
        identities.append(tuple(tracks.ids[confirmed][distance.argmin(axis=1)].tolist()))
    assert len(set(identities)) == 1
    assert len(set(identities[0])) == 3
    last = results[-1]
    velocities = last.velocities[[last.ids.tolist().index(i) for i in identities[0]]]
    np.testing.assert_allclose(velocities, [[25, 0], [-20, 0], [0, 30]], atol=6)


def test_follows_what_moves(clip: list[NDArray[np.uint8]]) -> None:
    tracker = load_tracker("spax_small", "pytorch")
    results = follow(tracker, clip)
    assert_cars_are_followed(results)
    assert tracker.motion_mask.shape == (240, 320)
    assert 0 < tracker.active_share < 0.2
    assert list(tracker.times.summary()) == ["mask", "engine", "peaks", "associate"]
    assert len(tracker.detections) >= 3


def test_eased_work_keeps_the_strongest_of_the_active_pixels(clip: list[NDArray[np.uint8]]) -> None:
    usual, eased = load_tracker("spax_small", "pytorch"), load_tracker("spax_small", "pytorch")
    follow(usual, clip[:10])
    follow(eased, clip[:10])
    eased.ease(2)
    usual.track(clip[10], stamp(10))
    eased.track(clip[10], stamp(10))
    tiles = active_tiles(usual.motion_mask, TILE)
    assert active_tiles(eased.motion_mask, TILE) == -(-tiles // 4)
    assert not (eased.motion_mask & ~usual.motion_mask).any()
    assert eased.operations <= usual.operations
    assert not eased.saturated


def test_another_model_takes_tracks_over(clip: list[NDArray[np.uint8]]) -> None:
    full, light = load_tracker("spax_small", "pytorch"), load_tracker("spax_small", "pytorch")
    results = follow(full, clip[:12])
    light.take_over(full)
    results += [light.track(frame, stamp(12 + index)) for index, frame in enumerate(clip[12:])]
    assert_cars_are_followed(results)


def test_sixteen_bits_say_what_eight_bits_say(clip: list[NDArray[np.uint8]]) -> None:
    twelve_bits = [(frame.astype(np.uint16) << 4) + (frame >> 4) for frame in clip]
    assert_cars_are_followed(follow(load_tracker("spax_small", "pytorch"), twelve_bits))


def test_after_a_reset_everything_begins_anew(clip: list[NDArray[np.uint8]]) -> None:
    tracker = load_tracker("spax_small", "pytorch")
    first = follow(tracker, clip[:8])
    tracker.reset()
    again = follow(tracker, clip[:8])
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_allclose(a.boxes, b.boxes)
    tracker.reset()
    tracker.track(np.zeros((64, 96), np.uint8), 0)


def test_a_still_or_black_scene_has_no_tracks(clip: list[NDArray[np.uint8]]) -> None:
    for frame in (clip[0], np.zeros_like(clip[0])):
        results = follow(load_tracker("spax_small", "pytorch"), [frame] * 6)
        assert all(len(tracks) == 0 for tracks in results)


def test_the_peaks_of_one_object_are_one_detection() -> None:
    boxes = np.array([[10.0, 10, 50, 50], [14, 12, 50, 48], [100, 10, 8, 4], [105, 12, 8, 4]])
    scores = np.array([0.5, 0.7, 0.3, 0.4], np.float32)
    kept = strongest(Detections(boxes, scores, np.array([1, 1, 0, 0], np.uint8)), 0.4)
    assert sorted(kept.scores.tolist()) == pytest.approx([0.3, 0.4, 0.7])
    assert len(strongest(no_detections(), 0.4)) == 0


@pytest.mark.parametrize(
    ("interruption", "remark"),
    [("black", "one brightness"), ("white", "one brightness"), ("frozen", "frozen"), ("noise", "more moves")],
)
def test_tracking_resumes_after_bad_frames(
    ground: NDArray[np.float32], interruption: str, remark: str
) -> None:
    frames = [image(ground, index) for index in range(30)]
    shape = frames[0].shape
    bad = {
        "black": np.zeros((3, *shape), np.uint8),
        "white": np.full((3, *shape), 255, np.uint8),
        "frozen": np.stack([frames[8]] * 3),
        "noise": np.random.default_rng(0).integers(0, 255, (3, *shape), np.uint8),
    }[interruption]
    tracker = load_tracker("spax_small", "pytorch")
    follow(tracker, frames[:9])
    assert not tracker.remark
    for index in (9, 10, 11):
        tracks = tracker.track(bad[index - 9], stamp(index))
        assert remark in tracker.remark
        assert tracker.active_share < 0.2
        assert len(tracks) < 20
    for index in range(12, 30):
        tracks = tracker.track(frames[index], stamp(index))
    seen = centres(tracks.boxes[tracks.states == TrackState.CONFIRMED])
    assert (np.linalg.norm(centres(cars(29))[:, None] - seen[None], axis=-1).min(axis=1) < 3).all()
    assert not tracker.remark


def test_time_that_goes_back_does_not_disturb(clip: list[NDArray[np.uint8]]) -> None:
    tracker = load_tracker("spax_small", "pytorch")
    results = [tracker.track(frame, stamp(index) - (index > 8) * 10**9) for index, frame in enumerate(clip)]
    assert_cars_are_followed(results)


def test_threads_do_not_change_the_tracks(clip: list[NDArray[np.uint8]]) -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(follow(load_tracker("spax_small", "pytorch"), clip[:10]))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-3)


def test_more_movement_than_the_limit_is_bounded_and_said(clip: list[NDArray[np.uint8]]) -> None:
    tracker = SpaxTracker(load_spax("spax_small"), replace(TrackerSettings(), most_tiles=8))
    rng = np.random.default_rng(0)
    follow(tracker, [*clip[:3], rng.integers(0, 255, clip[0].shape, np.uint8)])
    assert tracker.motion_mask.sum() <= 8 * 64
    assert tracker.saturated


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.zeros((240, 320), np.float32), "float32"),
        (np.zeros((240, 320, 4), np.uint8), r"\(240, 320, 4\)"),
        (np.zeros((0, 0), np.uint8), "at least"),
        (np.zeros((480, 640), np.uint8), "reset"),
    ],
)
def test_refuses_and_goes_on(clip: list[NDArray[np.uint8]], bad: NDArray[np.generic], reason: str) -> None:
    disturbed, calm = load_tracker("spax_small", "pytorch"), load_tracker("spax_small", "pytorch")
    follow(disturbed, clip[:4])
    follow(calm, clip[:4])
    with pytest.raises(FrameRefusedError, match=reason):
        disturbed.track(bad, stamp(4))
    np.testing.assert_allclose(disturbed.track(clip[4], stamp(4)).boxes, calm.track(clip[4], stamp(4)).boxes)


def test_a_row_more_or_less_is_no_new_stream(clip: list[NDArray[np.uint8]]) -> None:
    uneven = [frame[: 240 - index % 3] for index, frame in enumerate(clip)]
    assert_cars_are_followed(follow(load_tracker("spax_small", "pytorch"), uneven))


def test_unknown_engines_and_models_are_named() -> None:
    with pytest.raises(EngineError, match=r"no engine named abacus; known: auto, .*openvino, pytorch"):
        load_tracker("spax_small", engine="abacus")
    with pytest.raises(ModelError, match="no model named spax_none"):
        load_tracker("spax_none")


def test_white_is_the_end_of_the_bits_in_use() -> None:
    assert white_level(np.array([[3000]], np.uint16)) == 4095
    assert white_level(np.array([[3]], np.uint16)) == 255
    assert as_uint8(np.full((40, 40), 4095, np.uint16), 4095.0).max() == 255


@pytest.mark.skipif(not REAL_CLIP.is_dir(), reason=f"no real clip at {REAL_CLIP}")
def test_follows_the_car_of_the_real_clip() -> None:
    truth = np.loadtxt(REAL_CLIP / "gt.txt")[:50]
    tracker = load_tracker("spax_small", "pytorch")
    covered = present = 0
    for index, box in enumerate(truth):
        frame = cv2.imread(str(REAL_CLIP / "img" / f"{index + 1:06d}.jpg"))
        assert frame is not None
        tracks = tracker.track(frame, stamp(index))
        if box[0] >= 0:
            confirmed = tracks.boxes[tracks.states == TrackState.CONFIRMED]
            distance = np.linalg.norm(centres(confirmed) - centres(box), axis=1)
            present += 1
            covered += bool(len(distance)) and distance.min() <= 5
    assert covered >= 0.6 * present


def test_a_heat_map_that_is_warm_everywhere_is_bounded(clip: list[NDArray[np.uint8]]) -> None:
    """Tens of thousands of peaks at once: the best are kept."""
    model = load_tracker("spax_small", "pytorch").model
    model.network.head("hm").out.bias.add_(20)
    settings = replace(TrackerSettings(), most_detections=300)
    tracker = SpaxTracker(model, settings)
    results = follow(tracker, clip[:12])
    assert len(tracker.detections) <= 300
    assert max(map(len, results)) <= 12 * 300
