from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.simulation import (
    ATTRIBUTES,
    BENCHMARK_SEEDS,
    TRAINING_SEEDS,
    HyperspectralScene,
    make_random_camera,
)
from hsi_tracker_ros.simulation.scene import MIN_VISIBLE_FRACTION
from tracking_runtime.errors import SourceError

SMALL = {"size": (160, 96), "frames": 40}


def tight_box(mask: np.ndarray) -> list[float]:
    rows, columns = np.nonzero(mask)
    left, top = columns.min(), rows.min()
    return [left, top, columns.max() + 1 - left, rows.max() + 1 - top]


def test_frames_have_format_of_the_camera() -> None:
    scene = HyperspectralScene(1, frames=3)
    frames = list(scene)
    assert len(scene) == len(frames) == 3
    assert all(f.image.shape == (256, 512, 16) and f.image.dtype == np.uint16 for f in frames)
    assert all(f.encoding == "16UC16" and f.image.max() <= 1023 for f in frames)
    assert np.diff([f.stamp_ns for f in frames]).tolist() == [40_000_000] * 2
    assert scene.spectral_info.wavelengths_nm == find_camera_preset("vis16").wavelengths_nm
    assert scene.spectral_info.mosaic is None


def test_equal_seeds_give_equal_frames_in_any_order() -> None:
    first, second = HyperspectralScene(7, **SMALL), HyperspectralScene(7, **SMALL)
    backwards = [second.make_frame(i) for i in reversed(range(3))][::-1]
    for a, b in zip((first.make_frame(i) for i in range(3)), backwards, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.truth.boxes, b.truth.boxes)
    assert (HyperspectralScene(8, **SMALL).make_frame(0).image != first.make_frame(0).image).any()


def test_mosaic_decodes_to_the_cube() -> None:
    cube = HyperspectralScene(3, **SMALL).make_frame(2)
    scene = HyperspectralScene(3, kind="mosaic", **SMALL)
    raw = scene.make_frame(2)
    assert raw.image.shape == (96 * 4, 160 * 4)
    assert raw.encoding == "mono16"
    np.testing.assert_array_equal(Decoder(scene.spectral_info).decode(raw.image, raw.encoding), cube.image)
    np.testing.assert_array_equal(raw.truth.boxes, cube.truth.boxes)


@pytest.mark.parametrize("seed", range(6))
def test_truth_is_the_box_of_the_silhouette(seed: int) -> None:
    scene = HyperspectralScene(seed, attributes="OCC,OV,FM", frames=12, stride=12, size=(160, 96))
    for index in range(len(scene)):
        drawn, truth = scene.render(index), scene.make_frame(index).truth
        assert (drawn.silhouette | ~drawn.visible).all()
        if drawn.visible_fraction < MIN_VISIBLE_FRACTION:
            assert len(truth.boxes) == 0
        else:
            assert truth.ids.tolist() == [1]
            assert truth.boxes[0].tolist() == tight_box(drawn.silhouette)


def test_target_is_at_the_true_box() -> None:
    """The only thing that changes when the target's materials are replaced lies inside its box."""
    scene = HyperspectralScene(5, attributes="", **SMALL)
    drawn = scene.render(0)
    without = HyperspectralScene(5, attributes="", **SMALL)
    without._cast = type(scene._cast)(
        tuple(a for a in scene._cast.objects if a is not scene._cast.target), scene._cast.target
    )
    changed = np.abs(drawn.light - without.render(0).light).max(axis=2) > 0.05
    x, y, w, h = scene.make_frame(0).truth.boxes[0].astype(int)
    changed[max(y - 2, 0) : y + h + 2, max(x - 2, 0) : x + w + 2] = False
    assert not changed.any()


@pytest.mark.parametrize("seed", range(1_000_000, 1_000_006))
def test_target_is_visible_in_first_frame(seed: int) -> None:
    scene = HyperspectralScene(seed)
    assert scene.render(0).visible_fraction > 0.5
    assert len(scene.make_frame(0).truth.boxes) == 1


def test_target_out_of_view_is_absent_and_returns() -> None:
    scene = HyperspectralScene(4, attributes="OV", frames=38, stride=4, size=(160, 96))
    there = [scene.render(i).visible_fraction >= MIN_VISIBLE_FRACTION for i in range(38)]
    gone = there.index(False)
    assert all(there[:gone])
    assert True in there[gone:]


def test_occlusion_covers_the_target() -> None:
    for seed in range(3):
        scene = HyperspectralScene(seed, attributes="OCC", frames=38, stride=4, size=(160, 96))
        drawn = [scene.render(i) for i in range(38)]
        assert any(d.visible.sum() < 0.8 * d.silhouette.sum() for d in drawn)
        assert all(d.silhouette.any() for d in drawn)


@pytest.mark.parametrize("seed", range(4))
def test_look_alikes_cross_target_after_first_frames(seed: int) -> None:
    scene = HyperspectralScene(seed, attributes="SLA", frames=150, size=(160, 96))
    touched = [scene.render(index).is_touched for index in range(0, 150, 3)]
    assert not any(touched[:3])
    assert sum(touched) >= 3


@pytest.mark.slow
def test_low_resolution_targets_are_small() -> None:
    for seed in range(4):
        box = HyperspectralScene(seed, attributes="LR", frames=1).make_frame(0).truth.boxes[0]
        assert box[2] * box[3] <= 20 * 20 * 1.3


def test_fast_motion_targets_are_faster() -> None:
    def speed(attributes: str) -> float:
        scene = HyperspectralScene(3, attributes=attributes, frames=60, size=(160, 96))
        masks = [scene.render(i).silhouette for i in range(60)]
        centers = np.array([np.mean(np.nonzero(mask), axis=1) for mask in masks])
        return float(np.percentile(np.hypot(*np.diff(centers, axis=0).T), 95))

    assert speed("FM") > 2 * speed("")


def test_illumination_varies_only_on_request() -> None:
    def swing(attributes: str) -> float:
        scene = HyperspectralScene(2, attributes=attributes, size=(96, 64), frames=10, stride=12)
        means = [float(scene.render(i).light.mean()) for i in range(10)]
        return max(means) / min(means)

    assert swing("IV") > 1.5 * swing("")


def test_seed_gives_same_scene_to_all_cameras() -> None:
    cameras = [make_random_camera(np.random.default_rng(seed)) for seed in range(4)]
    boxes = []
    for camera, sample in cameras:
        scene = HyperspectralScene(11, bands=camera, sample=sample, attributes="SLA,IV", **SMALL)
        frame = scene.make_frame(20)
        assert frame.image.shape == (96, 160, len(camera.wavelengths_nm))
        assert frame.image.dtype == np.dtype(sample)
        assert np.isfinite(frame.image).all()
        assert Decoder(scene.spectral_info).decode(frame.image, frame.encoding) is not None
        boxes.append(frame.truth.boxes)
    assert all((other == boxes[0]).all() for other in boxes)


def test_stride_skips_frames() -> None:
    long = HyperspectralScene(6, frames=25, size=(96, 64))
    short = HyperspectralScene(6, frames=3, stride=12, size=(96, 64))
    np.testing.assert_array_equal(short.make_frame(2).truth.boxes, long.make_frame(24).truth.boxes)
    np.testing.assert_array_equal(short.make_frame(2).image, long.make_frame(24).image)
    assert short.make_frame(2).stamp_ns == long.make_frame(24).stamp_ns


def test_sensor_saturates_and_is_noisy() -> None:
    frame = HyperspectralScene(0, attributes="IV", **SMALL).make_frame(0)
    light = HyperspectralScene(0, attributes="IV", **SMALL).render(0).light
    assert frame.image.max() <= 1023
    error = frame.image / 1023 - light
    dark, bright = light < 0.1, (light > 0.3) & (light < 0.6)
    assert 0.0005 < error[dark].std() < error[bright].std() < 0.02
    assert abs(error[bright].mean()) < 1e-3


def test_attributes_are_chosen_by_seed() -> None:
    seen = {
        name for seed in range(20) for name in HyperspectralScene(seed, frames=1, size=(48, 32)).attributes
    }
    assert seen == set(ATTRIBUTES)
    assert HyperspectralScene(0, 1, size=(48, 32), attributes="SLA, OV").attributes == ("OV", "SLA")
    assert not set(TRAINING_SEEDS) & set(BENCHMARK_SEEDS)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"attributes": "OCC,XYZ"}, "BC, OCC.*XYZ"),
        ({"bands": "vis61"}, "vis61.*vis16"),
        ({"kind": "line"}, "cube or mosaic"),
        ({"frames": 0}, "frames=0"),
        ({"size": (16, 16)}, "32 pixels"),
    ],
)
def test_invalid_arguments_are_named(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        HyperspectralScene(0, **arguments)


def test_camera_without_mosaic_refuses_mosaics() -> None:
    camera, _ = make_random_camera(np.random.default_rng(0))
    with pytest.raises(SourceError, match="kind must be cube"):
        HyperspectralScene(0, bands=camera, kind="mosaic")


def test_frame_after_last_is_refused() -> None:
    with pytest.raises(IndexError):
        HyperspectralScene(0, frames=2, size=(48, 32)).make_frame(2)


def test_procedural_frames_are_those_of_before() -> None:
    """Frames of earlier versions, every third pixel: results of the procedural suite stay comparable."""
    golden = np.load(Path(__file__).with_name("procedural_frames.npz"))
    for seed in (1_000_000, 1_000_003):
        scene = HyperspectralScene(seed, frames=30, size=(96, 64))
        for index in (0, 29):
            frame = scene.make_frame(index)
            changed = frame.image[::3, ::3].astype(int) - golden[f"image_{seed}_{index}"]
            assert np.abs(changed).max() <= 1
            assert (changed != 0).mean() < 0.01, "at most rounding on another processor"
            np.testing.assert_array_equal(frame.truth.boxes, golden[f"boxes_{seed}_{index}"])
