from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tracking_runtime.reports.support_report import collect_environment, read_logs, write_support_report


def test_report_contains_findings_diagnoses_and_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "logs"
    (logs / "run").mkdir(parents=True)
    (logs / "run" / "node.log").write_text("the end")
    monkeypatch.setenv("ROS_LOG_DIR", str(logs))

    write_support_report(tmp_path / "report.zip", [{"subject": "torch"}], [{"node": "/spax_tracker"}])

    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert json.loads(archive.read("findings.json")) == [{"subject": "torch"}]
        assert json.loads(archive.read("diagnoses.jsonl")) == {"node": "/spax_tracker"}
        assert archive.read("logs/run_node.log") == b"the end"
        assert json.loads(archive.read("environment.json"))["ROS_LOG_DIR"] == str(logs)


def test_environment_has_no_secrets() -> None:
    environment = {"ROS_DOMAIN_ID": "7", "RSTRACK_API_KEY": "x", "HOME": "/root", "AWS_TOKEN": "x"}

    assert collect_environment(environment) == {"ROS_DOMAIN_ID": "7"}


def test_long_log_is_cut_at_its_begin(tmp_path: Path) -> None:
    (tmp_path / "long.log").write_bytes(b"a" * 1_000_000 + b"end")

    log = read_logs(tmp_path)["long.log"]

    assert len(log) == 200_000
    assert log.endswith(b"end")
