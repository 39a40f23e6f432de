"""Folder of an incident: what happened, the history of the diagnoses, settings and logs, without images."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tracking_runtime.reports.support_report import collect_environment, find_log_folder, read_logs
from tracking_runtime.system_info import describe_machine

INCIDENT = "incident.json"
"""File with the node, reason and time of an incident, and the versions of machine and packages."""
DIAGNOSES = "diagnoses.jsonl"
"""File with a diagnosis in each line, in the order of their arrival."""


def write_incident_report(
    folder: Path, incident: Mapping[str, Any], diagnoses: Iterable[Mapping[str, Any]]
) -> None:
    """Write the files of an incident.

    Args:
        folder: folder of the incident. It is made if it does not exist.
        incident: node, reason and time.
        diagnoses: diagnoses of all nodes before the incident.

    Raises:
        OSError: the disk is full or missing.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    facts = {**incident, "system": machine.system, "versions": machine.versions}
    (folder / INCIDENT).write_text(json.dumps(facts, indent=1))
    (folder / DIAGNOSES).write_text("".join(json.dumps(dict(each)) + "\n" for each in diagnoses))
    (folder / "environment.json").write_text(json.dumps(collect_environment(os.environ), indent=1))
    for name, data in read_logs(find_log_folder()).items():
        (logs / name).write_bytes(data)
