"""Report for a maintainer: a zip file of findings, settings, diagnoses and logs, without images."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_VARIABLES = ("RSTRACK_", "ROS_", "RMW_", "FASTRTPS_", "FASTDDS_", "CYCLONEDDS_", "AMENT_", "OMP_")
"""Beginnings of the names of environment variables that a report contains. Others may hold secrets."""
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_MAX_LOGS = 20  # newest files of the log folder
_LOG_BYTES = 200_000  # last bytes of each file


def write_support_report(
    path: Path, findings: Sequence[Mapping[str, Any]], diagnoses: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Write a report and return the names of its files.

    Args:
        path: zip file to write.
        findings: findings of `rstrack doctor`, with the versions of all packages.
        diagnoses: diagnoses of the running nodes, in the order of their arrival.
    """
    contents = {
        "findings.json": json.dumps(list(findings), indent=1).encode(),
        "environment.json": json.dumps(collect_environment(os.environ), indent=1).encode(),
        "diagnoses.jsonl": "".join(json.dumps(dict(each)) + "\n" for each in diagnoses).encode(),
        **{f"logs/{name}": data for name, data in read_logs(find_log_folder()).items()},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return list(contents)


def collect_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of ROS, DDS and this package, without secrets."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(_VARIABLES) and not any(word in name for word in _SECRETS)
    }


def find_log_folder() -> Path:
    """Return the folder in which ROS 2 keeps its logs."""
    home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
    return Path(os.environ.get("ROS_LOG_DIR") or home / "log")


def read_logs(folder: Path) -> dict[str, bytes]:
    """Return the end of each of the newest logs, by name."""
    files = [path for path in folder.rglob("*.log") if path.is_file() and not path.is_symlink()]
    newest = sorted(files, key=lambda path: path.stat().st_mtime)[-_MAX_LOGS:]
    logs = {}
    for path in newest:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _LOG_BYTES, 0))
            logs[str(path.relative_to(folder)).replace("/", "_")] = file.read()
    return logs
