"""Diagnosis of a node, and its message on `/diagnostics`, once a second and at every change of state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from tracking_runtime.engines.build_progress import BuildProgress
from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.timing import StageSummary

TOPIC = "/diagnostics"
BESIDES_ENGINE = "besides_engine"
"""Stage of a frame's time outside of the engine: the sum of all stages but waiting and engine."""
_STAGE_METRICS = ("p50", "p95", "max")
Value = str | int | float | bool


class DiagnosticLevel(IntEnum):
    """Health of a node; values as in DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Diagnosis:
    """State of a node.

    Attributes:
        level: health of the node.
        message: one line for an operator.
        values: measured values by name. A name of a duration or of memory ends in its unit.
    """

    level: DiagnosticLevel = DiagnosticLevel.OK
    message: str = "running"
    values: Mapping[str, Value] = field(default_factory=dict)


def make_stage_values(stages: Mapping[str, StageSummary]) -> dict[str, Value]:
    """Return the values `stage.NAME.{p50,p95,max}_ms` and `stage.NAME.count` of each stage."""
    values: dict[str, Value] = {}
    for name, summary in stages.items():
        for metric in _STAGE_METRICS:
            values[f"stage.{name}.{metric}_ms"] = round(getattr(summary, metric), 3)
        values[f"stage.{name}.count"] = summary.count
    return values


def read_stages(values: Mapping[str, Value]) -> dict[str, StageSummary]:
    """Return the stages in the values of a diagnosis, in its order."""
    names = [key.removeprefix("stage.").removesuffix(".p50_ms") for key in values if key.endswith(".p50_ms")]
    return {
        name: StageSummary(
            int(values[f"stage.{name}.count"]),
            *(float(values[f"stage.{name}.{metric}_ms"]) for metric in _STAGE_METRICS),
        )
        for name in names
    }


def make_build_diagnosis(progress: BuildProgress) -> Diagnosis:
    """Return the diagnosis of a node that builds engines: `build.stage`, `build.share`, `build.left_s`."""
    values: dict[str, Value] = {"state": "configuring", "last_error": ""}
    values |= {"build.stage": progress.stage, "build.share": round(progress.fraction, 3)}
    seconds_left = progress.seconds_left
    if seconds_left is not None:
        values["build.left_s"] = round(seconds_left, 1)
    return Diagnosis(message=f"building {progress}", values=values)


def to_message(diagnosis: Diagnosis, name: str, hardware_id: str, stamp: Time) -> DiagnosticArray:
    """Convert the diagnosis of one node to a message.

    Args:
        diagnosis: state of the node.
        name: name of the node with its namespace.
        hardware_id: name of the machine.
        stamp: time of the diagnosis.
    """
    status = DiagnosticStatus(
        level=bytes([diagnosis.level]),
        name=name,
        message=diagnosis.message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=_format_value(value)) for key, value in diagnosis.values.items()],
    )
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def from_message(message: DiagnosticArray, name: str) -> Diagnosis | None:
    """Return the diagnosis of the named node, its values as text; None if the message is of other nodes."""
    for status in message.status:
        if status.name == name:
            values = {pair.key: pair.value for pair in status.values}
            return Diagnosis(DiagnosticLevel(status.level[0]), status.message, values)
    return None


def count_characters(status: DiagnosticStatus) -> int:
    """Return the number of characters of a diagnosis."""
    texts = [
        status.name,
        status.message,
        *(text for pair in status.values for text in (pair.key, pair.value)),
    ]
    return sum(map(len, texts))


def to_entries(message: DiagnosticArray) -> list[dict[str, Any]]:
    """Return the diagnoses of a message for a file: stamp, node, level, message and values."""
    return [
        {
            "stamp_ns": read_stamp_ns(message),
            "node": status.name,
            "level": status.level[0],
            "message": status.message,
            "values": {pair.key: pair.value for pair in status.values},
        }
        for status in message.status
    ]


def _format_value(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
