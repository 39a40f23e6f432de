"""Fixtures of all tests: random seeds, an engine cache, a ROS domain, node processes."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Processes that run tests side by side share the cores. PyTorch reads these variables when it is imported.
# Waiting threads must sleep, as `tracking_runtime` sets it too: on shared cores, spinning is 20 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_NUM_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _NUM_WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // _NUM_WORKERS, 1)))

# Shells let background jobs ignore interrupts, and processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis
import pytest
import torch

from tracking_runtime.ros import waiting
from tracking_runtime.ros.processes import NodeProcess, make_local_environment, reserve_domain

if TYPE_CHECKING:
    from tracking_runtime.ros.session import RosSession


_ROS_TESTS = Path(__file__).parent / "integration" / "ros"
_NODE_TESTS = Path(__file__).parent / "integration" / "nodes"

hypothesis.settings.register_profile(
    "fixed examples", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("fixed examples")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start nodes or need a ROS domain with `ros`."""
    for item in items:
        uses_domain = "ros_domain" in getattr(item, "fixturenames", ())
        if uses_domain or item.path.is_relative_to(_ROS_TESTS) or item.path.is_relative_to(_NODE_TESTS):
            item.add_marker(pytest.mark.ros)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Print a failure at once, so that a run that is cut still names its failed tests."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(
            f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext}",
            file=sys.__stderr__,
            flush=True,
        )


@pytest.fixture(autouse=True)
def seed_torch() -> None:
    """Seed PyTorch, so that a test draws the same random weights whichever tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the tests and their processes an engine cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path_factory.mktemp("engines")))
        yield


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Return a function from a number of processes to the arguments of Python that start a module in them."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rendezvous = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    return lambda num_processes: [
        "-m",
        "torch.distributed.run",
        *rendezvous,
        f"--nproc-per-node={num_processes}",
    ]


@pytest.fixture
def other_device() -> Iterator[str]:
    """Yield the name of a device that, like a GPU, refuses tensors that are on the CPU."""
    spec = importlib.util.spec_from_file_location("other_device", Path(__file__).parent / "other_device.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.OtherDevice():
        yield "meta"


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes images, (H, W, 3) BGR or of the pixel format, as a video file.

    Its arguments are the name of the file, the images, and: `codec`, `pixel_format` of the file,
    `image_format` of the images, `stamps_ms` of the frames or `rate`, and `options` of the container.
    """

    def write(
        name: str,
        images: Any,
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        image_format: str = "bgr24",
        stamps_ms: Any = None,
        rate: int = 25,
        options: dict[str, str] | None = None,
    ) -> Path:
        import av

        quality = {"crf": "4"} if codec == "libx264" else {}
        with av.open(str(tmp_path / name), "w", options=options or {}) as container:
            stream = container.add_stream(codec, rate=rate, options=quality)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = pixel_format
            stream.bit_rate = 0 if quality else 4_000_000
            if stamps_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for index, image in enumerate(images):
                picture = av.VideoFrame.from_ndarray(image, format=image_format)
                picture.pts = index if stamps_ms is None else stamps_ms[index]
                picture.time_base = Fraction(1, rate if stamps_ms is None else 1000)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def ros_domain() -> Iterator[int]:
    """Yield a domain id that no other test process uses. This process and its children stay in it."""
    with reserve_domain() as domain_id:
        before = dict(os.environ)
        os.environ.update(make_local_environment(domain_id))
        yield domain_id
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def ros(ros_domain: int) -> Iterator[RosSession]:
    """Yield a node that a thread spins: `ros.node`, `ros.listen`, `ros.call`."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from tracking_runtime.ros.session import RosSession

    with RosSession("test", ros_domain) as session:
        yield session


@pytest.fixture
def node_process(ros_domain: int, tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Yield a function that starts a node: `node_process("spax_ros.node", "spax_tracker")`."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    with ExitStack() as processes:

        def start(module: str, name: str, **options: Any) -> NodeProcess:
            environment = make_local_environment(ros_domain) | options.pop("environment", {})
            process = NodeProcess(module, name, tmp_path, environment=environment, **options)
            return processes.enter_context(process)

        yield start


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    """Return `wait_for(condition, timeout_s, description)`, which returns the first true value."""
    return waiting.wait_for
