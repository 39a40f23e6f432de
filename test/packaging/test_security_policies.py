"""The SROS 2 policies are well-formed, and allow each node all that it needs and nothing without a reason."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "security" / "policies"
NO_LIBRARIES = "This Fast DDS version doesn't have the security libraries"
"""Error of a middleware that was built without SROS 2."""
KINDS = {("topics", "publish"), ("topics", "subscribe"), ("services", "reply"), ("services", "request")}

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
NODES = {
    name.strip(): target.strip().partition(":")[0]
    for name, target in (
        line.split("=")
        for line in SETUP["options.entry_points"]["remote_sensing_tracking.nodes"].strip().split("\n")
    )
}


def read_policy(name: str) -> dict[tuple[str, str], set[str]]:
    """Return the allowed names of the node's profile by kind, for a node without namespace and remapping."""
    root = ElementTree.parse(POLICIES / f"{name}.xml").getroot()
    (profile,) = (entry for entry in root.iter("profile") if entry.get("node") == name)
    allowed: dict[tuple[str, str], set[str]] = {kind: set() for kind in KINDS}
    for group in profile:
        ((use, decision),) = group.attrib.items()
        assert decision == "ALLOW"
        allowed[group.tag, use] |= {resolve(str(entry.text), name) for entry in group}
    return allowed


def resolve(text: str, node: str) -> str:
    return f"/{node}/{text[2:]}" if text.startswith("~/") else "/" + text.lstrip("/")


def test_every_node_and_the_operator_have_a_policy() -> None:
    assert {path.stem for path in POLICIES.glob("*.xml")} == {*NODES, "operator"}


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.xml")), ids=lambda path: path.stem)
def test_policy_has_the_form_of_sros2(path: Path) -> None:
    root = ElementTree.parse(path).getroot()

    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    (enclave,) = root.findall("enclaves/enclave")
    assert enclave.get("path") == f"/{path.stem}"
    for profile in enclave.findall("profiles/profile"):
        assert profile.get("ns") == "/"
        for group in profile:
            assert {(group.tag, use) for use in group.attrib} <= KINDS
            names = [str(entry.text) for entry in group]
            assert names
            assert len(set(names)) == len(names)
            assert all(entry.tag == group.tag[:-1] for entry in group)
            assert not any("*" in name or name != name.strip() for name in names)


def test_operator_may_neither_set_parameters_nor_see_images() -> None:
    allowed = read_policy("operator")

    assert not any("parameters" in name for name in allowed["services", "request"])
    assert not any("image" in name for name in allowed["topics", "subscribe"])


@pytest.mark.ros
@pytest.mark.slow
def test_policies_allow_what_the_nodes_use(
    ros: Any, node_process: Callable[..., Any], wait_for: Callable[..., Any], tmp_path: Path
) -> None:
    from tracking_runtime.ros.clients import LifecycleClient

    parameters = {
        "recorder": {"output": str(tmp_path / "bag")},
        "player": {"source": "scene:satellite?seed=1&frames=3&size=64", "loop": True},
    }
    clients = {name: LifecycleClient(ros, f"/{name}") for name in NODES}
    for name, module in NODES.items():
        node_process(
            module, name, parameters={"autostart": name != "georeferencer", **parameters.get(name, {})}
        )
    for name, client in clients.items():
        goal = "unconfigured" if name == "georeferencer" else "active"
        wait_for(
            lambda client=client, goal=goal: client.diagnosis and client.diagnosis.values["state"] == goal,
            300,
            f"{name} {goal}",
        )

    graph = ros.node
    for name in NODES:
        allowed = read_policy(name)
        for kind, used in (
            (("topics", "publish"), graph.get_publisher_names_and_types_by_node(name, "/")),
            (("topics", "subscribe"), graph.get_subscriber_names_and_types_by_node(name, "/")),
            (("services", "reply"), graph.get_service_names_and_types_by_node(name, "/")),
            (("services", "request"), graph.get_client_names_and_types_by_node(name, "/")),
        ):
            assert {topic for topic, _ in used} <= allowed[kind], (name, kind)
        services = {topic for topic, _ in graph.get_service_names_and_types_by_node(name, "/")}
        assert services == allowed["services", "reply"], name


@pytest.mark.ros
@pytest.mark.usefixtures("ros_domain")
def test_node_does_not_run_unprotected_if_protection_is_asked_for(tmp_path: Path) -> None:
    """Without its keys, or without the security libraries of the middleware."""
    (tmp_path / "enclaves").mkdir()
    protection = {"ENABLE": "true", "STRATEGY": "Enforce", "KEYSTORE": str(tmp_path)}
    environment = {**os.environ, **{f"ROS_SECURITY_{name}": value for name, value in protection.items()}}

    process = subprocess.run(
        [sys.executable, "-m", "tracking_runtime.nodes.player"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode not in (0, -15)
    assert "SECURITY" in process.stderr.upper()
    if NO_LIBRARIES in process.stderr:  # the wheels from PyPI
        assert NO_LIBRARIES in " ".join((ROOT / "docs" / "security.md").read_text().split())
