"""What a node says of itself on ``/diagnostics``, once a second and at every change of state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from tracking_runtime.engines.build_progress import BuildProgress
from tracking_runtime.timing import StageSummary

TOPIC = "/diagnostics"
BESIDES_ENGINE = "besides_engine"  # of the stages, the sum of all but waiting and engine
Value = str | int | float | bool


class Level(IntEnum):
    """How well a node is; values as in DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Diagnosis:
    """How a node is.

    Attributes:
        message: one line for an operator.
        values: figures by name; names of those in time or memory end in their unit.
    """

    level: Level = Level.OK
    message: str = "running"
    values: Mapping[str, Value] = field(default_factory=dict)


def stage_values(stages: Mapping[str, StageSummary]) -> dict[str, Value]:
    """Each stage's ``stage.NAME.{p50,p95,max}_ms`` and ``stage.NAME.count``."""
    values: dict[str, Value] = {}
    for name, summary in stages.items():
        values[f"stage.{name}.p50_ms"] = round(summary.p50, 3)
        values[f"stage.{name}.p95_ms"] = round(summary.p95, 3)
        values[f"stage.{name}.max_ms"] = round(summary.max, 3)
        values[f"stage.{name}.count"] = summary.count
    return values


def stages_of(values: Mapping[str, Value]) -> dict[str, StageSummary]:
    """The stages in a diagnosis, in its order."""
    names = [key.removeprefix("stage.").removesuffix(".p50_ms") for key in values if key.endswith(".p50_ms")]
    return {
        name: StageSummary(
            int(values[f"stage.{name}.count"]),
            *(float(values[f"stage.{name}.{figure}_ms"]) for figure in ("p50", "p95", "max")),
        )
        for name in names
    }


def building(progress: BuildProgress) -> Diagnosis:
    """A node that waits for its engines: ``build.stage``, ``build.share`` and ``build.left_s``."""
    values: dict[str, Value] = {"state": "configuring", "last_error": ""}
    values |= {"build.stage": progress.stage, "build.share": round(progress.share, 3)}
    left = progress.seconds_left
    if left is not None:
        values["build.left_s"] = round(left, 1)
    return Diagnosis(message=f"building {progress}", values=values)


def to_message(diagnosis: Diagnosis, name: str, hardware_id: str, stamp: Time) -> DiagnosticArray:
    """The diagnosis of one node as ROS 2's tools read it."""
    status = DiagnosticStatus(
        level=bytes([diagnosis.level]),
        name=name,
        message=diagnosis.message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=_text(value)) for key, value in diagnosis.values.items()],
    )
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def from_message(message: DiagnosticArray, name: str) -> Diagnosis | None:
    """The diagnosis of the named node, its values as text; None if the message is of others."""
    for status in message.status:
        if status.name == name:
            values = {pair.key: pair.value for pair in status.values}
            return Diagnosis(Level(status.level[0]), status.message, values)
    return None


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
