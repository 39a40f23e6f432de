"""The package's metadata files agree with each other, and all entry points can be loaded."""

from __future__ import annotations

import configparser
import re
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "remote_sensing_tracking."
ROSDEP_KEYS = {
    "PyYAML": "python3-yaml",
    "opencv-contrib-python-headless": "python3-opencv",
    "rosbags": "python3-rosbags-pip",
}

PACKAGES = {"tracking_runtime", "hsi_tracker_ros", "spax_ros"}

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()


def list_entry_points() -> list[tuple[str, str]]:
    """Return group and name of every entry point in setup.cfg."""
    sections = dict(SETUP["options.entry_points"])
    return [
        (group, line.split("=")[0].strip())
        for group, lines in sections.items()
        for line in lines.split("\n")
        if line
    ]


def test_package_xml_and_setup_cfg_have_the_same_version() -> None:
    assert PACKAGE.findtext("version") == SETUP["metadata"]["version"]


def test_every_requirement_is_a_dependency_on_a_robot() -> None:
    keys = {element.text for element in PACKAGE.iter("exec_depend")}
    robot_requirements = (ROOT / "requirements" / "robot.txt").read_text()
    for line in filter(None, SETUP["options"]["install_requires"].split("\n")):
        name = re.split(r"[<>=]", line)[0]
        key = ROSDEP_KEYS.get(name, f"python3-{name.lower()}")
        assert key in keys or name in robot_requirements, (
            f"{name}: neither {key} in package.xml nor in requirements/robot.txt"
        )


@pytest.mark.parametrize(("group", "name"), list_entry_points())
def test_entry_point_is_registered_once_and_loads(group: str, name: str) -> None:
    found = [e for e in entry_points(group=group) if e.name == name and e.module.split(".")[0] in PACKAGES]

    assert len(found) == 1
    if group == "console_scripts" and name != "rstrack":
        pytest.importorskip("rclpy", reason="nodes need ROS 2")
    assert found[0].load() is not None


def test_all_messages_and_services_are_built() -> None:
    messages = pytest.importorskip("remote_sensing_tracking.msg", reason="messages are not built")
    services = pytest.importorskip("remote_sensing_tracking.srv", reason="services are not built")

    for path in (ROOT / "msgs").rglob("*.*"):
        assert hasattr(messages if path.suffix == ".msg" else services, path.stem)
