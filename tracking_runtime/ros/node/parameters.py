"""A node's parameters, specified once: one dataclass declares, checks and documents them.

A field made by :func:`parameter` is a ROS parameter of the field's name; values that only make sense together
are checked in ``check``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from enum import Enum
from typing import Any, Generic, TypeVar

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

_FOREIGN = ("use_sim_time", "qos_overrides.", "start_type_description_service")


class Change(Enum):
    """When a parameter may be set."""

    NEVER = "at the start only"
    UNCONFIGURED = "while unconfigured"
    ALWAYS = "at any time"


@dataclass(frozen=True)
class Description:
    """What is to be known of a parameter beside its name, type and default."""

    text: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    change: Change = Change.UNCONFIGURED

    @property
    def limits(self) -> str:
        """The values allowed, for people; empty if all are."""
        if self.choices:
            return ", ".join(self.choices)
        if self.minimum is None and self.maximum is None:
            return ""
        if self.maximum is None:
            return f"at least {self.minimum:g}"
        return (
            f"{self.minimum:g} to {self.maximum:g}"
            if self.minimum is not None
            else f"at most {self.maximum:g}"
        )

    def allows(self, value: object) -> bool:
        """Whether a value, or each of several, is within the limits."""
        if self.choices:
            return value in self.choices
        values = value if isinstance(value, tuple) else (value,)
        low = -float("inf") if self.minimum is None else self.minimum
        high = float("inf") if self.maximum is None else self.maximum
        return all(low <= v <= high for v in values if isinstance(v, (int, float)))


def parameter(
    default: Any,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Iterable[str] = (),
    change: Change = Change.UNCONFIGURED,
) -> Any:
    """A dataclass field that is a ROS parameter: bool, int, float, str, or a tuple of one of these."""
    description = Description(text, minimum, maximum, tuple(choices), change)
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class NodeParameters:
    """The parameters that every node has; frozen: a change makes a new set.

    Raises:
        ValueError: on making a set that is not allowed; the message names the parameter.
    """

    autostart: bool = parameter(
        False, "configure and activate as soon as the process runs", change=Change.NEVER
    )

    def __post_init__(self) -> None:
        for each, description in described(type(self)):
            value = getattr(self, each.name)
            if not description.allows(value):
                raise ValueError(f"parameter {each.name} is {value!r}, allowed: {description.limits}")
        self.check()

    def check(self) -> None:
        """Raise ValueError where values do not fit together."""


P = TypeVar("P", bound=NodeParameters)


def described(specification: type[NodeParameters]) -> list[tuple[Field[Any], Description]]:
    """Every parameter's field with its description, in the order of declaration."""
    return [(each, each.metadata["description"]) for each in fields(specification)]


def to_markdown(specification: type[NodeParameters]) -> str:
    """A table of all parameters, for a README."""
    lines = [
        "| parameter | type | default | allowed | may change | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each, description in described(specification):
        default, kind = _inline_yaml(each.default), _type_name(each.default)
        lines.append(
            f"| `{each.name}` | {kind} | `{default}` | {description.limits} "
            f"| {description.change.value} | {description.text} |"
        )
    return "\n".join(lines) + "\n"


def to_yaml(specification: type[NodeParameters], node: str) -> str:
    """A commented parameter file with the defaults of a node, in any namespace."""
    lines = [f"/**/{node}:", "  ros__parameters:"]
    for each, description in described(specification):
        limits = f" ({description.limits})" if description.limits else ""
        lines += [
            f"    # {description.text}{limits}; set {description.change.value}",
            f"    {each.name}: {_inline_yaml(each.default)}",
        ]
    return "\n".join(lines) + "\n"


class ParameterServer(Generic[P]):
    """Declares a specification on a node and keeps its values: one whole, allowed set at any time.

    Attributes:
        values: the current set; replaced, never altered.
    """

    def __init__(self, node: Node, specification: type[P], unconfigured: Callable[[], bool]) -> None:
        """Declare all parameters and take their values at the start.

        Raises:
            ValueError: those values are not allowed; the message names the parameter.
        """
        self._unconfigured = unconfigured
        self._descriptions = {each.name: description for each, description in described(specification)}
        values = {
            each.name: _from_ros(node.declare_parameter(*_declaration(each, description)).value)
            for each, description in described(specification)
        }
        self.values: P = specification(**values)
        self.unknown = _unknown(node, values)
        node.add_on_set_parameters_callback(self._judge)
        node.add_post_set_parameters_callback(self._take)

    def _judge(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = self._ours(parameters)
        try:
            for name in changes:
                change = self._descriptions[name].change
                if change is Change.UNCONFIGURED and not self._unconfigured():
                    raise ValueError(f"parameter {name} can be set {change.value}: clean up the node first")
            replace(self.values, **changes)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, parameters: list[Parameter]) -> None:
        self.values = replace(self.values, **self._ours(parameters))

    def _ours(self, parameters: list[Parameter]) -> dict[str, Any]:
        return {p.name: _from_ros(p.value) for p in parameters if p.name in self._descriptions}


def _declaration(each: Field[Any], description: Description) -> tuple[str, Any, ParameterDescriptor]:
    descriptor = ParameterDescriptor(
        description=description.text,
        additional_constraints=f"one of {description.limits}" if description.choices else description.limits,
        read_only=description.change is Change.NEVER,
    )
    low, high = description.minimum, description.maximum
    if isinstance(each.default, float):
        low, high = (-float("inf") if low is None else low), (float("inf") if high is None else high)
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    elif isinstance(each.default, int) and not isinstance(each.default, bool):
        low, high = (-(2**63) if low is None else low), (2**63 - 1 if high is None else high)
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return each.name, _to_ros(each.default), descriptor


def _unknown(node: Node, declared: Mapping[str, Any]) -> list[str]:
    """A line for each parameter given at the start that the node does not have."""
    lines = []
    for name in node._parameter_overrides:
        if name not in declared and not name.startswith(_FOREIGN):
            close = difflib.get_close_matches(name, declared, n=1)
            lines.append(f"no parameter {name}" + (f"; did you mean {close[0]}?" if close else ""))
    return lines


def _inline_yaml(value: Any) -> str:
    text = yaml.safe_dump(_to_ros(value), default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()


def _to_ros(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else tuple(value)


def _type_name(value: object) -> str:
    if isinstance(value, tuple):
        return f"list of {_type_name(value[0])}"
    return {bool: "bool", int: "integer", float: "number", str: "text"}[type(value)]
