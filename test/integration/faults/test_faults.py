"""A short run of the fault suite. `make soak` runs all kinds for a long time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

pytestmark = [pytest.mark.ros, pytest.mark.slow]
FOLDER = Path(__file__).resolve().parent


def test_nodes_recover_from_injected_faults(tmp_path: Path) -> None:
    path = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(FOLDER / "run.py"), "--quick", "--faults", "8", "--seed", "1"]

    finished = subprocess.run(
        [*command, "--output", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads((tmp_path / "faults.json").read_text())
    assert (report["num_faults"], report["num_kinds"], report["num_failed"]) == (8, 8, 0)
    assert all(fault["recovery_s"] is not None for fault in report["faults"])
    assert report["leaks"] == []
    assert set(report["exits"].values()) == {0}
    assert "8 faults of 8 kinds" in (tmp_path / "faults.html").read_text()


def test_suite_has_many_kinds_of_faults() -> None:
    help_text = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "--help"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    kinds = help_text.partition("{")[2].partition("}")[0].split(",")

    assert len(kinds) >= 35
