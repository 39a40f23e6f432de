"""What tests of nodes share: a ROS domain of their own, processes that surely end, waiting on conditions."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import torch

from tracking_runtime.ros import waiting
from tracking_runtime.ros.processes import NodeProcess, free_domain, local_environment

if TYPE_CHECKING:
    from tracking_runtime.ros.session import RosSession


hypothesis.settings.register_profile(
    "same examples", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("same examples")


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Every test draws the same random weights and examples, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Engines made by these tests and their processes are kept for them alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path_factory.mktemp("engines")))
        yield


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Arguments of Python that start so many processes of a module, which meet on the loopback interface."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    meeting = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    return lambda count: ["-m", "torch.distributed.run", *meeting, f"--nproc-per-node={count}"]


@pytest.fixture
def other_device() -> Iterator[str]:
    """Name of a device that computes, but takes nothing that lies on the CPU: for what is to run on a GPU."""
    spec = importlib.util.spec_from_file_location("other_device", Path(__file__).parent / "other_device.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.OtherDevice():
        yield "meta"


@pytest.fixture(scope="session")
def ros_domain() -> Iterator[int]:
    """A domain id that no other test run uses; this process and its children stay in it, on this machine."""
    with free_domain() as domain_id:
        before = dict(os.environ)
        os.environ.update(local_environment(domain_id))
        yield domain_id
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def ros(ros_domain: int) -> Iterator[RosSession]:
    """A node of the test's own, spun by a thread: ``ros.node``, ``ros.listen``, ``ros.call``."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from tracking_runtime.ros.session import RosSession

    with RosSession("test", ros_domain) as session:
        yield session


@pytest.fixture
def node_process(ros_domain: int, tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start a node's process: ``node_process("hsi_tracker_ros.node", "hsi_tracker", parameters={...})``."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    with ExitStack() as processes:

        def start(module: str, name: str, **options: Any) -> NodeProcess:
            environment = local_environment(ros_domain) | options.pop("environment", {})
            process = NodeProcess(module, name, tmp_path, environment=environment, **options)
            return processes.enter_context(process)

        yield start


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    """``wait_for(condition, timeout_s, what)``: the first true value of a condition."""
    return waiting.wait_for
