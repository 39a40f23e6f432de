"""The public interface equals the list in `public_interface.json`.

Users build on these names: entry points, commands and options, parameters, messages, launch arguments. A test
that fails here means that a release breaks users. Add a name to the list with the code and the changelog.
"""

from __future__ import annotations

import configparser
import json
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPECTED: dict[str, Any] = json.loads(Path(__file__).with_name("public_interface.json").read_text())


def describe_entry_points() -> dict[str, list[str]]:
    """Return the names in each entry-point group of setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    groups = setup["options.entry_points"].items()
    return {
        group: sorted(line.split("=")[0].strip() for line in text.split("\n") if line)
        for group, text in groups
    }


def describe_commands(command: click.Command, name: str = "rstrack") -> dict[str, Any]:
    """Return the parameters of a command and of all its sub-commands."""
    described: dict[str, Any] = {name: dict(_describe_option(option) for option in command.params)}
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for sub_name in command.list_commands(context):
            sub_command = command.get_command(context, sub_name)
            assert sub_command is not None
            described |= describe_commands(sub_command, f"{name} {sub_name}")
    return described


def _describe_option(option: click.Parameter) -> tuple[str, dict[str, Any]]:
    names = " ".join(sorted([*option.opts, *option.secondary_opts]))
    if isinstance(option, click.Argument):
        names = option.human_readable_name.strip("[].").lower()
    choices = list(option.type.choices) if isinstance(option.type, click.Choice) else []
    return names, {
        "required": option.required,
        "multiple": option.multiple or option.nargs == -1,
        "flag": isinstance(option, click.Option) and option.is_flag,
        "choices": [str(choice) for choice in choices],
    }


def describe_parameters(table: str) -> dict[str, list[str]]:
    """Return type, default, allowed values and time of change by parameter, from a Markdown table."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.strip().split("\n")[2:]]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:5]] for row in rows}


def describe_messages() -> dict[str, list[str]]:
    """Return the fields of each message and service, without comments."""
    files = sorted((ROOT / "msgs").rglob("*.[ms][sr][gv]"))
    lines = {
        file.stem: [line.split("#")[0].strip() for line in file.read_text().split("\n")] for file in files
    }
    return {name: [re.sub(r"\s+", " ", line) for line in fields if line] for name, fields in lines.items()}


def describe_launch_arguments(arguments: Any) -> dict[str, Any]:
    """Return default and choices of each argument of the launch files."""
    files = ("HSI_TRACKER", "SPAX_TRACKER", "REPLAY", "GROUND_STATION", "GEOREFERENCER")
    return {
        file: {
            argument.name: [argument.default, list(argument.choices)] for argument in getattr(arguments, file)
        }
        for file in files
    }


def test_entry_points_are_those_of_the_list() -> None:
    assert describe_entry_points() == EXPECTED["entry_points"]


def test_commands_and_options_are_those_of_the_list() -> None:
    from tracking_runtime.cli import rstrack

    commands = describe_commands(rstrack)

    assert sorted(commands) == sorted(EXPECTED["commands"])
    for name, options in EXPECTED["commands"].items():
        assert commands[name] == options, name


@pytest.mark.parametrize("node", sorted(EXPECTED["parameters"]))
def test_parameters_are_those_of_the_list(node: str) -> None:
    from click.testing import CliRunner

    from tracking_runtime.cli import rstrack

    if not entry_points(group="remote_sensing_tracking.nodes", name=node):
        pytest.skip("the package is not installed")
    pytest.importorskip("rclpy", reason="the parameters of nodes need ROS 2")

    printed = CliRunner().invoke(rstrack, ["parameters", node])

    assert printed.exit_code == 0, printed.output
    assert describe_parameters(printed.output) == EXPECTED["parameters"][node]


def test_messages_have_the_fields_of_the_list() -> None:
    assert describe_messages() == EXPECTED["messages"]


def test_launch_arguments_are_those_of_the_list() -> None:
    from tracking_runtime.ros.launch import arguments

    assert describe_launch_arguments(arguments) == EXPECTED["launch_arguments"]
