"""Signatures of models: only an unchanged model of a trusted maker verifies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracking_runtime.cli import rstrack
from tracking_runtime.errors import ModelError
from tracking_runtime.models import signatures
from tracking_runtime.models.manifest import load_model, save_model

pytest.importorskip("cryptography", reason="signatures need cryptography (extra: signatures)")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Save a model and return the path of its manifest."""
    return save_model(tmp_path / "models", "tiny", "hanet", {}, {"a": torch.arange(6.0)})


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a key whose public part is trusted, and return the private one."""
    public = signatures.make_key(tmp_path / "maker.pem")
    keys = tmp_path / "keys"
    keys.mkdir()
    public.rename(keys / public.name)
    monkeypatch.setenv(signatures.KEYS_VARIABLE, str(keys))
    return tmp_path / "maker.pem"


@pytest.fixture
def required() -> Iterator[None]:
    signatures.set_required(True)
    yield
    signatures.set_required(False)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["models", *map(str, arguments)])


def test_private_key_is_readable_by_its_owner_alone(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ModelError, match=r"maker\.pem exists already"):
        signatures.make_key(key)


@pytest.mark.usefixtures("required")
def test_signed_model_verifies_and_loads(model: Path, key: Path) -> None:
    signatures.sign(model, key)

    assert signatures.verify(model, model.read_bytes()).name == "maker.pub.pem"
    assert load_model(model, "hanet").manifest.name == "tiny"


@pytest.mark.usefixtures("key", "required")
def test_unsigned_model_is_refused_only_if_required(model: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny\.sig does not exist, and only signed models may be loaded"):
        load_model(model, "hanet")

    signatures.set_required(False)
    assert load_model(model, "hanet").manifest.name == "tiny"


@pytest.mark.usefixtures("key")
def test_environment_variable_requires_signatures(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signatures.REQUIRED_VARIABLE, "1")

    with pytest.raises(ModelError, match="only signed models"):
        load_model(model, "hanet")


@pytest.mark.usefixtures("required")
def test_changed_manifest_is_refused(model: Path, key: Path) -> None:
    signatures.sign(model, key)
    content = yaml.safe_load(model.read_text())
    model.write_text(yaml.safe_dump({**content, "scores": {"AUC": 1.0}}))

    with pytest.raises(ModelError, match=r"tiny\.yaml is not signed by a trusted key: none of 1 keys"):
        load_model(model, "hanet")


@pytest.mark.usefixtures("required")
def test_changed_weights_are_refused(model: Path, key: Path) -> None:
    signatures.sign(model, key)
    other = save_model(model.parent / "other", "tiny", "hanet", {}, {"a": torch.zeros(6)})
    os.replace(other.with_suffix(".safetensors"), model.with_suffix(".safetensors"))

    with pytest.raises(ModelError, match="does not belong to its manifest"):
        load_model(model, "hanet")


@pytest.mark.usefixtures("key", "required")
def test_key_that_is_not_trusted_is_refused(model: Path, tmp_path: Path) -> None:
    signatures.make_key(tmp_path / "stranger.pem")
    signatures.sign(model, tmp_path / "stranger.pem")

    with pytest.raises(ModelError, match="is not signed by a trusted key"):
        load_model(model, "hanet")


def test_folder_of_keys_that_every_user_can_write_is_refused(model: Path, key: Path) -> None:
    signatures.sign(model, key)
    signatures.find_keys_folder().chmod(0o777)

    with pytest.raises(ModelError, match="every user can write the folder of trusted keys"):
        signatures.verify(model, model.read_bytes())


@given(
    content=st.binary(max_size=80) | st.text('{}[]":,algorithmed25519signature ', max_size=80).map(str.encode)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_signature_file_gives_a_model_error(model: Path, content: bytes) -> None:
    model.with_suffix(".sig").write_bytes(content)

    with pytest.raises(ModelError):
        signatures.verify(model, model.read_bytes())


def test_commands_sign_and_verify(model: Path, tmp_path: Path) -> None:
    assert run("key", tmp_path / "me.pem").exit_code == 0
    keys = tmp_path / "trusted"
    keys.mkdir()
    (tmp_path / "me.pub.pem").rename(keys / "me.pem")

    unsigned = run("verify", model, "--keys", keys)
    signed = run("sign", model, "--key", tmp_path / "me.pem")
    verified = run("verify", model, "--keys", keys)

    assert unsigned.exit_code == 1
    assert "1 of 1 models are not verified" in unsigned.output
    assert signed.exit_code == 0, signed.output
    assert verified.output == f"{model}: intact, signed by {keys / 'me.pem'}\n"
    assert json.loads(model.with_suffix(".sig").read_text())["algorithm"] == "ed25519"


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "a\nb", "x" * 300])
def test_name_in_a_manifest_that_is_a_path_is_refused(model: Path, name: str) -> None:
    content = yaml.safe_load(model.read_text())
    model.write_text(yaml.safe_dump({**content, "name": name}))

    with pytest.raises(ModelError, match=r"tiny\.yaml: name must be a file name without folder"):
        load_model(model, "hanet")
