"""Launch files parse everywhere, and offer what nav2's users look for where launch is installed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "launch"
FILES = sorted(FOLDER.glob("*.launch.py"))
ARGUMENTS = {
    "namespace", "params_file", "use_sim_time", "autostart", "use_respawn", "log_level",
    "transport_profile", "image", "model", "engine",
}  # fmt: skip


def test_there_is_one_for_each_tracker() -> None:
    assert {path.name for path in FILES} == {"hsi_tracker.launch.py", "spax_tracker.launch.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_defines_a_launch_description(path: Path) -> None:
    functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert functions == ["generate_launch_description"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_offers_the_usual_arguments(path: Path) -> None:
    pytest.importorskip("launch_ros", reason="no wheel of launch exists")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(path))
    arguments = description.get_launch_arguments()
    assert {argument.name for argument in arguments} == ARGUMENTS
    assert all(argument.description and argument.default_value is not None for argument in arguments)
