"""Tests of `rstrack models list` and `rstrack models get`, with a local server."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner, Result

from hsi_tracker_ros.hanet.fear import FearXs
from hsi_tracker_ros.hanet.fear_import import list_convolutions
from hsi_tracker_ros.hanet.nanotrack import NanoTrack
from hsi_tracker_ros.hanet.weights import load_network
from tracking_runtime.cli import rstrack
from tracking_runtime.errors import ModelError
from tracking_runtime.models.public_models import PUBLIC_MODELS, PublicModel, read_catalog


class QuietHandler(SimpleHTTPRequestHandler):
    """Handler of a static file server that prints nothing."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@dataclass(frozen=True)
class Publisher:
    """Local server of a checkpoint.

    Attributes:
        model: description of the checkpoint.
        catalog: catalog file with this model.
        checkpoint: file that is served.
    """

    model: PublicModel
    catalog: Path
    checkpoint: Path


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    folder = tmp_path / "server"
    folder.mkdir()
    checkpoint = folder / "nanotrackv1.pth"
    torch.manual_seed(0)
    torch.save(NanoTrack(1).state_dict(), checkpoint)
    server = HTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    content = checkpoint.read_bytes()
    model = PublicModel(
        name="small_tracker",
        description="a tracker",
        url=f"http://127.0.0.1:{server.server_port}/nanotrackv1.pth",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        license="MIT",
        importer="nanotrack",
    )
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(yaml.safe_dump([asdict(model)]))
    yield Publisher(model, catalog, checkpoint)
    server.shutdown()
    server.server_close()
    thread.join()


def run_models(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["models", *map(str, arguments)])


def get(publisher: Publisher, folder: Path, *arguments: object) -> Result:
    return run_models("get", "small_tracker", "--catalog", publisher.catalog, "--models", folder, *arguments)


def test_get_downloads_and_imports_a_model(publisher: Publisher, tmp_path: Path) -> None:
    result = get(publisher, tmp_path / "models")

    assert result.exit_code == 0, result.output
    assert "license of small_tracker: MIT" in result.output
    assert load_network(tmp_path / "models/small_tracker.yaml").config.backbone == "nanotrack_v1"


def test_get_imports_a_core_ml_model(publisher: Publisher, tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "hsi_tracker_ros" / "hanet" / "coreml_file.py"
    spec = importlib.util.spec_from_file_location("coreml_file", path)
    assert spec is not None and spec.loader is not None
    coreml_file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(coreml_file)
    content = coreml_file.make_coreml_file(list_convolutions(FearXs()))
    (publisher.checkpoint.parent / "Tracker.mlmodel").write_bytes(content)
    model = replace(
        publisher.model,
        url=publisher.model.url.replace("nanotrackv1.pth", "Tracker.mlmodel"),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        importer="fear",
    )
    publisher.catalog.write_text(yaml.safe_dump([asdict(model)]))

    result = get(publisher, tmp_path / "models")

    assert result.exit_code == 0, result.output
    assert load_network(tmp_path / "models/small_tracker.yaml").config.backbone == "fear_xs"


def test_get_existing_model_is_refused_before_the_download(publisher: Publisher, tmp_path: Path) -> None:
    get(publisher, tmp_path / "models")
    publisher.checkpoint.unlink()

    result = get(publisher, tmp_path / "models")

    assert result.exit_code == 1
    assert "exists" in result.output


@pytest.mark.parametrize("change", [b"", b"longer", b"x"])
def test_get_changed_file_is_refused(publisher: Publisher, tmp_path: Path, change: bytes) -> None:
    content = publisher.checkpoint.read_bytes()
    changed = {b"": content[:-9], b"longer": content + b"more"}.get(change, content[:-1] + change)
    publisher.checkpoint.write_bytes(changed)

    result = get(publisher, tmp_path / "models")

    assert result.exit_code == 1
    assert "the file has changed" in result.output.replace("\n", " ")
    assert not (tmp_path / "models").exists()


def test_get_without_network_tells_the_import_command(publisher: Publisher, tmp_path: Path) -> None:
    result = get(publisher, tmp_path / "models", "--url", "http://127.0.0.1:9/nothing.pth")

    assert result.exit_code == 1
    assert "rstrack import nanotrack FILE --name small_tracker" in result.output.replace("\n", " ")


def test_get_other_scheme_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    result = get(publisher, tmp_path / "models", "--url", publisher.checkpoint.as_uri())

    assert result.exit_code == 1
    assert "must begin with https://" in result.output


def test_get_unknown_model_lists_the_known_ones() -> None:
    result = run_models("get", "nobody")

    assert result.exit_code == 1
    assert "nanotrack_v3" in result.output


def test_list_shows_installed_and_published_models(publisher: Publisher) -> None:
    result = run_models("list", "--catalog", publisher.catalog)

    assert result.exit_code == 0, result.output
    for name in ("hanet_edge_any", "spax_light", "nanotrack_v3", "fear_xs", "small_tracker", "Apache-2.0"):
        assert name in result.output


def test_public_models_have_distinct_names_and_full_checksums() -> None:
    assert len({model.name for model in PUBLIC_MODELS}) == len(PUBLIC_MODELS)
    assert all(len(model.sha256) == 64 and model.url.startswith("https://") for model in PUBLIC_MODELS)


@pytest.mark.parametrize(
    "text", ["a: 1", "[{name: x}]", "- 3", "[", "[{name: x, url: 'file:///etc/passwd'}]"]
)
def test_invalid_catalog_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(text)

    with pytest.raises(ModelError, match=r"catalog\.yaml"):
        read_catalog(path)
