"""`rstrack doctor` finds what is missing or wrong and gives a fix for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tracking_runtime.cli import rstrack
from tracking_runtime.doctor import (
    check_engine_cache,
    check_gpu,
    check_middleware,
    check_optional_packages,
    check_shared_memory,
    check_torch_tensorrt,
)
from tracking_runtime.engines import BACKENDS
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.ros.shared_memory import PROFILE_VARIABLE

EXTRA_BY_LIBRARY = {
    "openvino": "cpu",
    "nncf": "int8",
    "onnxruntime": "int8",
    "onnx": "export",
    "onnxscript": "export",
    "tensorrt-rtx-cu12": "tensorrt-rtx",
}
AREAS = {"machine", "packages", "GPU", "engines", "export", "ROS", "models"}


def parse_findings(output: str) -> list[dict[str, Any]]:
    """Parse the JSON of `rstrack doctor --json` between other lines."""
    return json.loads(output[output.index("[\n") : output.rindex("]") + 1])


def run_doctor(python_path: str, *arguments: str, **environment: str) -> str:
    """Run the command in a process with the packages of a `PYTHONPATH` only, and return its output."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "tracking_runtime.cli", "doctor", *arguments],
        env=os.environ | {"PYTHONPATH": python_path} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    ).stdout


def make_path_without_extras(folder: Path) -> str:
    """Return a `PYTHONPATH` with all packages of this process except the extras for engines.

    Args:
        folder: folder in which links to the other packages are made.
    """
    hidden = ("openvino", "nncf", "onnx", "tensorrt")
    import_paths = [path for path in map(Path, sys.path) if path.is_dir()]
    for site_packages in (path for path in import_paths if path.name.endswith("-packages")):
        for path in site_packages.iterdir():
            if not path.name.startswith(hidden) and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    other_paths = [str(path) for path in import_paths if not path.name.endswith("-packages")]
    return os.pathsep.join([str(folder), *other_paths])


def install_only(package: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a ROS package the only installed one. Skip the test without ROS 2."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    index = root / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / package).touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(root))


def test_json_has_a_finding_per_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))

    findings = parse_findings(CliRunner().invoke(rstrack, ["doctor", "--json"]).output)

    engines = {finding["subject"]: finding for finding in findings if finding["area"] == "engines"}
    for backend in BACKENDS:
        reason = backend.find_unavailable_reason()
        assert engines[backend.name]["state"] == ("good" if reason is None else "missing")
        assert reason is None or reason.startswith(engines[backend.name]["found"])
    assert any("the choice of auto" in finding["found"] for finding in engines.values())
    assert {finding["area"] for finding in findings} >= AREAS


def test_report_shows_wrong_findings_and_their_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").write_text("")

    result = CliRunner().invoke(rstrack, ["doctor"], env={"COLUMNS": "1000"})

    assert result.exit_code == 1
    assert f"{tmp_path / 'file'} cannot be written" in result.output
    assert "set RSTRACK_ENGINE_CACHE" in result.output
    assert "Error: wrong: " in result.output


@pytest.mark.slow
def test_narrow_terminal_wraps_text_and_keeps_fixes_whole() -> None:
    result = CliRunner().invoke(rstrack, ["doctor"], env={"COLUMNS": "80"})
    lines = result.output.splitlines()

    fixes = [line.strip().removeprefix("fix: ") for line in lines if line.startswith("    fix: ")]

    findings = parse_findings(CliRunner().invoke(rstrack, ["doctor", "--json"]).output)
    assert sorted(fixes) == sorted(finding["fix"] for finding in findings if finding["fix"])
    texts = [line for line in lines if "fix: " not in line and " " in line.strip()]
    assert max(map(len, texts)) <= 80


@pytest.mark.slow
def test_every_missing_or_wrong_finding_has_a_fix(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    cache = tmp_path / "file" / "cache"
    cache.parent.write_text("")

    output = run_doctor(make_path_without_extras(installed), "--json", RSTRACK_ENGINE_CACHE=str(cache))

    findings = parse_findings(output)
    packages = {finding["subject"]: finding for finding in findings if finding["area"] == "packages"}
    for name, extra in EXTRA_BY_LIBRARY.items():
        assert packages[name]["state"] == "missing"
        assert packages[name]["fix"] == f"pip install 'remote_sensing_tracking[{extra}]'"
    assert "pip install 'torch-tensorrt==" in packages["torch-tensorrt"]["fix"]
    assert not [finding for finding in findings if finding["state"] != "good" and not finding["fix"]]


@pytest.mark.slow
def test_report_shows_brackets_of_a_fix(tmp_path: Path) -> None:
    output = run_doctor(make_path_without_extras(tmp_path), COLUMNS="1000")

    assert "pip install 'remote_sensing_tracking[int8]'" in output


def test_gpu_is_found_without_driver_files(tmp_path: Path) -> None:
    driver, *others = check_gpu(tmp_path / "none")

    if torch.cuda.is_available():
        assert (driver.state, others[0].state) == ("good", "good")
        assert torch.cuda.get_device_name() in others[0].found
    else:
        assert (driver.state, others) == ("missing", [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine on which PyTorch has no GPU")
def test_driver_without_pytorch_support_is_wrong(tmp_path: Path) -> None:
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release)\nmore\n")

    driver, pytorch = check_gpu(tmp_path / "none", release)

    assert (driver.state, driver.found) == ("good", "# R36 (release)")
    assert pytorch.state == "wrong"
    assert "install the build of torch" in pytorch.fix


def test_optional_ros_packages_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_only("cv_bridge", tmp_path, monkeypatch)

    findings = {finding.subject: finding for finding in check_optional_packages()}

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
def test_middleware_is_checked_and_gets_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, state: str, advice: str
) -> None:
    install_only("rmw_zenoh_cpp", tmp_path, monkeypatch)
    monkeypatch.setenv("RMW_IMPLEMENTATION", chosen)
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)

    middleware, large_images = check_middleware()

    assert middleware.state == state
    assert ("apt install ros-jazzy-rmw-absent" in middleware.fix) == (state == "wrong")
    assert large_images.state == "missing"
    assert advice in large_images.fix


def test_damaged_engine_is_wrong(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "network").write_text("weights")

    with EngineCache(tmp_path).get_or_build("0" * 64, "it", build):
        pass
    assert check_engine_cache(tmp_path).state == "good"

    (tmp_path / ("0" * 64) / "network").write_text("")
    finding = check_engine_cache(tmp_path)
    assert (finding.state, finding.fix) == ("wrong", "rstrack engine clear")


def test_missing_shared_memory_is_wrong(tmp_path: Path) -> None:
    assert check_shared_memory(tmp_path / "none").state == "wrong"
    assert check_shared_memory(Path("/dev/shm")).found.endswith(" MB")


def test_torch_tensorrt_of_another_version_is_wrong() -> None:
    (finding,) = check_torch_tensorrt("2.13.0+cpu", "2.12.1")

    assert finding.fix == "pip install 'torch-tensorrt==2.13.*'"
    assert not list(check_torch_tensorrt("2.13.0", "2.13.0"))
    assert not list(check_torch_tensorrt("2.13.0", ""))
