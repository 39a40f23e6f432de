from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import MODEL_PATH_VARIABLE, find_model, load_model, save_model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_model(tmp_path, "tiny", "hanet", {"bands": 16}, {"a.weight": torch.arange(6.0).reshape(2, 3)})


def test_round_trip(saved: Path) -> None:
    model = load_model(saved, "hanet")
    assert model.manifest.name == "tiny"
    assert model.manifest.parameters == {"bands": 16}
    torch.testing.assert_close(model.weights["a.weight"], torch.arange(6.0).reshape(2, 3))


def test_found_by_name_on_the_search_path(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_PATH_VARIABLE, str(saved.parent))
    assert find_model("tiny") == saved


def test_unknown_name_lists_where_it_looked_and_what_is_there(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_PATH_VARIABLE, str(saved.parent))
    with pytest.raises(ModelError, match=rf"no model named huge in .*{saved.parent}.*tiny"):
        find_model("huge")


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path / "none.yaml")):
        load_model(tmp_path / "none.yaml", "hanet")


def test_missing_weights_are_named(saved: Path) -> None:
    saved.with_suffix(".safetensors").unlink()
    with pytest.raises(ModelError, match=r"tiny\.safetensors"):
        load_model(saved, "hanet")


def test_damaged_weights_are_found_by_checksum(saved: Path) -> None:
    weights = saved.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"tiny\.safetensors does not belong to its manifest: sha256"):
        load_model(saved, "hanet")


@pytest.mark.parametrize("content", ["", "[1, 2]", "name: tiny", "a: [", "name: t\nsurprise: 1\n"])
def test_malformed_manifest_is_named(saved: Path, content: str) -> None:
    saved.write_text(content)
    with pytest.raises(ModelError, match=r"tiny\.yaml is not a model manifest"):
        load_model(saved, "hanet")


def test_other_architecture_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match="architecture hanet, not spax"):
        load_model(saved, "spax")
