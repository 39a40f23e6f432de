import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hsi_tracker_ros.commands import train_hanet
from hsi_tracker_ros.cubes.camera_presets import preset
from hsi_tracker_ros.hanet.config import HANET_EDGE
from hsi_tracker_ros.hanet.crops import template_side
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.hanet.weights import load_network, save_network
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import load_tracker
from hsi_tracker_ros.training.pairs import (
    Augmentation,
    PairDataset,
    make_clip,
    read_clips,
    stack_pairs,
    write_clip,
)
from hsi_tracker_ros.training.recorded_clips import record_clips
from hsi_tracker_ros.training.simulated_clips import render_clips, simulated_clip
from hsi_tracker_ros.training.trainer import EDGE, PAPER, REFINING, Trainer, to_refine
from tracking_runtime.bags.source_recorder import record
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.models.manifest import read_manifest

RECIPE = replace(EDGE, steps=4, batch=2)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        write_clip(folder, f"{number}", simulated_clip(np.random.default_rng(number), 3))
    return folder


@pytest.fixture(scope="module")
def clips(clip_folder):
    return read_clips(clip_folder)


def trainer(clips, folder, **options):
    torch.manual_seed(0)
    return Trainer(HANet(HANET_EDGE), clips, RECIPE, folder, **options)


def weights(done):
    return {key: value.clone() for key, value in done.result.state_dict().items()}


def test_an_interrupted_run_ends_as_an_uninterrupted_one(clips, tmp_path):
    whole = trainer(clips, tmp_path / "whole")
    losses = list(whole.run())
    assert len(losses) == 4
    assert all(np.isfinite(list(each.values())).all() for each in losses)

    first = trainer(clips, tmp_path / "halves")
    for _ in islice(first.run(), 2):
        pass
    first.save()
    second = trainer(clips, tmp_path / "halves")
    assert second.step == 2
    assert len(list(second.run())) == 2

    for (key, one), other in zip(weights(whole).items(), weights(second).values(), strict=True):
        assert torch.equal(one, other), key


@pytest.mark.filterwarnings("ignore:.*which is a no-op")  # as it would be on torch's own meta device
def test_training_goes_on_the_same_on_another_device(clips, tmp_path, other_device):
    here = trainer(clips, tmp_path)
    run = here.run()
    next(run)
    here.save()
    away = trainer(clips, tmp_path, device=other_device)
    assert next(away.run()) == pytest.approx(next(run), rel=1e-4)
    for key, value in weights(here).items():
        torch.testing.assert_close(away.result.state_dict()[key].cpu(), value, msg=key)


def test_imagenet_layers_and_frozen_statistics_stay(clips, tmp_path):
    run = trainer(clips, tmp_path)
    before = {key: value.clone() for key, value in run.result.rgb.backbone.state_dict().items()}
    list(run.run())
    after = run.result.rgb.backbone.state_dict()
    assert torch.equal(before["stem.0.weight"], after["stem.0.weight"])
    assert torch.equal(before["stages.3.0.layers.1.running_mean"], after["stages.3.0.layers.1.running_mean"])
    assert not torch.equal(before["stages.3.0.layers.0.weight"], after["stages.3.0.layers.0.weight"])


def test_a_checkpoint_of_another_network_is_refused(clips, tmp_path):
    trainer(clips, tmp_path).save()
    with pytest.raises(ModelError, match="another network"):
        Trainer(HANet(replace(HANET_EDGE, channels=64)), clips, RECIPE, tmp_path)


def test_the_papers_rates():
    assert np.isclose(PAPER.rate(PAPER.steps - 1), 5e-4, rtol=1e-3)
    assert np.isclose(max(PAPER.rate(step) for step in range(0, PAPER.steps, 1000)), 1e-3, rtol=1e-2)


def test_pairs_show_the_target_where_their_box_says(clips):
    still = Augmentation(search_shift=0, search_scale=0, template_shift=0, template_scale=0, unpaired=0)
    pair = PairDataset(clips, HANET_EDGE, still, seed=0, length=1)[0]
    left, top, right, bottom = pair.box.tolist()
    assert np.isclose((left + right) / 2, 127.5, atol=1e-3)
    width, height = right - left, bottom - top
    assert np.isclose(template_side(np.array([0, 0, width, height])), 127, rtol=1e-3)
    assert pair.template_image.shape == (3, 127, 127)
    assert pair.search_cube.shape[1:] == (127, 127)


def test_pairs_depend_on_seed_and_index_alone(clips):
    one, other = (PairDataset(clips, HANET_EDGE, Augmentation(), seed=5, length=9) for _ in range(2))
    assert torch.equal(one[7].search_image, other[7].search_image)
    assert not torch.equal(one[7].search_image, one[6].search_image)


def test_search_crops_elsewhere_do_not_hold_the_target(clips):
    elsewhere = Augmentation(unpaired=0, elsewhere=1)
    dataset = PairDataset(clips, HANET_EDGE, elsewhere, seed=0, length=12)
    pairs = [dataset[index] for index in range(12)]
    assert not all(pair.paired for pair in pairs)
    for pair in pairs:
        left, top, right, bottom = pair.box.tolist()
        outside = right < 0 or bottom < 0 or left > 255 or top > 255
        assert outside != bool(pair.paired)


def test_batches_are_as_wide_as_their_widest_camera(clips):
    dataset = PairDataset(clips, HANET_EDGE, Augmentation(), seed=0, length=6)
    batch = stack_pairs([dataset[index] for index in range(6)])
    bands = (batch.wavelengths_nm > 0).sum(dim=1)
    assert batch.search_cube.shape[1] == bands.max()
    for cube, count in zip(batch.search_cube, bands, strict=True):
        assert not cube[count:].any()


def clip_of(bands):
    rng = np.random.default_rng(bands)
    light = [rng.random((60, 80, bands), np.float32) for _ in range(2)]
    return make_clip(light, np.array([[20.0, 20, 24, 18]] * 2), np.linspace(450, 950, bands))


def test_cameras_of_few_and_of_many_bands_train_together(tmp_path):
    """Up to the 256 bands that the tracker takes; an item has its camera's, a batch its widest camera's."""
    mixed = [clip_of(bands) for bands in (1, 4, 100, 256)]
    sure = Augmentation(blur=1)
    pairs = [PairDataset([clip], HANET_EDGE, sure, seed=0, length=1)[0] for clip in mixed]
    assert [len(pair.search_cube) for pair in pairs] == [1, 4, 100, 256]
    batch = stack_pairs(pairs[1:3])
    assert batch.template_cube.shape == (2, 100, 63, 63)
    assert batch.search_cube.shape == (2, 100, 127, 127)
    for number, pair in enumerate(pairs[1:3]):
        bands = len(pair.wavelengths_nm)
        for name in ("template_cube", "search_cube", "wavelengths_nm"):
            assert torch.equal(getattr(batch, name)[number, :bands], getattr(pair, name))
            assert not getattr(batch, name)[number, bands:].any()
    recipe = replace(RECIPE, steps=2, batch=4)
    losses = list(Trainer(HANet(HANET_EDGE), mixed, recipe, tmp_path).run())
    assert len(losses) == 2
    assert all(np.isfinite(list(each.values())).all() for each in losses)


def test_rendering_goes_on_where_it_stopped(tmp_path):
    assert list(render_clips(tmp_path, 2, frames=2)) == [1, 2]
    assert list(render_clips(tmp_path, 3, frames=2)) == [3]


def test_a_folder_without_clips_is_named(tmp_path):
    with pytest.raises(SourceError, match=str(tmp_path)):
        read_clips(tmp_path)


def test_the_paper_trains_the_rgb_branch_first_and_the_spectral_branch_after(clips, tmp_path):
    recipe = replace(RECIPE, steps=2, stages=(("rgb",), ("spectral",)), average=0.0)
    assert recipe.total_steps == 4
    assert [PAPER.learns(step) for step in (0, PAPER.steps)] == [("rgb",), ("spectral",)]
    torch.manual_seed(0)
    run = Trainer(HANet(HANET_EDGE), clips, recipe, tmp_path)
    seen = [weights(run)]
    for _ in run.run():
        seen.append(weights(run))

    def changed(branch, before, after):
        return any(not torch.equal(before[k], after[k]) for k in before if k.startswith(branch))

    first, second = (seen[0], seen[2]), (seen[2], seen[4])
    assert changed("rgb.", *first)
    assert not changed("spectral.", *first)
    assert not changed("rgb.", *second)
    assert changed("spectral.", *second)


def test_a_model_goes_on_learning(clip_folder, tmp_path):
    places = ["--clips", clip_folder, "--folder", tmp_path / "run", "--models", tmp_path]
    arguments = ["--from", "hanet_edge_any", "--camera", "vis16", "--steps", 1, "--batch", 2, "--count", 0]
    done = CliRunner().invoke(train_hanet, [str(each) for each in (*arguments, *places)])
    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / "hanet_edge_any_refined.yaml")
    assert manifest.training["initial_weights"] == "model hanet_edge_any"
    assert manifest.training["recipe"]["learning_rate"] == REFINING.learning_rate
    begun = load_network("hanet_edge_any").bake(preset("vis16").wavelengths_nm).state_dict()
    refined = load_network(tmp_path / "hanet_edge_any_refined.yaml").state_dict()
    changes = [(refined[key] - value).abs().max() for key, value in begun.items() if key.endswith("weight")]
    assert 0 < max(changes) < 0.01


def test_what_cannot_be_refined_is_told_what_can(tmp_path):
    pictures = save_network(tmp_path, "pictures", load_network("hanet_edge_any").rgb_alone())
    with pytest.raises(ModelError, match=r"pictures.*--rgb"):
        to_refine(str(pictures))
    with pytest.raises(ModelError, match=r"hanet_edge_vis16.*--from hanet_edge_any --camera"):
        to_refine("hanet_edge_vis16")
    both = CliRunner().invoke(train_hanet, ["--from", "hanet_edge_any", "--rgb", "hanet_edge_any"])
    assert both.exit_code == 2
    assert "--rgb" in both.output


def rstrack_train(*arguments, start=()):
    command = [sys.executable, *start, "-m", "tracking_runtime.cli", "train", "hanet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def hot_folder(tmp_path_factory):
    """Two videos as the HOT challenge of 2020 keeps them: 16-bit mosaics and a tab-separated truth."""
    root = tmp_path_factory.mktemp("hot") / "train"
    for seed in (900_001, 900_002):
        folder = root / f"scene{seed}" / "HSI"
        folder.mkdir(parents=True)
        lines = []
        for number, frame in enumerate(HyperspectralScene(seed, frames=12), start=1):
            height, width, _ = frame.image.shape
            mosaic = (
                frame.image.reshape(height, width, 4, 4).transpose(0, 2, 1, 3).reshape(4 * height, 4 * width)
            )
            cv2.imwrite(str(folder / f"{number:04d}.png"), mosaic.astype(np.uint16))
            box = frame.truth.boxes[0] if len(frame.truth.boxes) else np.zeros(4)
            lines.append("\t".join(str(round(value)) for value in box) + "\t")
        (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    return root


def test_clips_are_cut_from_a_benchmarks_folder_once(hot_folder, tmp_path):
    videos = open_dataset(hot_folder)
    assert len(list(record_clips(tmp_path, videos, stride=2))) == 2
    cut = read_clips(tmp_path)
    assert len(cut) == 2
    assert cut[0].roots.shape == (6, 256, 512, 16)
    wanted = [video.frame(2).truth.boxes[0].tolist() for video in videos]
    assert sorted(clip.boxes[1].tolist() for clip in cut) == sorted(wanted)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(list(record_clips(tmp_path, videos, stride=2))) == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_recordings_of_one_name_are_both_cut(tmp_path):
    bags = [tmp_path / folder / "bag" for folder in ("first", "second")]
    for seed, bag in enumerate(bags):
        bag.parent.mkdir()
        assert list(record(HyperspectralScene(900_001 + seed, frames=4, size=(96, 64)), bag))
    videos = [video for bag in bags for video in open_dataset(bag)]
    assert list(record_clips(tmp_path / "clips", videos, stride=2)) == ["bag", "bag"]
    first, second = read_clips(tmp_path / "clips")
    assert not np.array_equal(first.roots, second.roots)
    linked = tmp_path / "linked"
    linked.symlink_to(bags[0].parent)
    list(record_clips(tmp_path / "clips", open_dataset(linked / "bag"), stride=2))
    assert len(read_clips(tmp_path / "clips")) == 2


@pytest.mark.parametrize(("rows", "reason"), [(-1, "whole number|periods|4 x 4"), (-4, "shape")])
def test_a_recording_with_an_odd_frame_is_named(rows, reason, hot_folder, tmp_path):
    place = shutil.copytree(hot_folder, tmp_path / "train")
    odd = place / "scene900002" / "HSI" / "0011.png"
    cv2.imwrite(str(odd), cv2.imread(str(odd), cv2.IMREAD_UNCHANGED)[:rows])
    done = CliRunner().invoke(
        train_hanet, ["--count", "0", "--data", str(place), "--clips", str(tmp_path / "clips")]
    )
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert "scene900002" in done.output
    assert "frame 11" in done.output
    assert re.search(reason, done.output)


def test_recordings_without_spectra_are_named(tmp_path):
    (tmp_path / "video").mkdir()
    cv2.imwrite(str(tmp_path / "video" / "1.png"), np.zeros((32, 32, 3), np.uint8))
    done = rstrack_train("--count", 0, "--data", tmp_path / "video", "--clips", tmp_path / "clips")
    assert done.returncode == 1
    assert "video" in done.stderr
    assert "bands" in done.stderr


def test_two_processes_train_one_model_from_recordings(hot_folder, tmp_path, torchrun):
    places = ["--data", hot_folder, "--clips", tmp_path / "clips", "--folder", tmp_path / "run"]
    sizes = ["--count", 0, "--steps", 2, "--batch", 2]
    done = rstrack_train(*places, *sizes, "--models", tmp_path, "--name", "ours", start=torchrun(2))
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "ours.yaml")
    assert manifest.training["steps_done"] == 2
    assert str(hot_folder) in manifest.training["data"]
    assert load_tracker(tmp_path / "ours.yaml", engine="pytorch", bands=preset("vis16"))
