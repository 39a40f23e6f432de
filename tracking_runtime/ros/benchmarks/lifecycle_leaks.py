"""Whether a node leaves anything behind: many lives of one process, and what it holds after each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sensor_msgs.msg import Image

from tracking_runtime.messages.conversion import restamped
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.node.diagnostics import Diagnosis
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

_RELIABLE = {
    "qos_overrides./image.subscription.reliability": "reliable",
    "qos_overrides./image.subscription.depth": 10,
}
_FRAME_S = 60.0


@dataclass(frozen=True)
class Held:
    """What a process holds of the machine.

    Attributes:
        threads: how many.
        files: open handles: files, sockets, pipes.
        memory_mb: resident.
        gpu_memory_mb: taken on the GPU, by all processes (from within a container a driver does not tell them
            apart); None without one.
    """

    threads: int
    files: int
    memory_mb: float
    gpu_memory_mb: float | None = None

    @classmethod
    def by(cls, pid: int) -> Held:
        """What the process with this number holds now."""
        folder = Path("/proc") / str(pid)
        resident = re.search(r"VmRSS:\s+(\d+) kB", (folder / "status").read_text())
        return cls(
            threads=len(list((folder / "task").iterdir())),
            files=len(list((folder / "fd").iterdir())),
            memory_mb=int(resident[1]) / 1e3 if resident else 0.0,
            gpu_memory_mb=_gpu_memory_mb(),
        )


@dataclass(frozen=True)
class Growth:
    """What grew from life to life, once the first ones were over.

    Attributes:
        threads: more after the last life than after the first that counts.
        files: likewise.
        memory_mb_per_life: slope of a line through the resident memory.
        gpu_memory_mb_per_life: likewise of the GPU's; None without one.
    """

    threads: int
    files: int
    memory_mb_per_life: float
    gpu_memory_mb_per_life: float | None = None

    @classmethod
    def over(cls, lives: Sequence[Held], settling: int) -> Growth:
        """Of what was held after each life, the first ``settling`` of which don't count."""
        counted = lives[settling:]
        first, last = counted[0], counted[-1]
        on_gpu = [held.gpu_memory_mb for held in counted if held.gpu_memory_mb is not None]
        return cls(
            threads=last.threads - first.threads,
            files=last.files - first.files,
            memory_mb_per_life=_slope([held.memory_mb for held in counted]),
            gpu_memory_mb_per_life=_slope(on_gpu) if on_gpu else None,
        )


def live_often(
    session: RosSession, process: NodeProcess, times: int, images: Sequence[bytes] = ()
) -> Iterator[Held]:
    """What a node's process holds after each of its lives: configured, activated, and all the way back.

    Args:
        session: in the process's domain.
        process: running, its node unconfigured.
        times: how many lives.
        images: serialised, which it is shown in each life; it has to account for all of them.
    """
    node = LifecycleClient(session, f"/{process.name}")
    camera = session.node.create_publisher(Image, "/image", 10) if images else None
    for _ in range(times):
        node.start()
        if camera is not None:
            wait_for(camera.get_subscription_count, _FRAME_S, f"a subscription of {process.name}")
            for image in images:
                camera.publish(restamped(image, session.node.get_clock().now().nanoseconds))
            wait_for(lambda: _seen(node.diagnosis) == len(images), _FRAME_S, "the frames' account")
        node.deactivate()
        node.cleanup()
        yield Held.by(process.pid)


def parameters_for_images() -> dict[str, object]:
    """What a node needs so that it gets every image that it is shown."""
    return dict(_RELIABLE)


def _gpu_memory_mb() -> float | None:
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 1e6


def _slope(values: Sequence[float]) -> float:
    return float(np.polyfit(np.arange(len(values)), values, 1)[0]) if len(values) > 1 else 0.0


def _seen(diagnosis: Diagnosis | None) -> int:
    values = diagnosis.values if diagnosis else {}
    fates = ("processed", "dropped", "refused", "failed")
    return sum(int(values.get(f"frames_{fate}", 0)) for fate in fates)
