"""Leak benchmark: one process of a node runs many lifecycle cycles, and its resources are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from sensor_msgs.msg import Image

from tracking_runtime.messages.conversion import replace_serialized_stamp
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.node.diagnostics import Diagnosis
from tracking_runtime.ros.node.qos import make_lossless_overrides
from tracking_runtime.ros.processes import (
    NodeProcess,
    make_local_environment,
    reserve_domain,
    set_environment,
)
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

_IMAGE_TOPIC = "/image"
_FRAME_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ResourceUsage:
    """Resources of a process.

    Attributes:
        threads: number of threads.
        files: number of open files, sockets and pipes.
        memory_mb: resident memory in megabytes.
        gpu_memory_mb: GPU memory of all processes in megabytes; None without a GPU. In a container the driver
            does not report processes separately.
    """

    threads: int
    files: int
    memory_mb: float
    gpu_memory_mb: float | None = None

    @classmethod
    def measure(cls, pid: int) -> ResourceUsage:
        """Measure the resources of the process with this id."""
        process = psutil.Process(pid)
        return cls(
            threads=process.num_threads(),
            files=process.num_fds(),
            memory_mb=process.memory_info().rss / 1e6,
            gpu_memory_mb=_measure_gpu_memory_mb(),
        )


@dataclass(frozen=True)
class ResourceGrowth:
    """Growth of a process's resources from cycle to cycle, after the first cycles.

    Attributes:
        threads: threads after the last cycle minus those after the first counted cycle.
        files: open files after the last cycle minus those after the first counted cycle.
        memory_mb_per_life: slope of a line through the resident memory, in megabytes per cycle.
        gpu_memory_mb_per_life: slope of a line through the GPU memory, in megabytes per cycle; None without
            a GPU.
    """

    threads: int
    files: int
    memory_mb_per_life: float
    gpu_memory_mb_per_life: float | None = None

    @classmethod
    def compute(cls, usages: Sequence[ResourceUsage], num_warm_up: int) -> ResourceGrowth:
        """Compute the growth.

        Args:
            usages: resources after each cycle.
            num_warm_up: number of first cycles that do not count.
        """
        counted = usages[num_warm_up:]
        first = counted[0]
        last = counted[-1]
        gpu_memory_mb = [usage.gpu_memory_mb for usage in counted if usage.gpu_memory_mb is not None]
        return cls(
            threads=last.threads - first.threads,
            files=last.files - first.files,
            memory_mb_per_life=_fit_slope([usage.memory_mb for usage in counted]),
            gpu_memory_mb_per_life=_fit_slope(gpu_memory_mb) if gpu_memory_mb else None,
        )


def run_leak_benchmark(
    module: str,
    name: str,
    folder: Path,
    parameters: Mapping[str, object],
    num_cycles: int,
    images: Sequence[bytes],
    report: Callable[[int], object],
) -> list[ResourceUsage]:
    """Start a node in a domain of its own, run lifecycle cycles, and return the resources after each.

    Args:
        module: Python module of the node.
        name: name of the node.
        folder: folder of the node's log.
        parameters: parameters of the node.
        num_cycles: number of cycles.
        images: serialized images that the node receives in each cycle.
        report: function that is called with the number of finished cycles.
    """
    usages = []
    with ExitStack() as stack:
        domain_id = stack.enter_context(reserve_domain())
        stack.enter_context(set_environment(make_local_environment(domain_id)))
        node_parameters = {**make_image_parameters(), **parameters}
        process = stack.enter_context(NodeProcess(module, name, folder, node_parameters))
        session = stack.enter_context(RosSession("lifecycle", domain_id))
        for usage in cycle_lifecycle(session, process, num_cycles, images):
            usages.append(usage)
            report(len(usages))
    return usages


def cycle_lifecycle(
    session: RosSession, process: NodeProcess, num_cycles: int, images: Sequence[bytes] = ()
) -> Iterator[ResourceUsage]:
    """Run the lifecycle of a node repeatedly, and yield the resources of its process after each cycle.

    Args:
        session: session in the domain of the process.
        process: running process whose node is unconfigured.
        num_cycles: number of cycles.
        images: serialized images that the node receives in each cycle. The node must count all of them.

    Raises:
        WaitTimeoutError: the node does not count an image.
    """
    node = LifecycleClient(session, f"/{process.name}")
    camera = session.node.create_publisher(Image, _IMAGE_TOPIC, 10) if images else None
    for _ in range(num_cycles):
        node.start()
        if camera is not None:
            wait_for(camera.get_subscription_count, _FRAME_TIMEOUT_S, f"a subscription of {process.name}")
            for image in images:
                stamp_ns = session.node.get_clock().now().nanoseconds
                camera.publish(replace_serialized_stamp(image, stamp_ns))
            wait_for(
                lambda: _count_frames(node.diagnosis) == len(images), _FRAME_TIMEOUT_S, "counts of all frames"
            )
        node.deactivate()
        node.cleanup()
        yield ResourceUsage.measure(process.pid)


def make_image_parameters() -> dict[str, object]:
    """Return node parameters with which a node receives every image."""
    return make_lossless_overrides(_IMAGE_TOPIC, "subscription")


def _measure_gpu_memory_mb() -> float | None:
    if not torch.cuda.is_available():
        return None
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    return (total_bytes - free_bytes) / 1e6


def _fit_slope(values: Sequence[float]) -> float:
    return float(np.polyfit(np.arange(len(values)), values, 1)[0]) if len(values) > 1 else 0.0


def _count_frames(diagnosis: Diagnosis | None) -> int:
    """Return the number of frames in a diagnosis that the node has finished."""
    values = diagnosis.values if diagnosis else {}
    fates = ("processed", "dropped", "refused", "failed")
    return sum(int(values.get(f"frames_{fate}", 0)) for fate in fates)
