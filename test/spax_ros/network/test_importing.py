"""Official checkpoints become models that track, or are refused with everything that is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from spax_ros.importing import official_name, read_official
from spax_ros.network.config import VARIANTS
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import load_tracker
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import read_manifest

GOLDEN = Path(__file__).parents[4] / "shared" / "golden"
LISTINGS = {
    "base_satvideodt": "base_icpr",
    "light_satvideodt": "light_icpr",
    "base_satmtb": "base_satmtb",
    "light_satmtb": "light_satmtb",
}

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no listings of official weights at {GOLDEN}")


def official_state(variant: str) -> dict[str, Tensor]:
    """Small random weights by the official names, normalisations of ones."""
    shapes = json.loads((GOLDEN / f"spax_{LISTINGS[variant]}_state_dict_shapes.json").read_text())["shapes"]
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.ones(shape)
        if name.endswith("running_var")
        else 0.05 * torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
    }


def rstrack_import(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tracking_runtime.cli", "import", "spax", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_golden
@pytest.mark.parametrize("variant", LISTINGS)
def test_an_imported_model_tracks(variant: str, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in official_state(variant).items()}
    checkpoint = tmp_path / "model_best.pth"
    torch.save({"epoch": 20, "state_dict": state}, checkpoint)
    done = rstrack_import(checkpoint, "--variant", variant, "-o", "theirs", "--models", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "models" / "theirs.yaml")
    assert manifest.training["imported_from"] == "model_best.pth"
    assert manifest.training["variant"] == variant
    assert manifest.parameters["memory"] == "window"

    tracker = load_tracker(tmp_path / "models" / "theirs.yaml")
    assert tracker.class_names == VARIANTS[variant].classes
    for frame in SatelliteScene(1001, 8, 160, density=1000):
        tracker.track(frame.image, frame.stamp_ns)
    assert tracker.active_share > 0
    assert tracker.times.summary()["engine"].p50 > 0

    again = rstrack_import(checkpoint, "--variant", variant, "-o", "theirs", "--models", tmp_path / "models")
    assert again.returncode == 1
    assert "another name" in again.stderr


@needs_golden
def test_everything_wrong_is_listed(tmp_path: Path) -> None:
    state = official_state("light_satmtb")
    state["hm.0.weight"] = torch.zeros(1, 2, 3)
    del state["mask_layer.bias"], state["wh.0.bias"]
    state["transformer.weight"] = torch.zeros(3)
    path = tmp_path / "model.pth"
    torch.save(state, path)
    with pytest.raises(ModelError) as refused:
        read_official(path, "light_satmtb")
    wrong = ("hm.0.weight", "(1, 2, 3)", "mask_layer.bias", "heads.wh.hidden.0.bias", "transformer.weight")
    for part in ("model.pth", *wrong):
        assert part in str(refused.value)


@needs_golden
def test_another_variant_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(official_state("light_satmtb"), path)
    done = rstrack_import(path, "--variant", "base_satmtb", "-o", "x", "--models", tmp_path / "models")
    assert done.returncode == 1
    assert "not the weights of this variant" in done.stderr
    assert not (tmp_path / "models").exists()


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("sprung"),))  # type: ignore[return-value]


def test_what_is_no_checkpoint_is_refused_and_nothing_in_it_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "junk.pth"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"junk\.pth"):
        read_official(path, "base_satvideodt")
    torch.save({"state_dict": _Trap()}, path)
    with pytest.raises(ModelError, match=r"junk\.pth"):
        read_official(path, "base_satvideodt")
    assert not Path("sprung").exists()
    torch.save({"state_dict": {"a": np.float64(1).item()}}, path)
    with pytest.raises(ModelError, match="no state_dict"):
        read_official(path, "base_satvideodt")
    with pytest.raises(ModelError, match="no variant"):
        read_official(path, "huge")
    with pytest.raises(ModelError, match="not one of SPAX's"):
        official_name("transformer.weight", VARIANTS["base_satvideodt"])
