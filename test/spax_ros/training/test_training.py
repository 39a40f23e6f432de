"""Training: targets, losses, clips on disk, and going on where it stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from spax_ros.motion.mask import MotionSettings
from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.network import SpaxNetwork
from spax_ros.preprocessing import Inputs
from spax_ros.sparse.grid import PackedGrid
from spax_ros.training.preparation import (
    Clip,
    ClipFrame,
    ClipPool,
    crop,
    prepare_clips,
    prepare_videos,
    prepared_frames,
)
from spax_ros.training.trainer import (
    Trainer,
    TrainingSettings,
    focal_loss,
    gaussian_radius,
    heat_map,
    peak_pixels,
    targets_of,
)
from spax_ros.weights import load_spax, save_spax
from tracking_runtime.cli import main
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.models.manifest import load_model

CONFIG = replace(VARIANTS["small"], widths=(4, 4, 4, 4), head_width=4)
SETTINGS = TrainingSettings(steps=4, learning_rate=1e-3, batch=1, crop=64, unroll=2, stretches=1)


def clip_of(seed: int, frames: int = 8, side: int = 96) -> Clip:
    """A clip with random inputs and one object that moves by two pixels a frame."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(frames):
        box = np.array([[30.0 + 2 * index, 40.5, 8, 5]])
        mask = np.zeros((side, side), bool)
        mask[32:56, 20:70] = True
        pixels = np.flatnonzero(mask).astype(np.int32)
        truth = GroundTruth(np.array([7]), np.array([0], np.uint8), box)
        inputs = rng.standard_normal((len(pixels), 2)).astype(np.float16)
        made.append(ClipFrame(pixels, inputs, np.array([0.4, -1.6]), truth))
    return Clip(side, side, tuple(made))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        clip_of(seed).save(tmp_path / f"{seed}.npz")
    return tmp_path


def test_a_clip_comes_back_from_its_file(tmp_path: Path) -> None:
    clip = clip_of(0)
    clip.save(tmp_path / "clip.npz")
    again = Clip.load(tmp_path / "clip.npz")
    assert (again.height, again.width, len(again.frames)) == (96, 96, 8)
    for a, b in zip(clip.frames, again.frames, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        np.testing.assert_array_equal(a.inputs, b.inputs)
        np.testing.assert_array_equal(a.truth.boxes, b.truth.boxes)
        np.testing.assert_array_equal(a.shift, b.shift)


def test_a_folder_without_clips_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=str(tmp_path)):
        ClipPool(tmp_path)


def test_simulated_clips_are_made_once(tmp_path: Path) -> None:
    assert list(prepare_clips(tmp_path, Inputs("bgr"), simulated=1, frames=3)) == [1]
    (path,) = tmp_path.glob("*.npz")
    made = path.stat().st_mtime_ns
    list(prepare_clips(tmp_path, Inputs("bgr"), simulated=1, frames=3))
    assert path.stat().st_mtime_ns == made
    assert Clip.load(path).frames[-1].inputs.shape[1] == 3


def satvideodt(root: Path, frames: int, class_number: int) -> Path:
    """A video as SatVideoDT keeps it: img1/000001.jpg and gt.txt with top-left boxes."""
    images = root / "val_data" / "001" / "img1"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ground = rng.integers(90, 110, (96, 96), np.uint8)
    lines = []
    for index in range(frames):
        image = ground.copy()
        image[40:45, 20 + index : 28 + index] = 230
        cv2.imwrite(str(images / f"{index + 1:06d}.jpg"), image)
        lines.append(f"{index + 1},7,{20 + index},40,8,5,1,{class_number},1")
    (images.parent / "gt.txt").write_text("\n".join(lines) + "\n")
    return root / "val_data"


@pytest.mark.parametrize(
    ("order", "number"), [("car,airplane,ship,train", 1), ("airplane,car,ship,train", 2)]
)
def test_a_benchmark_becomes_clips_whatever_its_order_of_classes(
    tmp_path: Path, order: str, number: int
) -> None:
    videos = open_dataset(satvideodt(tmp_path, 43, number), class_names=order.split(","))
    inputs, classes = Inputs("gray_residual"), ("train", "car", "ship", "airplane")
    assert list(prepare_videos(tmp_path / "clips", inputs, classes, videos)) == [1]
    first, second = map(Clip.load, sorted((tmp_path / "clips").glob("*.npz")))
    assert (len(first.frames), len(second.frames)) == (40, 3)
    truth = second.frames[0].truth
    assert (truth.ids.tolist(), truth.class_ids.tolist()) == ([7], [1])
    np.testing.assert_allclose(truth.boxes, [[60, 40, 8, 5]])
    made = [path.stat().st_mtime_ns for path in (tmp_path / "clips").glob("*.npz")]
    list(prepare_videos(tmp_path / "clips", inputs, classes, videos))
    assert [path.stat().st_mtime_ns for path in (tmp_path / "clips").glob("*.npz")] == made


def test_classes_that_the_network_does_not_know_are_named(tmp_path: Path) -> None:
    videos = open_dataset(satvideodt(tmp_path, 2, 1), class_names=("tank",))
    with pytest.raises(SourceError, match="tank"):
        list(prepare_videos(tmp_path / "clips", Inputs("bgr"), ("car",), videos))


def test_two_processes_learn_together(
    folder: Path, tmp_path: Path, torchrun: Callable[[int], list[str]]
) -> None:
    command = [*torchrun(2), "-m", "tracking_runtime.cli", "train", "spax", "--clips", str(folder)]
    command += [
        "--simulated",
        "0",
        "--steps",
        "2",
        "--batch",
        "1",
        "--folder",
        str(tmp_path / "run"),
        "--name",
        "both",
    ]
    done = subprocess.run(
        [sys.executable, *command, "--models", str(tmp_path / "models")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == 1
    assert load_spax(tmp_path / "models" / "both.yaml").config == VARIANTS["small"]
    content = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert (content["step"], content["clips_seen"]) == (2, 2)
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_a_device_that_is_not_here_is_named(folder: Path, tmp_path: Path) -> None:
    command = ["train", "spax", "--device", "cuda:99", "--clips", str(folder), "--simulated", "0"]
    done = CliRunner().invoke(main, [*command, "--folder", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "cuda:99" in done.output


@pytest.mark.parametrize("seed", range(6))
def test_crops_keep_objects_on_their_pixels(seed: int) -> None:
    """However a crop is flipped, the object is where its pixels are."""
    clip = clip_of(0)
    for frame in clip.frames:
        frame.inputs[:] = 0
        box = frame.truth.boxes[0]
        y, x = frame.pixels // 96, frame.pixels % 96
        inside = (x >= box[0]) & (x < box[0] + 8) & (y >= 41) & (y < 45)
        frame.inputs[inside] = 1
    frames = crop(clip, 64, 4, np.random.default_rng(seed))
    for frame in frames:
        (box,) = frame.truth.boxes
        y, x = np.nonzero(frame.inputs[0])
        np.testing.assert_allclose([x.mean() + 0.5, y.mean() + 0.5], box[:2] + box[2:] / 2, atol=0.51)
        assert sorted(np.abs(frame.shift).tolist()) == [0, 2]


def test_every_other_crop_begins_with_its_clip() -> None:
    clip = clip_of(0, frames=12)
    for index, frame in enumerate(clip.frames):
        frame.inputs[:] = index
    rng = np.random.default_rng(0)
    begins = [crop(clip, 64, 4, rng)[0].inputs.max() == 0 for _ in range(200)]
    assert 80 < sum(begins) < 120


def test_crops_show_the_class_that_is_asked_for() -> None:
    clip = clip_of(0, side=400)
    far = [
        replace(
            frame,
            truth=GroundTruth(
                np.array([7, 8]),
                np.array([0, 3], np.uint8),
                np.concatenate([frame.truth.boxes, [[350.0, 350, 20, 20]]]),
            ),
        )
        for frame in clip.frames
    ]
    clip = replace(clip, frames=tuple(far))
    rng = np.random.default_rng(0)
    for class_id in (0, 3):
        for _ in range(10):
            assert class_id in crop(clip, 64, 4, rng, class_id)[2].truth.class_ids


def test_rare_classes_are_drawn_by_the_square_root_of_their_share(tmp_path: Path) -> None:
    for seed in range(10):
        clip = clip_of(seed)
        if seed == 0:
            for frame in clip.frames:
                frame.truth.class_ids[:] = 3
        clip.save(tmp_path / f"{seed}.npz")
    pool, rng = ClipPool(tmp_path), np.random.default_rng(0)
    drawn = [pool.draw(rng) for _ in range(400)]
    assert all(class_id in clip.frames[0].truth.class_ids for clip, class_id in drawn)
    assert 70 < sum(class_id == 3 for _, class_id in drawn) < 130  # 1 in 4, not 1 in 10


def test_clips_without_objects_are_drawn_too(tmp_path: Path) -> None:
    clip = clip_of(0)
    bare = replace(clip, frames=tuple(replace(frame, truth=GroundTruth()) for frame in clip.frames))
    bare.save(tmp_path / "bare.npz")
    drawn, class_id = ClipPool(tmp_path).draw(np.random.default_rng(0))
    assert (len(drawn.frames), class_id) == (8, None)


def test_what_the_network_would_have_seen_stays_active() -> None:
    """A vehicle drives and waits: the difference from the background ends, the mask around it does not."""
    ground = np.random.default_rng(0).integers(90, 110, (128, 128), np.uint8)

    def video() -> Iterator[Frame]:
        for index in range(40):
            image = ground.copy()
            left = 20 + 2 * min(index, 12)
            image[60:65, left : left + 8] = 230
            truth = GroundTruth(np.array([1]), np.array([0], np.uint8), np.array([[left, 60.0, 8, 5]]))
            yield Frame(index, image, "mono8", "camera", truth)

    def active(recall: float) -> list[bool]:
        frames = prepared_frames(video(), Inputs("gray_residual"), MotionSettings(), recall)
        return [62 * 128 + int(each.frame.truth.boxes[0, 0]) + 4 in each.frame.pixels for each in frames]

    assert not active(1.0)[0]
    assert all(active(1.0)[6:])
    assert all(active(0.0)[6:12])
    assert not active(0.0)[-1]


def test_targets_lie_at_the_centres() -> None:
    frames = crop(clip_of(0), 64, 3, np.random.default_rng(1))
    grid = PackedGrid(frames[2].mask[None], CONFIG.levels)
    targets = targets_of(frames[2:], frames[1:2], grid, 4, 1)
    (box,) = frames[2].truth.boxes
    rows, columns = (places[targets.numbers.numpy()] for places in grid.positions)
    centre = np.array([columns[0], rows[0]]) + targets.offsets[0].numpy()
    np.testing.assert_allclose(centre, box[:2] + box[2:] / 2, atol=1e-5)
    np.testing.assert_allclose(targets.sizes[0], box[2:])
    np.testing.assert_allclose(np.abs(targets.displacements[0]).sum(), 2)
    assert float(targets.heat[targets.numbers[0], 0]) == 1
    assert float(targets.heat[:, 1:].max()) == 0


def test_an_object_is_looked_for_at_the_active_pixel_next_to_its_centre() -> None:
    mask = np.zeros((64, 64), bool)
    mask[18:24, 4:12] = mask[20:23, 40:60] = True
    boxes = np.array([[5.0, 18, 50, 6], [4.0, 18, 8, 6], [0.0, 40, 9, 9]])
    assert peak_pixels(boxes, mask).tolist() == [[40, 21], [8, 21], [4, 44]]


def test_the_ends_of_an_object_say_where_its_centre_is() -> None:
    clip = clip_of(0)
    frame = crop(clip, 64, 3, np.random.default_rng(1))[2]
    (box,) = frame.truth.boxes
    column, row = (box[:2] + box[2:] / 2).astype(int)
    frame.mask[row - 1 : row + 2, column - 1 : column + 2] = False
    grid = PackedGrid(frame.mask[None], CONFIG.levels)
    targets = targets_of([frame], None, grid, 4, 1)
    rows, columns = (places[targets.numbers.numpy()] for places in grid.positions)
    assert (rows[0], columns[0]) != (row, column)
    centre = np.array([columns[0], rows[0]]) + targets.offsets[0].numpy()
    np.testing.assert_allclose(centre, box[:2] + box[2:] / 2, atol=1e-5)
    assert float(targets.heat[targets.numbers[0], 0]) == 1


def test_heat_maps_peak_at_one_and_fall_off() -> None:
    heat = heat_map(np.array([[30, 40]]), np.array([[21.0, 21]]), np.array([2], np.uint8), 3, 64, 0)
    assert heat[2, 40, 30] == 1
    assert 0 < heat[2, 40, 32] < heat[2, 40, 31] < 1
    assert heat[:2].max() == 0
    assert gaussian_radius(10, 10) == pytest.approx(2.74, abs=0.01)


def test_focal_loss_wants_peaks_and_nothing_else() -> None:
    target = torch.tensor([[0.0], [0.5], [1.0]])
    right, wrong = torch.tensor([[-6.0], [-2.0], [6.0]]), torch.tensor([[6.0], [2.0], [-6.0]])
    assert float(focal_loss(right, target)) < 0.05 < 5 < float(focal_loss(wrong, target))
    assert torch.isfinite(focal_loss(torch.zeros(0, 1), torch.zeros(0, 1)))


def test_resumed_training_is_uninterrupted_training(folder: Path, tmp_path: Path) -> None:
    def trainer(run: str) -> Trainer:
        return Trainer(CONFIG, replace(SETTINGS, steps=4), ClipPool(folder), tmp_path / run)

    whole = trainer("whole")
    losses = [figures["total"] for figures in whole.run()]
    assert len(losses) == 4

    first = trainer("halves")
    run = first.run()
    begun = [next(run)["total"] for _ in range(2)]
    first.save()
    second = trainer("halves")
    assert second.step == 2
    assert begun + [figures["total"] for figures in second.run()] == pytest.approx(losses)
    for name, value in whole.averaged.items():
        torch.testing.assert_close(second.averaged[name], value)


@pytest.mark.filterwarnings("ignore:.*which is a no-op")  # as it would be on torch's own meta device
@pytest.mark.parametrize("variant", ["small", "base_satmtb"])
def test_training_goes_on_the_same_on_another_device(
    variant: str, folder: Path, tmp_path: Path, other_device: str
) -> None:
    whole = VARIANTS[variant]
    config = replace(whole, inputs="gray_residual", widths=(4,) * whole.levels, head_width=4)
    here = Trainer(config, SETTINGS, ClipPool(folder), tmp_path / "run")
    run = here.run()
    next(run)
    here.save()
    away = Trainer(config, SETTINGS, ClipPool(folder), tmp_path / "run", device=other_device)
    assert next(away.run()) == pytest.approx(next(run), rel=1e-4)
    for name, value in here.averaged.items():
        torch.testing.assert_close(away.averaged[name].cpu(), value)


def test_refining_begins_with_a_model(folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    network = SpaxNetwork(CONFIG)
    path = save_spax(models, "tiny", replace(CONFIG, memory="window"), network.state_dict())
    command = ["train", "spax", "--from", str(path), "--clips", str(folder), "--simulated", "0"]
    command += ["--steps", "1", "--folder", str(tmp_path / "run"), "--models", str(models)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    refined = load_model(models / "tiny_refined.yaml", "spax")
    assert refined.manifest.training["begun_from"] == str(path)
    assert SpaxConfig.from_parameters(refined.manifest.parameters) == CONFIG
    for name, value in network.named_parameters():
        torch.testing.assert_close(refined.weights[name], value, atol=1e-3, rtol=0)


def test_weights_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    other = SpaxNetwork(replace(CONFIG, head_width=8)).state_dict()
    with pytest.raises(ModelError, match=r"(?s)not of the network.*head"):
        Trainer(CONFIG, SETTINGS, ClipPool(folder), tmp_path, other)


def test_from_some_step_on_normalisation_is_as_after_training(folder: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=8, settle_at=0.5)
    trainer = Trainer(CONFIG, settings, ClipPool(folder), tmp_path)
    statistics = []
    for _ in trainer.run():
        values = trainer.network.state_dict()
        statistics.append({name: value.clone() for name, value in values.items() if "running" in name})
    assert any(not torch.equal(value, statistics[3][name]) for name, value in statistics[0].items())
    for name, value in statistics[4].items():
        torch.testing.assert_close(value, statistics[7][name])
        torch.testing.assert_close(value, trainer.averaged[name])


def test_a_checkpoint_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    Trainer(CONFIG, SETTINGS, ClipPool(folder), tmp_path).save()
    with pytest.raises(ModelError, match=r"checkpoint\.pt"):
        Trainer(replace(CONFIG, head_width=8), SETTINGS, ClipPool(folder), tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"checkpoint\.pt"):
        Trainer(CONFIG, SETTINGS, ClipPool(folder), tmp_path)


def test_trained_weights_become_a_model(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, replace(SETTINGS, steps=1), ClipPool(folder), tmp_path / "run")
    list(trainer.run())
    path = save_spax(tmp_path / "models", "tiny", CONFIG, trainer.averaged, training=trainer.describe())
    assert load_spax(path).config == CONFIG
    weights = dict(trainer.averaged)
    weights.pop("mask_layer.weight")
    path = save_spax(tmp_path / "models", "broken", CONFIG, weights)
    with pytest.raises(ModelError, match=r"(?s)broken\.yaml.*mask_layer"):
        load_spax(path)


@pytest.mark.parametrize("variant", ["light", "small"])
def test_the_shipped_models_are_of_their_variants(variant: str) -> None:
    assert load_spax(f"spax_{variant}").config == VARIANTS[variant]
