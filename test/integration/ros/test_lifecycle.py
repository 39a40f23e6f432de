"""Lifecycle, parameters and signals of nodes, as processes over DDS; `rstrack bench lifecycle`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from builtin_interfaces.msg import Time
from click.testing import CliRunner
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.node import Node

from tracking_runtime.cli import rstrack
from tracking_runtime.ros.benchmarks.lifecycle_leaks import ResourceGrowth, ResourceUsage, cycle_lifecycle
from tracking_runtime.ros.clients import LifecycleClient, RequestRefusedError, set_parameters
from tracking_runtime.ros.node import diagnostics
from tracking_runtime.ros.node.diagnostics import Diagnosis
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession, ServiceError

pytestmark = pytest.mark.ros
NODE = "/brightness"
COMMAND = ["bench", "lifecycle"]
StartNode = Callable[..., NodeProcess]


def test_invalid_transitions_are_answered(ros: RosSession, brightness: StartNode) -> None:
    brightness()
    node = LifecycleClient(ros, NODE)
    transitions = {"configure", "activate", "deactivate", "cleanup"}
    valid_transitions = {
        "unconfigured": {"configure"},
        "inactive": {"activate", "cleanup"},
        "active": {"deactivate"},
    }
    path = [
        ("unconfigured", "configure"),
        ("inactive", "activate"),
        ("active", "deactivate"),
        ("inactive", "cleanup"),
    ]

    for state, transition in path:
        assert node.state() == state
        for invalid in transitions - valid_transitions[state]:
            with pytest.raises(RequestRefusedError, match=f"not possible from state {state}"):
                getattr(node, invalid)()
        getattr(node, transition)()

    assert node.state() == "unconfigured"


@pytest.mark.parametrize("module", ["hsi_tracker_ros.node", "spax_ros.node"])
def test_unconfigured_tracker_stops_without_error(
    ros: RosSession, node_process: StartNode, module: str
) -> None:
    process = node_process(module, "tracker")
    assert LifecycleClient(ros, "/tracker").state() == "unconfigured"

    assert process.stop() == 0

    assert "Traceback" not in process.log


@pytest.fixture
def mute(ros_domain: int) -> Iterator[Node]:
    """Return a node that receives requests, but whose responses never arrive."""
    context = Context()
    context.init(domain_id=ros_domain)
    node = Node("mute", context=context)
    for service_type, name in ((ChangeState, "change_state"), (GetState, "get_state")):
        node.create_service(service_type, f"/mute/{name}", lambda _, response: response)
    yield node
    node.destroy_node()
    context.shutdown()


@pytest.mark.parametrize(("state", "fails"), [("inactive", False), ("unconfigured", True)])
def test_diagnosis_replaces_lost_response(ros: RosSession, mute: Node, state: str, fails: bool) -> None:
    values = {"state": state, "last_error": "cannot configure: no model"}
    message = diagnostics.to_message(Diagnosis(values=values), "/mute", "", Time())
    publisher = ros.node.create_publisher(DiagnosticArray, diagnostics.TOPIC, 10)
    ros.node.create_timer(0.05, lambda: publisher.publish(message))

    node = LifecycleClient(ros, mute.get_fully_qualified_name(), response_lost_s=0.5)

    assert node.state() == state
    with pytest.raises(RequestRefusedError, match="no model") if fails else nullcontext():
        node.configure()


@pytest.mark.usefixtures("mute")
def test_node_without_response_is_named(ros: RosSession) -> None:
    with pytest.raises(ServiceError, match=r"/mute/change_state did not answer within 0\.5 s"):
        LifecycleClient(ros, "/mute", timeout_s=0.5).configure()


def test_lifecycle_cycles_leak_no_resources(ros: RosSession, brightness: StartNode) -> None:
    process = brightness()

    usages = list(cycle_lifecycle(ros, process, 30))

    growth = ResourceGrowth.compute(usages, num_warm_up=5)
    assert (growth.threads, growth.files) == (0, 0)
    assert growth.memory_mb_per_life < 0.2


def test_resource_growth_ignores_warm_up() -> None:
    warm_up = [ResourceUsage(10, 20, 100.0), ResourceUsage(10, 20, 140.0)]
    growing = [ResourceUsage(10 + n // 2, 20 + n, 140.0 + 2 * n) for n in range(4)]

    growth = ResourceGrowth.compute(warm_up + growing, num_warm_up=2)

    assert (growth.threads, growth.files) == (1, 3)
    assert growth.memory_mb_per_life == pytest.approx(2.0)
    assert growth.gpu_memory_mb_per_life is None
    on_gpu = [ResourceUsage(1, 1, 1.0, gpu_memory_mb=900.0 + 4 * n) for n in range(4)]
    assert ResourceGrowth.compute(on_gpu, num_warm_up=1).gpu_memory_mb_per_life == pytest.approx(4.0)


def test_command_sends_frames_and_writes_results(tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["spax_tracker", "--times", "5", "--output", str(output)]
    arguments += ["--source", "scene:satellite?seed=1&frames=2&size=128", "--set", "engine=pytorch"]

    result = CliRunner().invoke(rstrack, [*COMMAND, *arguments])

    assert "spax_tracker: 5 cycles, " in result.output.replace("\n", " ")
    usages = json.loads((output / "lifecycle.json").read_text())["lives"]
    assert [set(usage) for usage in usages] == [{"threads", "files", "memory_mb", "gpu_memory_mb"}] * 5
    assert (output / "lifecycle.png").stat().st_size > 10_000


def test_command_with_invalid_argument_names_it(tmp_path: Path) -> None:
    for arguments, reason in (
        (["moon_tracker"], "node 'moon_tracker' is unknown; available: "),
        (["player", "--source", "folder:/nowhere"], "/nowhere"),
    ):
        result = CliRunner().invoke(rstrack, [*COMMAND, *arguments, "--output", str(tmp_path)])

        assert result.exit_code == 1
        assert reason in result.output


def test_failed_configure_names_cause_and_can_be_retried(
    ros: RosSession, brightness: StartNode, tmp_path: Path
) -> None:
    process = brightness(model="/absent.yaml")
    node = LifecycleClient(ros, NODE)

    with pytest.raises(RequestRefusedError, match=r"cannot configure: no model /absent\.yaml"):
        node.configure()
    assert node.state() == "unconfigured"
    assert "cannot configure: no model /absent.yaml" in process.log
    assert "Traceback" not in process.log, "a user's mistake is one line"

    (tmp_path / "model").touch()
    assert _set_parameters(ros, model=str(tmp_path / "model")) == ""
    node.start()
    assert node.state() == "active"


def test_parameters_are_checked_as_a_set(ros: RosSession, brightness: StartNode) -> None:
    brightness()
    node = LifecycleClient(ros, NODE)

    assert "low is 200, high is only 100" in _set_parameters(ros, low=200, high=100)
    assert _set_parameters(ros, low=200, high=201) == ""
    assert "out of range" in _set_parameters(ros, size=9.5)

    node.start()
    assert "low can be set while unconfigured" in _set_parameters(ros, low=1)
    assert _set_parameters(ros, size=5.0) == ""
    assert "read-only" in _set_parameters(ros, autostart=True)


def test_autostart_activates_node(
    ros: RosSession, brightness: StartNode, wait_for: Callable[..., object]
) -> None:
    brightness(autostart=True)
    node = LifecycleClient(ros, NODE)

    wait_for(lambda: node.state() == "active")


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM, signal.SIGINT]])
def test_signal_ends_active_node_without_error(
    ros: RosSession, brightness: StartNode, numbers: list[int]
) -> None:
    process = brightness()
    node = LifecycleClient(ros, NODE)
    node.start()

    for number in numbers:  # systemd sends SIGTERM to launch and its nodes, then launch sends them SIGINT
        os.kill(process.pid, number)

    assert process.wait(20) == 0
    assert "Traceback" not in process.log
    assert node.diagnosis is not None
    assert node.diagnosis.values["state"] == "finalized"


def test_invalid_value_at_start_ends_process(brightness: StartNode) -> None:
    process = brightness(low=10, high=5)

    assert process.wait(20) == 2

    lines = [line for line in process.log.strip().splitlines() if "RTPS_" not in line]
    assert lines == ["parameter low is 10, high is only 5"]


def test_unknown_parameter_at_start_is_warned_of(ros: RosSession, brightness: StartNode) -> None:
    process = brightness(modle="x")

    LifecycleClient(ros, NODE).state()

    assert "no parameter modle; did you mean model?" in process.log


def test_whole_number_is_accepted_as_number(ros: RosSession, brightness: StartNode) -> None:
    process = brightness(size=5, low=3.0)

    assert _set_parameters(ros, size=7) == ""

    assert process.is_running


def test_qos_override_without_topic_is_named(ros: RosSession, brightness: StartNode) -> None:
    process = brightness(
        **{
            "qos_overrides./imgae.subscription.depth": 7,
            "qos_overrides./image.subscription.durability": "volatile",
        }
    )

    LifecycleClient(ros, NODE).start()

    assert "no parameter qos_overrides./imgae.subscription.depth; did you mean" in process.log
    assert process.log.count("no parameter") == 1


def _set_parameters(ros: RosSession, **values: object) -> str:
    """Set parameters of the brightness node. Return the reason of a refusal, else an empty text."""
    try:
        set_parameters(ros, NODE, **values)
    except RequestRefusedError as refusal:
        return str(refusal)
    return ""
