"""Report for a maintainer: a zip file of findings, settings, diagnoses and logs. Images only on request."""

from __future__ import annotations

import json
import os
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracking_runtime.bags import BagReader
from tracking_runtime.bags.metadata import METADATA
from tracking_runtime.errors import SourceError
from tracking_runtime.files import atomic_write
from tracking_runtime.messages.definitions import UnknownTypeError

_VARIABLES = ("RSTRACK_", "ROS_", "RMW_", "FASTRTPS_", "FASTDDS_", "CYCLONEDDS_", "AMENT_", "OMP_")
"""Beginnings of the names of environment variables that a report contains. Others may hold secrets."""
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_MAX_LOGS = 20  # newest files of the log folder
_LOG_BYTES = 200_000  # last bytes of each file
_DIAGNOSTICS_TYPE = "diagnostic_msgs/msg/DiagnosticArray"
_LOG_TYPE = "rcl_interfaces/msg/Log"
_MAX_DIAGNOSES = 3000  # newest messages of a recording
_MAX_LINES = 5000  # newest log messages of a recording
_STORAGE_SUFFIXES = (".mcap", ".db3", ".zstd")


def write_support_report(
    path: Path,
    findings: Sequence[Mapping[str, Any]],
    diagnoses: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    recordings: Sequence[Path] = (),
    *,
    has_images: bool = False,
) -> list[str]:
    """Write a report and return the names of its files.

    Args:
        path: zip file to write.
        findings: findings of `rstrack doctor`, with the versions of all packages.
        diagnoses: diagnoses of the running nodes, in the order of their arrival.
        parameters: values of the parameters of the running nodes, by node.
        recordings: folders of recordings whose diagnoses, logs and incidents are packed.
        has_images: pack the recordings themselves too.

    Raises:
        SourceError: a recording cannot be read.
        OSError: a file cannot be read or written.
    """
    contents = {
        "findings.json": json.dumps(list(findings), indent=1).encode(),
        "environment.json": json.dumps(collect_environment(os.environ), indent=1).encode(),
        "diagnoses.jsonl": _format_lines(diagnoses),
        "parameters.json": json.dumps(parameters or {}, indent=1, default=str).encode(),
        **{f"logs/{name}": data for name, data in read_logs(find_log_folder()).items()},
    }
    with (
        atomic_write(path) as partial_path,
        zipfile.ZipFile(partial_path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, data in contents.items():
            archive.writestr(name, data)
        for recording in recordings:
            for name, content in _read_recording(recording, has_images=has_images):
                if isinstance(content, Path):
                    archive.write(content, name)
                else:
                    archive.writestr(name, content)
        return archive.namelist()


def _read_recording(recording: Path, *, has_images: bool) -> Iterator[tuple[str, bytes | Path]]:
    """Yield name and content of each file about a recording. A path stands for a large file."""
    root = f"recordings/{recording.resolve().name}"
    reader = BagReader(recording)
    yield f"{root}/diagnoses.jsonl", _format_lines(read_diagnoses(reader))
    yield f"{root}/log.txt", "".join(f"{line}\n" for line in read_log_messages(reader)).encode()
    files = sorted(recording.rglob("*")) if recording.is_dir() else [recording]
    for file in files:
        if file.is_symlink() or not file.is_file():
            continue
        name = f"{root}/{file.relative_to(recording)}" if recording.is_dir() else f"{root}/{file.name}"
        if file.suffix in _STORAGE_SUFFIXES:
            if has_images:
                yield name, file
        elif file.name == METADATA or file.suffix in (".json", ".jsonl", ".log"):
            yield name, file


def read_diagnoses(reader: BagReader) -> list[dict[str, Any]]:
    """Return the newest diagnoses in a recording: stamp, node, level, message and values."""
    entries: deque[dict[str, Any]] = deque(maxlen=_MAX_DIAGNOSES)
    for message in _read_messages(reader, _DIAGNOSTICS_TYPE):
        stamp = message.header.stamp
        for status in message.status:
            entry = {"stamp_ns": stamp.sec * 10**9 + stamp.nanosec, "node": status.name}
            values = {pair.key: pair.value for pair in status.values}
            entries.append(entry | {"level": int(status.level), "message": status.message, "values": values})
    return list(entries)


def read_log_messages(reader: BagReader) -> list[str]:
    """Return the newest log messages in a recording as lines: time, level, node and text."""
    lines: deque[str] = deque(maxlen=_MAX_LINES)
    for message in _read_messages(reader, _LOG_TYPE):
        time = f"{message.stamp.sec}.{message.stamp.nanosec:09}"
        lines.append(f"{time} [{message.level}] {message.name}: {message.msg}")
    return list(lines)


def _read_messages(reader: BagReader, type_name: str) -> Iterator[Any]:
    """Yield the messages of a type. Messages without definition, and damaged ones, are left out."""
    for record in reader.read_records(reader.find_topics(type_name)):
        try:
            yield reader.decode(record)
        except (SourceError, UnknownTypeError):
            continue


def _format_lines(entries: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(dict(entry)) + "\n" for entry in entries).encode()


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
