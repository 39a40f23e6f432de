from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tracking_runtime.bags import BagWriter
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame
from tracking_runtime.messages.conversion import IMAGE, serialize_image
from tracking_runtime.messages.definitions import load_typestore, serialize
from tracking_runtime.reports.incident_report import write_incident_report
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


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording with a diagnosis, a log message, an image and an incident."""
    types = load_typestore().types
    stamp = types["builtin_interfaces/msg/Time"](3, 5)
    header = types["std_msgs/msg/Header"](stamp, "")
    pair = types["diagnostic_msgs/msg/KeyValue"]("state", "active")
    status = types["diagnostic_msgs/msg/DiagnosticStatus"](2, "/spax_tracker", "hangs", "robot", [pair])
    log = types["rcl_interfaces/msg/Log"](stamp, 40, "spax_tracker", "out of memory", "node.py", "run", 1)
    messages = {
        "/diagnostics": types["diagnostic_msgs/msg/DiagnosticArray"](header, [status]),
        "/rosout": log,
    }
    folder = tmp_path / "flight"
    with BagWriter(folder) as writer:
        for topic, message in messages.items():
            writer.add_installed_topic(topic, message.__msgtype__)
            writer.write(topic, serialize(message), 1)
        writer.add_installed_topic("/image", IMAGE)
        writer.write("/image", serialize_image(Frame(7, np.zeros((4, 4), np.uint8), "mono8")), 2)
    write_incident_report(folder / "incident_01_spax_tracker", {"node": "/spax_tracker"}, [])
    return folder


def test_report_of_a_recording_has_history_and_no_images(tmp_path: Path, recording: Path) -> None:
    write_support_report(tmp_path / "report.zip", [], [], {"/a": {"engine": "auto"}}, [recording])

    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        names = set(archive.namelist())
        diagnosis = json.loads(archive.read("recordings/flight/diagnoses.jsonl"))
        log = archive.read("recordings/flight/log.txt").decode()
        incident = json.loads(archive.read("recordings/flight/incident_01_spax_tracker/incident.json"))
        assert json.loads(archive.read("parameters.json")) == {"/a": {"engine": "auto"}}
    assert diagnosis == {
        "stamp_ns": 3_000_000_005,
        "node": "/spax_tracker",
        "level": 2,
        "message": "hangs",
        "values": {"state": "active"},
    }
    assert log == "3.000000005 [40] spax_tracker: out of memory\n"
    assert incident["node"] == "/spax_tracker"
    assert "torch" in incident["versions"]
    assert "recordings/flight/metadata.yaml" in names
    assert not any(name.endswith(".mcap") for name in names)


def test_images_are_packed_only_on_request(tmp_path: Path, recording: Path) -> None:
    names = write_support_report(tmp_path / "report.zip", [], [], {}, [recording], has_images=True)

    assert "recordings/flight/flight_0.mcap" in names


def test_report_of_no_recording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a recording"):
        write_support_report(tmp_path / "report.zip", [], [], {}, [tmp_path])
