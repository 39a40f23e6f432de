"""Models whose RGB branch has the weights of another model."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.hanet.checkpoint_import import (
    load_nanotrack,
    make_hanet_with_rgb_branch,
    save_imported_tracker,
)
from hsi_tracker_ros.hanet.config import HANET_EDGE, SIAMBAN_R50
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.weights import (
    borrow_rgb_weights,
    compute_weights_sha256,
    load_network,
    save_network,
)
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import load_tracker
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import (
    MODEL_PATH_VARIABLE,
    find_model,
    list_model_folders,
    read_manifest,
)

spec = importlib.util.spec_from_file_location("weights", Path(__file__).parent / "weights.py")
weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(weights)

PUBLISHED = "published_tracker"
CHECKPOINT = Path(__file__).parents[4] / "shared" / "weights" / "nanotrackv3.pth"


def make_rgb_network(salt: int) -> SiameseNetwork:
    network = SiameseNetwork(replace(SIAMBAN_R50, backbone="nanotrack_v3"))
    weights.filled(network.rgb, salt)
    return network.eval()


@pytest.fixture
def network() -> HANet:
    torch.manual_seed(0)
    return borrow_rgb_weights(make_hanet_with_rgb_branch(HANET_EDGE, make_rgb_network(1)).eval(), PUBLISHED)


@pytest.fixture
def folder(network: HANet, tmp_path: Path) -> Path:
    """Folder with the HA-Net `borrower`, and the model that it borrows from."""
    save_network(tmp_path, PUBLISHED, make_rgb_network(1), precision=torch.float32)
    save_network(tmp_path, "borrower", network, precision=torch.float32)
    return tmp_path


def remove_published(folder: Path) -> None:
    for suffix in (".yaml", ".safetensors"):
        (folder / f"{PUBLISHED}{suffix}").unlink()


def test_borrowing_model_contains_no_weights_of_the_rgb_branch(folder: Path) -> None:
    names = load_file(folder / "borrower.safetensors")

    assert {name.partition(".")[0] for name in names} == {"alpha", "beta", "spectral"}


def test_borrowing_model_equals_the_saved_network(folder: Path, network: HANet) -> None:
    loaded = load_network(folder / "borrower.yaml")

    assert loaded.state_dict().keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_published_model_is_found_in_another_folder(folder: Path, tmp_path_factory, monkeypatch) -> None:
    other = tmp_path_factory.mktemp("other")
    for suffix in (".yaml", ".safetensors"):
        (folder / f"{PUBLISHED}{suffix}").rename(other / f"{PUBLISHED}{suffix}")
    monkeypatch.setenv(MODEL_PATH_VARIABLE, str(other))

    assert isinstance(load_network(folder / "borrower.yaml"), HANet)


def test_missing_published_model_tells_the_command(folder: Path) -> None:
    remove_published(folder)

    with pytest.raises(ModelError) as told:
        load_network(folder / "borrower.yaml")
    assert f"borrower needs the weights of {PUBLISHED}" in str(told.value)
    assert f"rstrack models get {PUBLISHED} --models {folder}" in str(told.value)


def test_other_weights_of_the_published_name_are_refused(folder: Path) -> None:
    save_network(folder, PUBLISHED, make_rgb_network(2), precision=torch.float32)

    with pytest.raises(ModelError, match=rf"{PUBLISHED}\.yaml has .*remove that model"):
        load_network(folder / "borrower.yaml")


@pytest.mark.parametrize("name", ["borrower", PUBLISHED])
def test_model_that_borrows_from_a_borrower_is_refused(folder: Path, name: str) -> None:
    manifest = yaml.safe_load((folder / "borrower.yaml").read_text())
    manifest["parameters"]["rgb_model"] = name
    (folder / "borrower.yaml").write_text(yaml.safe_dump(manifest))
    if name == PUBLISHED:
        for suffix in (".yaml", ".safetensors"):
            content = (folder / f"borrower{suffix}").read_bytes()
            (folder / f"{PUBLISHED}{suffix}").write_bytes(content)

    with pytest.raises(ModelError, match="does not have the weights of its RGB branch itself"):
        load_network(folder / "borrower.yaml")


def test_path_as_published_name_is_refused(folder: Path) -> None:
    manifest = yaml.safe_load((folder / "borrower.yaml").read_text())
    manifest["parameters"]["rgb_model"] = f"../{folder.name}/{PUBLISHED}"
    (folder / "borrower.yaml").write_text(yaml.safe_dump(manifest))

    with pytest.raises(ModelError, match="rgb_model must be a name without folder"):
        load_network(folder / "borrower.yaml")


def test_parts_of_a_borrowing_network_are_saved_whole(folder: Path, tmp_path: Path) -> None:
    network = load_network(folder / "borrower.yaml")
    save_network(tmp_path / "parts", "rgb", network.extract_rgb_network(), precision=torch.float32)
    with torch.no_grad():
        next(network.rgb.parameters()).mul_(2)  # trained further
    save_network(tmp_path / "parts", "refined", network, precision=torch.float32)

    for name in ("rgb", "refined"):
        loaded = load_network(tmp_path / "parts" / f"{name}.yaml")
        assert not loaded.config.rgb_model
    assert torch.equal(next(loaded.rgb.parameters()), next(network.rgb.parameters()))


@given(st.randoms(use_true_random=False))
def test_checksum_does_not_depend_on_the_order_of_weights(random) -> None:
    names = [f"layer{index}" for index in range(6)]
    values = {name: torch.full((2, index + 1), float(index)) for index, name in enumerate(names)}
    random.shuffle(names)
    shuffled = {name: values[name] for name in names} | {"num_batches_tracked": torch.tensor(3)}

    assert compute_weights_sha256(shuffled) == compute_weights_sha256(values)


@pytest.mark.parametrize("change", ["value", "shape", "name"])
def test_checksum_changes_with_the_weights(change: str) -> None:
    values = {"a": torch.arange(6.0)}
    changed = {
        "value": {"a": torch.arange(6.0) + 1e-6},
        "shape": {"a": torch.arange(6.0).reshape(2, 3)},
        "name": {"b": torch.arange(6.0)},
    }[change]

    assert compute_weights_sha256(changed) != compute_weights_sha256(values)


def test_shipped_model_contains_no_published_weights() -> None:
    names = load_file(find_model("hanet_nanotrack").with_suffix(".safetensors"))

    assert {name.partition(".")[0] for name in names} == {"alpha", "beta", "spectral"}


def test_shipped_model_without_published_weights_tells_the_command() -> None:
    needed = read_manifest(find_model("hanet_nanotrack")).parameters["rgb_model"]
    if any((folder / f"{needed}.yaml").exists() for folder in list_model_folders()):
        pytest.skip(f"{needed} is installed")

    with pytest.raises(ModelError, match="rstrack models get nanotrack_v3 --models"):
        load_tracker("hanet_nanotrack", bands=find_camera_preset("vis16"))


@pytest.mark.slow
@pytest.mark.skipif(not CHECKPOINT.is_file(), reason=f"no checkpoint at {CHECKPOINT}")
def test_shipped_model_tracks_with_the_published_weights(tmp_path: Path) -> None:
    save_imported_tracker(load_nanotrack(CHECKPOINT), CHECKPOINT, "its authors", tmp_path, "nanotrack_v3")
    shipped = find_model("hanet_nanotrack")
    for path in (shipped, shipped.with_suffix(".safetensors")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    scene = HyperspectralScene(900_001, frames=6)
    tracker = load_tracker(tmp_path / shipped.name, "pytorch", scene.spectral_info)
    overlaps = []

    for number, frame in enumerate(scene):
        if number == 0:
            tracker.set_target(frame.image, frame.truth.boxes[0])
            continue
        (state,) = tracker.track(frame.image, frame.stamp_ns)
        overlaps.append(intersection_over_union([state.box], frame.truth.boxes[:1])[0, 0])

    assert min(overlaps) > 0.4
