"""Import of official checkpoints: models that track, and complete messages about unusable ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from spax_ros.importing import read_official_checkpoint, translate_name
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


def make_official_state(variant: str) -> dict[str, Tensor]:
    """Return small random weights by their official names, with variances of one."""
    shapes = json.loads((GOLDEN / f"spax_{LISTINGS[variant]}_state_dict_shapes.json").read_text())["shapes"]
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.ones(shape)
        if name.endswith("running_var")
        else 0.05 * torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
    }


def run_import(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tracking_runtime.cli", "import", "spax", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@needs_golden
@pytest.mark.parametrize("variant", LISTINGS)
def test_imported_model_tracks(variant: str, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in make_official_state(variant).items()}
    checkpoint = tmp_path / "model_best.pth"
    torch.save({"epoch": 20, "state_dict": state}, checkpoint)
    imported = run_import(checkpoint, "--variant", variant, "-o", "theirs", "--models", tmp_path / "models")

    assert imported.returncode == 0, imported.stderr
    manifest = read_manifest(tmp_path / "models" / "theirs.yaml")
    assert manifest.training["imported_from"] == "model_best.pth"
    assert manifest.training["variant"] == variant
    assert manifest.parameters["memory"] == "window"

    tracker = load_tracker(tmp_path / "models" / "theirs.yaml")
    assert tracker.class_names == VARIANTS[variant].classes
    for frame in SatelliteScene(1001, 8, 160, density=1000):
        result = tracker.track(frame.image, frame.stamp_ns)

    assert result.active_fraction > 0
    assert tracker.times.summarize()["engine"].p50 > 0

    again = run_import(checkpoint, "--variant", variant, "-o", "theirs", "--models", tmp_path / "models")
    assert again.returncode == 1
    assert "another name" in again.stderr


@needs_golden
def test_import_lists_all_wrong_parameters(tmp_path: Path) -> None:
    state = make_official_state("light_satmtb")
    state["hm.0.weight"] = torch.zeros(1, 2, 3)
    del state["mask_layer.bias"], state["wh.0.bias"]
    state["transformer.weight"] = torch.zeros(3)
    path = tmp_path / "model.pth"
    torch.save(state, path)

    with pytest.raises(ModelError) as refused:
        read_official_checkpoint(path, "light_satmtb")

    wrong = ("hm.0.weight", "(1, 2, 3)", "mask_layer.bias", "heads.wh.hidden.0.bias", "transformer.weight")
    for part in ("model.pth", *wrong):
        assert part in str(refused.value)


@pytest.mark.slow
@needs_golden
def test_checkpoint_of_other_variant_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(make_official_state("light_satmtb"), path)
    refused = run_import(path, "--variant", "base_satmtb", "-o", "x", "--models", tmp_path / "models")

    assert refused.returncode == 1
    assert "the weights do not fit this variant" in refused.stderr
    assert not (tmp_path / "models").exists()


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("sprung"),))  # type: ignore[return-value]


def test_unsafe_or_broken_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "junk.pth"
    path.write_bytes(b"not a checkpoint")

    with pytest.raises(ModelError, match=r"junk\.pth"):
        read_official_checkpoint(path, "base_satvideodt")
    torch.save({"state_dict": _Trap()}, path)
    with pytest.raises(ModelError, match=r"junk\.pth"):
        read_official_checkpoint(path, "base_satvideodt")
    assert not Path("sprung").exists()
    torch.save({"state_dict": {"a": np.float64(1).item()}}, path)
    with pytest.raises(ModelError, match="does not contain a state_dict"):
        read_official_checkpoint(path, "base_satvideodt")
    with pytest.raises(ModelError, match="variant must be one of"):
        read_official_checkpoint(path, "huge")
    with pytest.raises(ModelError, match="not a parameter of SPAX"):
        translate_name("transformer.weight", VARIANTS["base_satvideodt"])
