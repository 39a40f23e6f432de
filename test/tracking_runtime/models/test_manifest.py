from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import MODEL_PATH_VARIABLE, find_model, load_model, save_model


@pytest.fixture
def manifest_path(tmp_path: Path) -> Path:
    """Save a model and return the path of its manifest."""
    return save_model(tmp_path, "tiny", "hanet", {"bands": 16}, {"a.weight": torch.arange(6.0).reshape(2, 3)})


def test_load_model_returns_the_saved_model(manifest_path: Path) -> None:
    model = load_model(manifest_path, "hanet")

    assert model.manifest.name == "tiny"
    assert model.manifest.parameters == {"bands": 16}
    torch.testing.assert_close(model.weights["a.weight"], torch.arange(6.0).reshape(2, 3))


def test_find_model_searches_the_model_path(manifest_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_PATH_VARIABLE, str(manifest_path.parent))

    assert find_model("tiny") == manifest_path


def test_find_model_unknown_name_lists_folders_and_models(
    manifest_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_PATH_VARIABLE, str(manifest_path.parent))

    with pytest.raises(ModelError, match=rf"no model named huge in .*{manifest_path.parent}.*tiny"):
        find_model("huge")


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path / "none.yaml")):
        load_model(tmp_path / "none.yaml", "hanet")


def test_missing_weights_are_named(manifest_path: Path) -> None:
    manifest_path.with_suffix(".safetensors").unlink()

    with pytest.raises(ModelError, match=r"tiny\.safetensors"):
        load_model(manifest_path, "hanet")


def test_damaged_weights_fail_the_checksum(manifest_path: Path) -> None:
    weights_path = manifest_path.with_suffix(".safetensors")
    weights_path.write_bytes(weights_path.read_bytes()[:-1])

    with pytest.raises(ModelError, match=r"tiny\.safetensors does not belong to its manifest: sha256"):
        load_model(manifest_path, "hanet")


@pytest.mark.parametrize("content", ["", "[1, 2]", "name: tiny", "a: [", "name: t\nsurprise: 1\n"])
def test_invalid_manifest_is_named(manifest_path: Path, content: str) -> None:
    manifest_path.write_text(content)

    with pytest.raises(ModelError, match=r"tiny\.yaml is not a model manifest"):
        load_model(manifest_path, "hanet")


def test_other_architecture_is_refused(manifest_path: Path) -> None:
    with pytest.raises(ModelError, match="architecture hanet, not spax"):
        load_model(manifest_path, "spax")
