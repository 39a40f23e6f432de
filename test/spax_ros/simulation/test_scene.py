from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spax_ros.simulation import BENCHMARK_SEEDS, CLASS_NAMES, TRAINING_SEEDS, SatelliteScene
from spax_ros.simulation.rendering import draw_rigid_body
from spax_ros.simulation.traffic import ObjectClass
from tracking_runtime.frames import Frame, GroundTruth


def truth_of(frame: Frame) -> GroundTruth:
    assert frame.truth is not None
    return frame.truth


def same(a: Frame, b: Frame) -> bool:
    return (
        a.stamp_ns == b.stamp_ns
        and np.array_equal(a.image, b.image)
        and np.array_equal(truth_of(a).ids, truth_of(b).ids)
        and np.array_equal(truth_of(a).boxes, truth_of(b).boxes)
    )


def test_equal_seeds_give_equal_frames() -> None:
    scene = SatelliteScene(5, 6, 160)
    frames = list(scene)
    assert len(frames) == len(scene) == 6
    assert all(same(a, b) for a, b in zip(frames, SatelliteScene(5, 6, 160), strict=True))
    assert same(scene.make_frame(3), frames[3])
    assert not np.array_equal(frames[0].image, SatelliteScene(6, 6, 160).make_frame(0).image)


def test_training_and_benchmark_seeds_are_disjoint() -> None:
    assert not set(TRAINING_SEEDS[-3:]) & set(BENCHMARK_SEEDS[:3])
    assert max(TRAINING_SEEDS) < min(BENCHMARK_SEEDS)


def test_frames_have_size_stamp_and_encoding() -> None:
    scene = SatelliteScene(3, 3, (200, 120), rate_hz=4.0)
    frames = list(scene)
    assert frames[0].image.shape == (120, 200, 3)
    assert (frames[0].encoding, frames[0].image.dtype) == ("bgr8", np.uint8)
    assert frames[1].stamp_ns - frames[0].stamp_ns == 250_000_000
    assert scene.class_names == CLASS_NAMES == ("car", "airplane", "ship", "train")
    gray = SatelliteScene(3, 3, (200, 120), color=False).make_frame(0)
    assert (gray.image.shape, gray.encoding) == ((120, 200), "mono8")


@pytest.mark.parametrize("seed", range(6))
def test_truth_is_well_formed(seed: int) -> None:
    for frame in SatelliteScene(seed, 4, (320, 256), density=100):
        truth = truth_of(frame)
        assert len(truth.ids) == len(truth.class_ids) == len(truth.boxes)
        assert len(set(truth.ids.tolist())) == len(truth.ids)
        assert (truth.boxes[:, 2:] > 0).all()
        assert (truth.boxes[:, :2] >= 0).all()
        assert (truth.boxes[:, :2] + truth.boxes[:, 2:] <= [320, 256]).all()
        assert (truth.class_ids < len(CLASS_NAMES)).all()


@settings(max_examples=40, deadline=None)
@given(
    st.floats(20, 30), st.floats(20, 30), st.floats(0, 6.3), st.floats(4, 14), st.floats(2, 5),
    st.sampled_from([ObjectClass.TRAIN]),
)  # fmt: skip
def test_bodies_are_drawn_at_true_positions(
    x: float, y: float, heading: float, length: float, width: float, kind: ObjectClass
) -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    draw_rigid_body(image, kind, np.array([x, y]), heading, length, width, np.full(3, 255.0))
    weight = image[..., 0] / 255.0
    rows, columns = np.indices(weight.shape) + 0.5
    centroid = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    np.testing.assert_allclose(centroid, (x, y), atol=0.1)
    np.testing.assert_allclose(weight.sum(), length * width, rtol=0.1)


@pytest.mark.slow
def test_truth_is_on_movers_to_subpixel_accuracy() -> None:
    offsets = []
    for seed in (1001, 1004, 1009):
        scene = SatelliteScene(seed, 24, 384, density=120)
        frames = list(scene)
        background = np.median([to_first(scene, frame, k) for k, frame in enumerate(frames)], axis=0)
        difference = np.abs(frames[0].image.astype(float) - background).sum(axis=2)
        difference[difference < 40] = 0
        truth = truth_of(frames[0])
        for x, y, width, height in truth.boxes[truth.class_ids == ObjectClass.CAR]:
            left, top = int(x - 1), int(y - 1)
            patch = difference[max(top, 0) : int(y + height + 2), max(left, 0) : int(x + width + 2)]
            if min(left, top) < 0 or patch.shape != (int(y + height + 2) - top, int(x + width + 2) - left):
                continue
            if patch.max() < 150:
                continue
            rows, columns = np.indices(patch.shape) + 0.5
            centroid = np.array([(patch * columns).sum(), (patch * rows).sum()]) / patch.sum() + [left, top]
            offsets.append(centroid - [x + width / 2, y + height / 2])
    assert len(offsets) >= 10
    assert np.abs(np.median(offsets, axis=0)).max() < 0.25
    assert np.median(np.hypot(*np.transpose(offsets))) < 1.0


def to_first(scene: SatelliteScene, frame: Frame, index: int) -> np.ndarray:
    """A frame warped to where its ground lies in the first."""
    onward = np.eye(3)
    for k in range(1, index + 1):
        onward = scene.compute_camera_motion(k) @ onward
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    back = np.linalg.inv(half) @ np.linalg.inv(onward) @ half
    return cv2.warpAffine(frame.image, back[:2], scene.size, borderMode=cv2.BORDER_REPLICATE)


def test_truth_has_only_moving_objects() -> None:
    scene = SatelliteScene(8, 40, 320, density=120)
    first: dict[int, np.ndarray] = {}
    last: dict[int, np.ndarray] = {}
    to_now = np.eye(3)
    for index, frame in enumerate(scene):
        to_now = scene.compute_camera_motion(index) @ to_now
        truth = truth_of(frame)
        centers = truth.boxes[:, :2] + truth.boxes[:, 2:] / 2
        on_ground = (centers - to_now[:2, 2]) @ np.linalg.inv(to_now[:2, :2]).T
        for number, place in zip(truth.ids.tolist(), on_ground, strict=True):
            first.setdefault(number, place)
            last[number] = place
    assert len(first) >= 5
    travelled = [np.hypot(*(last[number] - first[number])) for number in first]
    assert np.median(travelled) > 5


def test_scene_without_traffic_has_frames() -> None:
    frames = list(SatelliteScene(12, 2, 128, density=0))
    assert len(frames) == 2
    assert truth_of(frames[0]).boxes.shape[1] == 4


@pytest.mark.parametrize("options", [{"frames": 0}, {"size": 32}])
def test_invalid_scene_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="64"):
        SatelliteScene(1, **options)


def test_frames_after_the_end_are_refused() -> None:
    with pytest.raises(IndexError, match="0 to 1"):
        SatelliteScene(1, 2, 128).make_frame(2)


def test_faint_scene_differs_by_its_contrast_at_vehicles_only() -> None:
    options = {"color": False, "density": 150, "traffic": "measured"}
    peaks = []

    for seed in (1_000_303, 1_000_304):
        scenes = (SatelliteScene(seed, 2, 400, snr=snr, **options) for snr in (4.0, 0.0))
        for seen, empty in zip(*scenes, strict=True):
            difference = np.abs(seen.image.astype(int) - empty.image)
            for left, top, width, height in truth_of(seen).boxes.astype(int):
                window = difference[max(top - 2, 0) : top + height + 3, max(left - 2, 0) : left + width + 3]
                peaks.append(window.max())
                window[:] = 0
            assert np.array_equal(truth_of(seen).boxes, truth_of(empty).boxes)
            assert np.count_nonzero(difference) < 0.02 * difference.size  # vehicles that wait

    assert len(peaks) > 10
    assert 8 <= np.median(peaks) <= 17  # 4 times a noise of 2 to 4 gray levels
