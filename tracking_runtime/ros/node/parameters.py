"""Node parameters from one dataclass: declare, check and document them.

Each field made by `parameter` is a ROS parameter of the field's name. Values that depend on each other are
checked in `NodeParameters.check`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from enum import Enum
from typing import Any, Generic, TypeVar
from urllib.parse import unquote, urlsplit

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from tracking_runtime.untrusted.documents import DocumentError, parse_yaml

QOS_OVERRIDES = "qos_overrides."
"""Beginning of the names of parameters that override QoS policies."""
_RCLPY_PARAMETERS = ("use_sim_time", QOS_OVERRIDES, "start_type_description_service")
"""Beginnings of the names of parameters that rclpy declares."""


class Change(Enum):
    """Time at which a parameter may be set; the value is text for people."""

    NEVER = "at the start only"
    UNCONFIGURED = "while unconfigured"
    ALWAYS = "at any time"


@dataclass(frozen=True)
class ParameterDescription:
    """Description of a parameter beside its name, type and default.

    Attributes:
        text: meaning of the parameter, for people.
        minimum: lowest allowed value; None: no limit.
        maximum: highest allowed value; None: no limit.
        choices: allowed values; empty: all within the limits.
        change: time at which the parameter may be set.
        is_path: true for the path of a file, in which `~` and `file://` are understood.
    """

    text: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    change: Change = Change.UNCONFIGURED
    is_path: bool = False

    @property
    def limits(self) -> str:
        """Allowed values as text for people; empty if all are allowed."""
        if self.choices:
            return ", ".join(self.choices)
        if self.minimum is None and self.maximum is None:
            return ""
        if self.maximum is None:
            return f"at least {self.minimum:g}"
        if self.minimum is None:
            return f"at most {self.maximum:g}"
        return f"{self.minimum:g} to {self.maximum:g}"

    def is_allowed(self, value: object) -> bool:
        """Return whether a value is within the limits. All numbers of a tuple must be."""
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
    is_path: bool = False,
) -> Any:
    """Define a dataclass field that is a ROS parameter.

    Args:
        default: default of type bool, int, float or str, or a tuple of one of these types.
        text: meaning of the parameter, for people.
        minimum: lowest allowed value; None: no limit.
        maximum: highest allowed value; None: no limit.
        choices: allowed values; empty: all within the limits.
        change: time at which the parameter may be set.
        is_path: true for the path of a file, in which `~` and `file://` are understood.
    """
    description = ParameterDescription(text, minimum, maximum, tuple(choices), change, is_path)
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class NodeParameters:
    """Parameters of every node. The set is frozen: a change makes a new set.

    Raises:
        ValueError: a value of the new set is not allowed; the message names the parameter.
    """

    autostart: bool = parameter(
        False, "configure and activate the node when its process starts", change=Change.NEVER
    )

    def __post_init__(self) -> None:
        for parameter_field, description in list_parameters(type(self)):
            value = getattr(self, parameter_field.name)
            if not description.is_allowed(value):
                raise ValueError(
                    f"parameter {parameter_field.name} is {value!r}, allowed: {description.limits}"
                )
        self.check()

    def check(self) -> None:
        """Raise ValueError if values contradict each other."""


P = TypeVar("P", bound=NodeParameters)


def list_parameters(specification: type[NodeParameters]) -> list[tuple[Field[Any], ParameterDescription]]:
    """Return the field and the description of every parameter, in the order of declaration."""
    return [(each, each.metadata["description"]) for each in fields(specification)]


def to_markdown(specification: type[NodeParameters]) -> str:
    """Return a Markdown table of all parameters."""
    lines = [
        "| parameter | type | default | allowed | may change | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for parameter_field, description in list_parameters(specification):
        type_name = _format_type(parameter_field.default)
        default = _format_yaml(parameter_field.default)
        lines.append(
            f"| `{parameter_field.name}` | {type_name} | `{default}` | {description.limits} "
            f"| {description.change.value} | {description.text} |"
        )
    return "\n".join(lines) + "\n"


def to_yaml(specification: type[NodeParameters], node: str) -> str:
    """Return a commented parameter file with the defaults of a node, for any namespace."""
    lines = [f"/**/{node}:", "  ros__parameters:"]
    for parameter_field, description in list_parameters(specification):
        limits = f" ({description.limits})" if description.limits else ""
        lines += [
            f"    # {description.text}{limits}; set {description.change.value}",
            f"    {parameter_field.name}: {_format_yaml(parameter_field.default)}",
        ]
    return "\n".join(lines) + "\n"


class ParameterServer(Generic[P]):
    """Parameters of a node: a complete and allowed set at any time.

    Attributes:
        values: current set; a change replaces it by a new set.
        unknown_warnings: a warning for each parameter of the start that the node does not have.
    """

    def __init__(self, node: Node, specification: type[P], is_unconfigured: Callable[[], bool]) -> None:
        """Declare all parameters and read their values at the start.

        Args:
            node: node that the parameters are declared on.
            specification: dataclass of the parameters.
            is_unconfigured: function that returns whether the node is unconfigured.

        Raises:
            ValueError: a value at the start is not allowed; the message names the parameter.
        """
        self._is_unconfigured = is_unconfigured
        parameters = list_parameters(specification)
        self._descriptions = {each.name: description for each, description in parameters}
        self._defaults = {each.name: each.default for each, _ in parameters}
        for name, override in list(node._parameter_overrides.items()):
            node._parameter_overrides[name] = self._convert_type(override)
        values = {
            each.name: self._read(
                each.name, node.declare_parameter(*_make_declaration(each, description)).value
            )
            for each, description in parameters
        }
        self.values: P = specification(**values)
        self.unknown_warnings = _find_unknown(node, values)
        node.add_pre_set_parameters_callback(lambda changes: [self._convert_type(each) for each in changes])
        node.add_on_set_parameters_callback(self._check_changes)
        node.add_post_set_parameters_callback(self._store_changes)

    def _check_changes(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = self._select_declared(parameters)
        try:
            for name in changes:
                change = self._descriptions[name].change
                if change is Change.UNCONFIGURED and not self._is_unconfigured():
                    raise ValueError(f"parameter {name} can be set {change.value}: clean up the node first")
            replace(self.values, **changes)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _store_changes(self, parameters: list[Parameter]) -> None:
        self.values = replace(self.values, **self._select_declared(parameters))

    def _select_declared(self, parameters: list[Parameter]) -> dict[str, Any]:
        return {p.name: self._read(p.name, p.value) for p in parameters if p.name in self._descriptions}

    def _read(self, name: str, value: Any) -> Any:
        """Return the value of a parameter from its value in ROS."""
        if self._descriptions[name].is_path:
            return expand_path(value)
        return _from_ros(value)

    def _convert_type(self, given: Parameter) -> Parameter:
        """Return a parameter whose value has the type of its default, if the given value can be read so."""
        if given.name not in self._defaults:
            return given
        value = convert_value(given.value, self._defaults[given.name])
        return given if value is None else Parameter(given.name, value=value)


def expand_path(text: str) -> str:
    """Return a path without `file://`, and with the home folder in place of `~`."""
    path = text
    if text.startswith("file:"):
        path = unquote(urlsplit(text).path)
    return os.path.expanduser(path)


def convert_value(value: Any, default: Any) -> Any:
    """Return a value with the type of a default, or None if the value cannot be read as this type.

    A whole number is a number, and a number with `.0` is a whole number. A text may contain a list in YAML. A
    number or a truth value may stand for a text.

    Args:
        value: value from ROS, of any type of parameters.
        default: default of the parameter; a tuple for a list.
    """
    if isinstance(default, tuple):
        return _convert_list(value, default)
    if isinstance(default, bool) or isinstance(value, bool):
        is_text = isinstance(default, str) and isinstance(value, bool)
        return str(value).lower() if is_text else None
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(default, str) and isinstance(value, (int, float)):
        return str(value)
    return None


def _convert_list(value: Any, default: tuple[Any, ...]) -> Any:
    """Return a list whose elements have the type of a default's, or None if the value is no such list."""
    kind = type(default[0])
    values = value
    if isinstance(value, str):
        try:
            values = parse_yaml(value)
        except DocumentError:
            values = value
        if isinstance(values, str) and kind is float:
            values = values.replace(",", " ").split()
        elif not isinstance(values, list):
            values = [value]
    elif isinstance(value, (int, float)):
        values = [value]
    try:
        return [kind(each) for each in values]
    except (TypeError, ValueError, OverflowError):
        return None


def _make_declaration(
    parameter_field: Field[Any], description: ParameterDescription
) -> tuple[str, Any, ParameterDescriptor]:
    """Return the arguments of `Node.declare_parameter`."""
    default = parameter_field.default
    descriptor = ParameterDescriptor(
        description=description.text,
        additional_constraints=f"one of {description.limits}" if description.choices else description.limits,
        read_only=description.change is Change.NEVER,
    )
    if isinstance(default, float):
        low = -float("inf") if description.minimum is None else float(description.minimum)
        high = float("inf") if description.maximum is None else float(description.maximum)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif isinstance(default, int) and not isinstance(default, bool):
        lowest = -(2**63) if description.minimum is None else int(description.minimum)
        highest = 2**63 - 1 if description.maximum is None else int(description.maximum)
        descriptor.integer_range = [IntegerRange(from_value=lowest, to_value=highest)]
    return parameter_field.name, _to_ros(default), descriptor


def find_unknown_overrides(node: Node, later_topics: Collection[str] = ()) -> list[str]:
    """Return a warning for each QoS override of the start that fits no topic of the node.

    Args:
        node: active node, whose topics are advertised and subscribed.
        later_topics: full names of topics that the node subscribes to later.
    """
    declared = [name for name in node._parameters if name.startswith(QOS_OVERRIDES)]
    warnings = []
    for name in node._parameter_overrides:
        is_later = any(name.startswith(f"{QOS_OVERRIDES}{topic}.") for topic in later_topics)
        if name.startswith(QOS_OVERRIDES) and name not in declared and not is_later:
            similar = difflib.get_close_matches(name, declared, n=1)
            warnings.append(
                f"no parameter {name}" + (f"; did you mean {similar[0]}?" if similar else ": no such topic")
            )
    return warnings


def _find_unknown(node: Node, declared: Mapping[str, Any]) -> list[str]:
    """Return a warning for each parameter of the start that the node does not have."""
    warnings = []
    for name in node._parameter_overrides:
        if name not in declared and not name.startswith(_RCLPY_PARAMETERS):
            similar = difflib.get_close_matches(name, declared, n=1)
            warnings.append(f"no parameter {name}" + (f"; did you mean {similar[0]}?" if similar else ""))
    return warnings


def _format_yaml(value: Any) -> str:
    text = yaml.safe_dump(_to_ros(value), default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()


def _to_ros(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else tuple(value)


def _format_type(value: object) -> str:
    if isinstance(value, tuple):
        return f"list of {_format_type(value[0])}"
    return {bool: "bool", int: "integer", float: "number", str: "text"}[type(value)]
