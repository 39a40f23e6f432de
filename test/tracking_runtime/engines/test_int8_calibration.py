"""Networks in int8: calibrated for engines and exported files, and never lost by a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from torch import nn

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from tracking_runtime.engines import EngineError, EngineSettings, Graph, load_engine
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.engines.export import export_graphs
from tracking_runtime.engines.model_graphs import open_model_graphs
from tracking_runtime.engines.openvino_int8 import (
    quantize,
    read_quantization_facts,
    read_quantized,
    write_quantization_facts,
)
from tracking_runtime.engines.tensorrt_rtx import GPU_FAMILIES
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.int8_calibration import calibrate_on_noise, read_excerpt

INT8 = EngineSettings("openvino", "int8", threads=1)

RECALIBRATION_PROGRAM = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_int8_calibration import make_graph, make_inputs
from tracking_runtime.engines import EngineError
from tracking_runtime.engines.openvino_int8 import quantize, write_quantization_facts

quantize(make_graph(), make_inputs())
write_quantization_facts(make_graph(), {"of": "old"})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file size limit stands for a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    quantize(make_graph(), make_inputs())
except EngineError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
try:
    write_quantization_facts(make_graph(), {"of": "new"})
except EngineError as error:
    print(error)
"""


@dataclass(frozen=True)
class CalibratedModel:
    """HA-Net calibrated for int8.

    Attributes:
        model: name of the model.
        batch_size: targets at once of the batched graph.
        num_frames: number of frames of the calibration video.
        folder: engine cache.
        output: text that the command printed.
    """

    model: str
    batch_size: int
    num_frames: int
    folder: Path
    output: str


def require_nncf() -> None:
    for package in ("openvino", "nncf"):
        pytest.importorskip(package, reason=f"needs {package}")


def make_graph(batch_size: int = 1) -> Graph:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 64, 3)).eval()
    per_item_graph = Graph("some x1", module, (torch.rand(1, 3, 11, 11),), ("x",), ("y",))
    if batch_size == 1:
        return per_item_graph
    return replace(
        per_item_graph,
        name=f"some x{batch_size}",
        examples=(torch.rand(batch_size, 3, 11, 11),),
        per_item_graph=per_item_graph,
    )


def make_inputs() -> list[tuple[np.ndarray]]:
    return [(image,) for image in np.random.default_rng(0).random((4, 1, 3, 11, 11), np.float32)]


@pytest.fixture(scope="module")
def calibrated_cache(
    tmp_path_factory: pytest.TempPathFactory, run_rstrack: Callable[..., Result]
) -> CalibratedModel:
    """Calibrate HA-Net for four targets once, in an engine cache of its own."""
    require_nncf()
    model = "hanet_edge_vis16"
    batch_size = 4
    num_frames = 6
    folder = tmp_path_factory.mktemp("calibrated")
    options = ["--engine", "openvino", "--precision", "int8", "--batch", batch_size]
    scene = ["--calibration", "scene:hyperspectral?seed=1", "--frames", num_frames]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSTRACK_ENGINE_CACHE", str(folder))
        result = run_rstrack("engine", "build", model, *options, *scene)
    assert result.exit_code == 0, result.output
    return CalibratedModel(model, batch_size, num_frames, folder, result.output)


@pytest.fixture
def calibrated_model(calibrated_cache: CalibratedModel, monkeypatch: pytest.MonkeyPatch) -> CalibratedModel:
    """Return HA-Net calibrated for int8. Engines use its cache during the test."""
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(calibrated_cache.folder))
    return calibrated_cache


def test_int8_engine_needs_a_calibration(conv_graph: Graph) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO")
    graph = replace(conv_graph, examples=(torch.rand(1, 3, 11, 11),))
    batched_graph = replace(graph, examples=(torch.rand(2, 3, 11, 11),), per_item_graph=graph)
    with pytest.raises(EngineError, match="rstrack engine build MODEL --precision int8"):
        load_engine(graph, INT8)
    pytest.importorskip("nncf", reason="needs NNCF")
    images = np.random.default_rng(0).random((8, 1, 3, 11, 11), dtype=np.float32)
    with torch.no_grad():
        expected = graph.module(torch.from_numpy(images[0])).numpy()

    quantize(graph, [(image,) for image in images])
    write_quantization_facts(graph, {"success": 0.5})

    assert read_quantization_facts(graph) == {"success": 0.5}
    (output,) = load_engine(graph, INT8).run(images[0])
    assert 1e-4 < np.abs(output - expected).max() < 0.05
    (batch_output,) = load_engine(batched_graph, INT8).run(images[:2, 0])
    np.testing.assert_allclose(batch_output[:1], output, atol=1e-5)


def test_graph_without_int8_is_refused_with_the_reason(
    conv_graph: Graph, run_rstrack: Callable[..., Result]
) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO")
    graph = replace(conv_graph, int8_unavailable_reason="int8 is not faster")
    with pytest.raises(EngineError, match="int8 is not faster"):
        load_engine(graph, INT8)
    options = ["--precision", "int8", "--calibration", "scene:satellite", "--batch", 64]

    result = run_rstrack("engine", "build", "spax_small", *options)

    assert result.exit_code == 1
    assert "spax_small cannot be calibrated: int8 does not accelerate SPAX" in result.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU they run")
def test_engine_without_int8_is_refused_before_calibration(run_rstrack: Callable[..., Result]) -> None:
    options = ["--precision", "int8", "--calibration", "scene:hyperspectral"]
    reasons = {
        "tensorrt": "PyTorch finds no CUDA device",
        "tensorrt-rtx": "PyTorch finds no CUDA device",
        "pytorch": "not in int8",
    }

    for engine, reason in reasons.items():
        result = run_rstrack("engine", "build", "hanet_edge_vis16", *options, "--engine", engine)

        assert result.exit_code == 1
        assert f"engine {engine} cannot be used" in result.output
        assert reason in result.output


@pytest.mark.slow
def test_full_disk_keeps_the_previous_calibration(cache: EngineCache) -> None:
    require_nncf()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RECALIBRATION_PROGRAM, str(Path(__file__).parent)]

    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )

    assert result.returncode == 0, result.stderr
    assert "some x1 in int8 cannot be built in" in result.stdout
    assert f"stored in {cache.folder}: " in result.stdout
    assert "its accuracy cannot be stored in" in result.stdout
    assert "File too large" in result.stdout
    assert read_quantization_facts(make_graph()) == {"of": "old"}
    assert "int8" in load_engine(make_graph(), INT8).description
    assert not any(entry.damage for entry in cache.find_entries())


def test_unwritable_cache_refuses_a_calibration(
    cache: EngineCache, run_rstrack: Callable[..., Result]
) -> None:
    require_nncf()
    cache.folder.write_text("")
    with pytest.raises(EngineError, match=rf"{cache.folder} cannot be written.*RSTRACK_ENGINE_CACHE"):
        quantize(make_graph(), [])
    never_opened = ["--calibration", "no/such/video"]

    result = run_rstrack(
        "engine", "build", "hanet_edge_vis16", "--engine", "openvino", "--precision", "int8", *never_opened
    )

    assert result.exit_code == 1
    assert "hanet_edge_vis16 cannot be calibrated" in result.output
    assert f"{cache.folder} cannot be written" in result.output
    assert "set RSTRACK_ENGINE_CACHE" in result.output


@pytest.mark.usefixtures("cache")
def test_calibration_on_frames_of_other_bands_is_refused(run_rstrack: Callable[..., Result]) -> None:
    require_nncf()
    options = ["--engine", "openvino", "--precision", "int8", "--camera", "vis16", "--frames", 2]

    result = run_rstrack(
        "engine", "build", "hanet_edge_any", *options, "--calibration", "scene:hyperspectral?bands=nir25"
    )

    assert result.exit_code == 1
    assert "must have the bands of --camera vis16: got 25 bands of 688.6 to 952.7 nm" in result.output
    assert "expected 16 bands of 480.8 to 635.9 nm; give frames of this camera" in result.output


@pytest.mark.parametrize(
    ("options", "camera", "reason"),
    [
        ("bands=hot16", "vis16", r"got 16 bands of 470 to 620 nm, expected 16 bands of 480\.8 to 635\.9 nm"),
        ("bands=vis16&kind=mosaic", "hot16", "must have the bands of --camera hot16"),
        ("bands=vis16", "rgb", "must have color images for --camera rgb: got 16 bands"),
    ],
)
def test_excerpt_of_another_camera_is_refused(options: str, camera: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        read_excerpt(f"scene:hyperspectral?frames=1&{options}", 1, camera)


@pytest.mark.parametrize("kind", ["cube", "mosaic"])
def test_excerpt_of_the_camera_has_its_bands(kind: str) -> None:
    excerpt = read_excerpt(f"scene:hyperspectral?frames=2&kind={kind}", 2, "vis16")

    assert len(excerpt) == 2
    assert excerpt.spectral_info is not None
    assert excerpt.spectral_info.wavelengths_nm == find_camera_preset("vis16").wavelengths_nm
    assert excerpt.frames[0].image.shape[2] == 16


def test_excerpt_without_described_bands_gets_those_of_the_camera(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.ones((40, 60, 25), np.uint16))

    excerpt = read_excerpt(str(tmp_path / "cube.npy"), 1, "nir25")

    assert excerpt.spectral_info is not None
    assert len(excerpt.spectral_info.wavelengths_nm) == 25
    with pytest.raises(SourceError, match=r"cube\.npy: .*25"):
        read_excerpt(str(tmp_path / "cube.npy"), 1, "vis16")


def test_calibration_on_noise_runs_once(cache: EngineCache) -> None:
    require_nncf()

    calibrate_on_noise([make_graph(4)])

    assert read_quantization_facts(make_graph()) == {"calibration": "noise"}
    entries = {entry.folder: entry.created for entry in cache.find_entries()}
    (outputs,) = load_engine(make_graph(4), INT8).run(make_graph(4).examples[0].numpy())
    assert outputs.shape == (4, 64, 7, 7)
    calibrate_on_noise([make_graph(), make_graph(4)])
    assert entries.items() <= {entry.folder: entry.created for entry in cache.find_entries()}.items()


@pytest.mark.slow
def test_batched_model_is_calibrated_for_engines_and_files(calibrated_model: CalibratedModel) -> None:
    model = calibrated_model.model
    batch_size = calibrated_model.batch_size

    _, search = open_model_graphs(model, (batch_size,)).graphs

    assert f"{model} search x{batch_size}" in calibrated_model.output
    assert search.per_item_graph is not None
    for graph in (search, search.per_item_graph):
        assert read_quantization_facts(graph)["frames"] == calibrated_model.num_frames
        assert all(read_quantized(graph, ".xml", ".bin"))


@pytest.mark.slow
def test_calibrated_model_compiles_for_every_gpu(calibrated_model: CalibratedModel, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "tensorrt_rtx"):
        pytest.importorskip(package, reason=f"needs {package}")
    model_graphs = open_model_graphs(calibrated_model.model)
    search_only = replace(model_graphs, graphs=model_graphs.graphs[1:])

    (network,) = export_graphs(search_only, "onnx", tmp_path, "int8")
    (engines,) = export_graphs(search_only, "tensorrt-rtx", tmp_path, "int8")

    assert network.difference is not None
    assert 1e-3 < network.difference < 0.5
    assert len(engines.files) == len(GPU_FAMILIES)
