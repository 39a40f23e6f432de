"""The doctor finds what is wrong, and says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracking_runtime.commands.doctor import doctor
from tracking_runtime.doctor import (
    engine_cache,
    middleware,
    optional_packages,
    shared_memory,
    torch_tensorrt_fits,
)
from tracking_runtime.engines import BACKENDS
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.transport import PROFILE_VARIABLE


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
