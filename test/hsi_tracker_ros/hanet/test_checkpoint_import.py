import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.hanet.checkpoint_import import (
    load_nanotrack,
    load_siamban,
    make_hanet_with_rgb_branch,
    save_imported_tracker,
)
from hsi_tracker_ros.hanet.config import HANET_EDGE, SIAMBAN_R50
from hsi_tracker_ros.hanet.nanotrack import NanoTrack
from hsi_tracker_ros.hanet.network import SiamBAN, SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_network, save_network
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import TargetStatus, load_rgb_tracker, load_tracker
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.errors import FrameRefusedError, ModelError
from tracking_runtime.io.ground_truth import read_ground_truth
from tracking_runtime.models.manifest import read_manifest

SHARED = Path(__file__).parents[4] / "shared"
BAG = SHARED / "data" / "rgb" / "bag"

spec = importlib.util.spec_from_file_location("weights", Path(__file__).parent / "weights.py")
weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(weights)


def rstrack_import(*arguments):
    command = [sys.executable, "-m", "tracking_runtime.cli", "import", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def siamban_checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("siamban") / "model.pth"
    state = weights.filled(SiamBAN(SIAMBAN_R50), salt=3).state_dict()
    torch.save({"epoch": np.float64(20), "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    return path


@pytest.mark.slow
def test_imported_siamban_equals_published_network(siamban_checkpoint, tmp_path):
    done = rstrack_import("siamban", siamban_checkpoint, "-o", "theirs", "--models", tmp_path)
    assert done.returncode == 0, done.stderr
    network = load_network(tmp_path / "theirs.yaml")
    official = weights.filled(SiamBAN(SIAMBAN_R50), salt=3)
    crops = [torch.rand(1, 3, size, size) * 255 for size in (127, 255)]
    with torch.inference_mode():
        for given, wanted in zip(network.rgb(*crops), official(*crops), strict=True):
            torch.testing.assert_close(given, wanted)
    assert read_manifest(tmp_path / "theirs.yaml").training["imported_from"] == "model.pth"
    again = rstrack_import("siamban", siamban_checkpoint, "-o", "theirs", "--models", tmp_path)
    assert again.returncode == 1
    assert "exists" in again.stderr


@pytest.mark.slow
def test_invalid_siamban_error_lists_all_parameters(siamban_checkpoint, tmp_path):
    state = torch.load(siamban_checkpoint, weights_only=False)["state_dict"]
    state["module.head.stranger"] = torch.zeros(1)
    state["module.neck.downsample2.downsample.0.weight"] = torch.zeros(3, 3)
    del state["module.backbone.conv1.weight"]
    torch.save(state, tmp_path / "odd.pth")
    done = rstrack_import("siamban", tmp_path / "odd.pth", "-o", "odd", "--models", tmp_path / "models")
    assert done.returncode == 1
    assert "backbone.conv1.weight is missing" in done.stderr
    assert "head.stranger is unknown" in done.stderr
    assert "neck.downsample2.downsample.0.weight has shape (3, 3)" in done.stderr
    assert not (tmp_path / "models").exists()


def test_checkpoint_with_code_is_refused(tmp_path):
    path = tmp_path / "bad.pth"
    torch.save({"state_dict": {"backbone.conv1.weight": subprocess.Popen}}, path)
    with pytest.raises(ModelError, match=r"bad\.pth"):
        load_siamban(path)


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2, 3])
def test_nanotrack_version_is_found_from_weights(version, tmp_path):
    network = weights.filled(NanoTrack(version), salt=1)
    state = {**network.state_dict(), "neck.downsample.0.weight": torch.zeros(64, 64, 1, 1)}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {}}, tmp_path / "nano.pth")
    done = rstrack_import("nanotrack", tmp_path / "nano.pth", "-o", "nano", "--models", tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = load_network(tmp_path / "nano.yaml")
    assert loaded.config.backbone == f"nanotrack_v{version}"
    crops = [torch.rand(1, 3, size, size) * 255 for size in (127, 255)]
    with torch.inference_mode():
        for given, wanted in zip(loaded.rgb(*crops), network(*crops), strict=True):
            torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_missing_nanotrack_weights_are_listed_by_version(version, tmp_path):
    state = NanoTrack(version).state_dict()
    keys = [key for key in state if key.startswith("ban_head.") and not key.endswith("num_batches_tracked")]
    correlation = [key for key in keys if key.startswith("ban_head.corr_")]
    for count, missing in enumerate((keys[:1], correlation, keys[::4])):
        kept = {key: value for key, value in state.items() if key not in missing}
        path = tmp_path / f"{count}.pth"
        torch.save(kept, path)
        with pytest.raises(ModelError) as told:
            load_nanotrack(path)
        first, *problems = str(told.value).split("\n  ")
        assert f"{path} is not a nanotrack_v{version} tracker" in first
        assert problems == [f"{key} is missing" for key in sorted(missing)]


@pytest.mark.slow
@pytest.mark.skipif(not BAG.is_dir(), reason=f"no sequence at {BAG}")
@pytest.mark.parametrize(("version", "published"), [(1, 0.846), (2, 0.812), (3, 0.762)])
def test_nanotrack_on_real_sequence_reaches_published_score(version, published, tmp_path):
    checkpoint = SHARED / "weights" / f"nanotrackv{version}.pth"
    model = save_imported_tracker(load_nanotrack(checkpoint), checkpoint, "its authors", tmp_path, "nano")
    images = sorted(BAG.glob("*.jpg"))
    truth = [each.boxes[0] for each in read_ground_truth(BAG / "groundtruth.txt", len(images))]
    tracker = load_tracker(model, engine="pytorch")
    tracker.set_target(cv2.imread(str(images[0])), truth[0])
    overlaps = [1.0]
    for number, (path, box) in enumerate(zip(images[1:], truth[1:], strict=True)):
        (target,) = tracker.track(cv2.imread(str(path)), number)
        overlaps.append(intersection_over_union([target.box], [box])[0, 0])
    assert np.mean(overlaps) >= published - 0.02


@pytest.fixture(scope="module")
def scene():
    return list(HyperspectralScene(900_001, frames=8))


@pytest.mark.slow
def test_rgb_branch_tracks_in_false_color_and_color(scene):
    camera = find_camera_preset("vis16")
    on_cubes = load_rgb_tracker("hanet_edge_vis16", "pytorch", camera=camera)
    on_pictures = load_rgb_tracker("hanet_edge_vis16", "pytorch")
    for number, frame in enumerate(scene):
        picture = on_cubes.render_false_color(frame.image)
        if number == 0:
            on_cubes.set_target(frame.image, frame.truth.boxes[0])
            on_pictures.set_target(picture, frame.truth.boxes[0])
            continue
        (cube_target,), (target,) = (
            on_cubes.track(frame.image, number),
            on_pictures.track(picture, number),
        )
        assert np.abs(target.box - cube_target.box).max() < 2
    assert target.state is TargetStatus.TRACKING
    assert intersection_over_union([target.box], frame.truth.boxes[:1])[0, 0] > 0.4


@pytest.mark.parametrize(
    "picture",
    [np.zeros((40, 40, 4), np.uint8), np.zeros((40, 40, 3), np.float32), np.zeros((0, 40, 3), np.uint8)],
)
def test_invalid_color_image_is_refused(picture):
    tracker = load_rgb_tracker("hanet_edge_vis16", "pytorch")
    tracker.set_target(np.full((64, 64, 3), 90, np.uint8), (20, 20, 20, 20))
    with pytest.raises(FrameRefusedError):
        tracker.track(picture, 1)
    assert len(tracker.track(np.full((64, 64, 3), 90, np.uint8), 2)) == 1


@pytest.mark.parametrize("version", [1, 3])
def test_imported_tracker_is_rgb_branch_of_hanet(version, scene, tmp_path):
    rgb = SiameseNetwork(replace(SIAMBAN_R50, backbone=f"nanotrack_v{version}"))
    weights.filled(rgb.rgb, salt=2)
    network = make_hanet_with_rgb_branch(HANET_EDGE, rgb).eval()
    image, cube = torch.rand(2, 3, 255, 255) * 255, torch.rand(2, 16, 127, 127)
    nm = torch.tensor([find_camera_preset("vis16").wavelengths_nm] * 2)
    with torch.inference_mode():
        responses = network(image[..., :127, :127], cube[..., :63, :63], image, cube, nm)
        wanted, _ = rgb.rgb(image[..., :127, :127], image)
    torch.testing.assert_close(responses.rgb, wanted)
    torch.testing.assert_close(responses.fused, wanted + responses.hsi)
    path = save_network(tmp_path, "both", network, precision=torch.float32)
    tracker = load_tracker(path, engine="pytorch", bands=find_camera_preset("vis16"))
    tracker.set_target(scene[0].image, scene[0].truth.boxes[0])
    assert len(tracker.track(scene[1].image, 1)) == 1


def test_unknown_tracker_settings_are_named(tmp_path):
    network = SiameseNetwork(replace(SIAMBAN_R50, backbone="nanotrack_v1", tracking={"patience": 3.0}))
    path = save_network(tmp_path, "odd", network)
    with pytest.raises(ModelError, match="patience"):
        load_tracker(path, engine="pytorch")
