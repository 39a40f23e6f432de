"""The doctor finds what is wrong, and says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from tracking_runtime.commands.doctor import doctor
from tracking_runtime.doctor import (
    engine_cache,
    graphics,
    middleware,
    optional_packages,
    shared_memory,
    torch_tensorrt_fits,
)
from tracking_runtime.engines import BACKENDS
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.ros.shared_memory import PROFILE_VARIABLE


def test_every_engine_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    result = CliRunner().invoke(doctor, ["--json"])
    findings = json.loads(result.output[: result.output.rindex("]") + 1])
    engines = {each["subject"]: each for each in findings if each["area"] == "engines"}
    for backend in BACKENDS:
        reason = backend.unavailable()
        assert engines[backend.name]["state"] == ("good" if reason is None else "missing")
        assert reason is None or reason.startswith(engines[backend.name]["found"])
    assert any("what auto takes" in each["found"] for each in engines.values())
    assert {"machine", "packages", "GPU", "engines", "export", "ROS", "models"} <= {
        f["area"] for f in findings
    }


def test_a_table_tells_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(doctor, env={"COLUMNS": "1000"})
    assert result.exit_code == 1
    assert f"{tmp_path / 'file'} cannot be written" in result.output
    assert "set RSTRACK_ENGINE_CACHE" in result.output
    assert "Error: wrong: " in result.output


EXTRAS = {
    "openvino": "cpu",
    "nncf": "int8",
    "onnxruntime": "int8",
    "onnx": "export",
    "onnxscript": "export",
    "tensorrt-rtx-cu12": "tensorrt-rtx",
}


def without_extras(folder: Path) -> str:
    """A ``PYTHONPATH`` with everything that is on this one, but for what the extras for engines install."""
    hidden = ("openvino", "nncf", "onnx", "tensorrt")
    places = [place for place in map(Path, sys.path) if place.is_dir()]
    for place in (place for place in places if place.name.endswith("-packages")):
        for path in place.iterdir():
            if not path.name.startswith(hidden) and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    return os.pathsep.join([str(folder), *(str(place) for place in places if place.name[-9:] != "-packages")])


def test_everything_that_is_missing_or_wrong_has_a_fix(tmp_path: Path) -> None:
    installed, cache = tmp_path / "installed", tmp_path / "file" / "cache"
    installed.mkdir()
    cache.parent.write_text("")
    environment = os.environ | {"PYTHONPATH": without_extras(installed), "RSTRACK_ENGINE_CACHE": str(cache)}
    command = [sys.executable, "-S", "-m", "tracking_runtime.cli", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    findings = json.loads(done.stdout[done.stdout.index("[\n") : done.stdout.rindex("]") + 1])
    packages = {each["subject"]: each for each in findings if each["area"] == "packages"}
    for name, extra in EXTRAS.items():
        assert packages[name]["state"] == "missing"
        assert packages[name]["fix"] == f"pip install 'remote_sensing_tracking[{extra}]'"
    assert "pip install 'torch-tensorrt==" in packages["torch-tensorrt"]["fix"]
    assert not [each for each in findings if each["state"] != "good" and not each["fix"]]


def test_a_fix_is_shown_as_it_is_to_be_typed(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": without_extras(tmp_path), "COLUMNS": "1000"}
    command = [sys.executable, "-S", "-m", "tracking_runtime.cli", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert "pip install 'remote_sensing_tracking[int8]'" in done.stdout


def test_a_gpu_is_found_where_no_file_tells_of_it(tmp_path: Path) -> None:
    driver, *more = graphics(tmp_path / "none")
    if torch.cuda.is_available():
        assert (driver.state, more[0].state) == ("good", "good")
        assert torch.cuda.get_device_name() in more[0].found
    else:
        assert (driver.state, more) == ("missing", [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU PyTorch works")
def test_a_driver_that_pytorch_does_not_find_is_wrong(tmp_path: Path) -> None:
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release)\nmore\n")
    driver, pytorch = graphics(tmp_path / "none", release)
    assert (driver.state, driver.found) == ("good", "# R36 (release)")
    assert pytorch.state == "wrong"
    assert "install the build of torch" in pytorch.fix


def only_installed(package: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ROS packages that may be missing, this one alone is there; skips without ROS."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    index = root / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / package).touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(root))


def test_ros_packages_that_may_be_missing_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only_installed("cv_bridge", tmp_path, monkeypatch)
    findings = {finding.subject: finding for finding in optional_packages()}
    assert findings["cv_bridge"].state == "good"
    missing = findings["foxglove_bridge"]
    assert (missing.state, missing.fix) == ("missing", "sudo apt install ros-jazzy-foxglove-bridge")


@pytest.mark.parametrize(
    ("chosen", "state", "advice"),
    [
        ("", "good", "fastdds_shm.xml"),
        ("rmw_zenoh_cpp", "good", "bench transport"),
        ("rmw_absent", "wrong", "bench transport"),
    ],
)
def test_middleware_is_looked_for_and_advised_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, state: str, advice: str
) -> None:
    only_installed("rmw_zenoh_cpp", tmp_path, monkeypatch)
    monkeypatch.setenv("RMW_IMPLEMENTATION", chosen)
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    carrier, images = middleware()
    assert carrier.state == state
    assert ("apt install ros-jazzy-rmw-absent" in carrier.fix) == (state == "wrong")
    assert images.state == "missing"
    assert advice in images.fix


def test_a_damaged_engine_is_found(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "network").write_text("weights")

    with EngineCache(tmp_path).obtain("0" * 64, "it", make):
        pass
    assert engine_cache(tmp_path).state == "good"
    (tmp_path / ("0" * 64) / "network").write_text("")
    found = engine_cache(tmp_path)
    assert (found.state, found.fix) == ("wrong", "rstrack engine clear")


def test_too_little_shared_memory_is_told(tmp_path: Path) -> None:
    missing = shared_memory(tmp_path / "none")
    assert missing.state == "wrong"
    here = shared_memory(Path("/dev/shm"))
    assert here.found.endswith(" MB")


def test_versions_that_do_not_fit_are_told() -> None:
    (found,) = torch_tensorrt_fits("2.13.0+cpu", "2.12.1")
    assert found.fix == "pip install 'torch-tensorrt==2.13.*'"
    assert not list(torch_tensorrt_fits("2.13.0", "2.13.0"))
    assert not list(torch_tensorrt_fits("2.13.0", ""))
