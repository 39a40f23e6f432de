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

from tracking_runtime.commands.bench_lifecycle import lifecycle
from tracking_runtime.ros.benchmarks.lifecycle_leaks import Growth, Held, live_often
from tracking_runtime.ros.clients import LifecycleClient, RequestRefused, set_parameters
from tracking_runtime.ros.node import diagnostics
from tracking_runtime.ros.node.diagnostics import Diagnosis
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession, ServiceError

Start = Callable[..., NodeProcess]


def test_every_transition_and_every_wrong_one_is_answered(ros: RosSession, brightness: Start) -> None:
    brightness()
    node = LifecycleClient(ros, "/brightness")
    allowed = {
        "unconfigured": {"configure": "inactive"},
        "inactive": {"activate": "active", "cleanup": "unconfigured"},
        "active": {"deactivate": "inactive"},
    }
    ways = [("unconfigured", "configure"), ("inactive", "activate"), ("active", "deactivate")]
    for state, way in [*ways, ("inactive", "cleanup")]:
        assert node.state() == state
        for wrong in {"configure", "activate", "deactivate", "cleanup"} - set(allowed[state]):
            with pytest.raises(RequestRefused, match=f"not possible from state {state}"):
                getattr(node, wrong)()
        getattr(node, way)()
    assert node.state() == "unconfigured"


@pytest.mark.parametrize("module", ["hsi_tracker_ros.node", "spax_ros.node"])
def test_tracker_ends_in_order_though_it_was_never_configured(
    ros: RosSession, node_process: Start, module: str
) -> None:
    process = node_process(module, "tracker")
    assert LifecycleClient(ros, "/tracker").state() == "unconfigured"
    assert process.stop() == 0
    assert "Traceback" not in process.log


@pytest.fixture
def mute(ros_domain: int) -> Iterator[Node]:
    """A node that gets requests, but whose responses never come."""
    context = Context()
    context.init(domain_id=ros_domain)
    node = Node("mute", context=context)
    for service_type, name in ((ChangeState, "change_state"), (GetState, "get_state")):
        node.create_service(service_type, f"/mute/{name}", lambda _, response: response)
    yield node
    node.destroy_node()
    context.shutdown()


@pytest.mark.parametrize(("state", "fails"), [("inactive", False), ("unconfigured", True)])
def test_lost_response_is_told_by_the_diagnoses(ros: RosSession, mute: Node, state: str, fails: bool) -> None:
    values = {"state": state, "last_error": "cannot configure: no model"}
    message = diagnostics.to_message(Diagnosis(values=values), "/mute", "", Time())
    publisher = ros.node.create_publisher(DiagnosticArray, diagnostics.TOPIC, 10)
    ros.node.create_timer(0.05, lambda: publisher.publish(message))
    node = LifecycleClient(ros, mute.get_fully_qualified_name(), response_lost_s=0.5)
    assert node.state() == state
    with pytest.raises(RequestRefused, match="no model") if fails else nullcontext():
        node.configure()


@pytest.mark.usefixtures("mute")
def test_node_without_responses_and_diagnoses_is_named(ros: RosSession) -> None:
    with pytest.raises(ServiceError, match=r"/mute/change_state did not answer within 0\.5 s"):
        LifecycleClient(ros, "/mute", timeout_s=0.5).configure()


def test_nothing_stays_behind_after_many_lives(ros: RosSession, brightness: Start) -> None:
    process = brightness()
    lives = list(live_often(ros, process, 30))
    growth = Growth.over(lives, settling=5)
    assert (growth.threads, growth.files) == (0, 0)
    assert growth.memory_mb_per_life < 0.2


def test_growth_is_seen() -> None:
    lives = [Held(10, 20, 100.0), Held(10, 20, 140.0)] + [
        Held(10 + n // 2, 20 + n, 140.0 + 2 * n) for n in range(4)
    ]
    growth = Growth.over(lives, settling=2)
    assert (growth.threads, growth.files) == (1, 3)
    assert growth.memory_mb_per_life == pytest.approx(2.0)
    assert growth.gpu_memory_mb_per_life is None
    on_gpu = [Held(1, 1, 1.0, gpu_memory_mb=900.0 + 4 * n) for n in range(4)]
    assert Growth.over(on_gpu, settling=1).gpu_memory_mb_per_life == pytest.approx(4.0)


def test_command_shows_frames_in_each_life_and_keeps_what_it_measured(tmp_path: Path) -> None:
    arguments = ["spax_tracker", "--times", "5", "--output", str(tmp_path / "out")]
    arguments += ["--source", "scene:satellite?seed=1&frames=2&size=128", "--set", "engine=pytorch"]
    result = CliRunner().invoke(lifecycle, arguments)
    assert "spax_tracker: 5 lives, then" in result.output.replace("\n", " ")
    lives = json.loads((tmp_path / "out" / "lifecycle.json").read_text())["lives"]
    assert [set(held) for held in lives] == [{"threads", "files", "memory_mb", "gpu_memory_mb"}] * 5
    assert (tmp_path / "out" / "lifecycle.png").stat().st_size > 10_000


def test_command_names_what_is_wrong(tmp_path: Path) -> None:
    for arguments, reason in (
        (["moon_tracker"], "no node moon_tracker; there are hsi_tracker"),
        (["player", "--source", "folder:/nowhere"], "no folder at /nowhere"),
    ):
        result = CliRunner().invoke(lifecycle, [*arguments, "--output", str(tmp_path)])
        assert result.exit_code == 1
        assert reason in result.output


def test_failing_configure_says_why_and_can_be_mended(
    ros: RosSession, brightness: Start, tmp_path: Path
) -> None:
    process = brightness(model="/absent.yaml")
    node = LifecycleClient(ros, "/brightness")
    with pytest.raises(RequestRefused, match=r"cannot configure: no model /absent\.yaml"):
        node.configure()
    assert node.state() == "unconfigured"
    assert "ModelError: no model /absent.yaml" in process.log
    (tmp_path / "model").touch()
    assert _set(ros, model=str(tmp_path / "model")) == ""
    node.start()
    assert node.state() == "active"


def test_parameters_are_judged_as_a_set(ros: RosSession, brightness: Start) -> None:
    brightness()
    node = LifecycleClient(ros, "/brightness")
    assert "low is 200, high is only 100" in _set(ros, low=200, high=100)
    assert _set(ros, low=200, high=201) == ""
    assert "out of range" in _set(ros, size=9.5)
    node.start()
    assert "low can be set while unconfigured" in _set(ros, low=1)
    assert _set(ros, size=5.0) == ""
    assert "read-only" in _set(ros, autostart=True)


def test_autostart(ros: RosSession, brightness: Start, wait_for: Callable[..., object]) -> None:
    brightness(autostart=True)
    node = LifecycleClient(ros, "/brightness")
    wait_for(lambda: node.state() == "active")


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM, signal.SIGINT]])
def test_signals_end_an_active_node_cleanly(ros: RosSession, brightness: Start, numbers: list[int]) -> None:
    process = brightness()
    node = LifecycleClient(ros, "/brightness")
    node.start()
    for number in numbers:  # systemd sends the first to launch and to its nodes, and launch these the second
        os.kill(process.pid, number)
    assert process.wait(20) == 0
    assert "Traceback" not in process.log
    assert node.diagnosis is not None
    assert node.diagnosis.values["state"] == "finalized"


def test_value_that_is_not_allowed_ends_the_process_with_a_reason(brightness: Start) -> None:
    process = brightness(low=10, high=5)
    assert process.wait(20) == 2
    said = [line for line in process.log.strip().splitlines() if "RTPS_" not in line]
    assert said == ["parameter low is 10, high is only 5"]


def test_unknown_parameter_is_mentioned(ros: RosSession, brightness: Start) -> None:
    process = brightness(modle="x")
    LifecycleClient(ros, "/brightness").state()
    assert "no parameter modle; did you mean model?" in process.log


def _set(ros: RosSession, **values: object) -> str:
    """Set parameters of the brightness node at once; the reason if that is refused."""
    try:
        set_parameters(ros, "/brightness", **values)
    except RequestRefused as refusal:
        return str(refusal)
    return ""
