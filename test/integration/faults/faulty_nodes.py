"""Both tracker nodes with a tracker that fails on request: the last digits of a frame's stamp name the fault.

Run as `python faulty_nodes.py hsi_tracker|spax_tracker --ros-args ...`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from codes import HANG_S, Code

from hsi_tracker_ros.node import HsiTrackerNode
from spax_ros.node import SpaxTrackerNode
from tracking_runtime.ros.node.run import run_node


class _Faults:
    _is_broken = False

    def track(self, frame: Any, stamp_ns: int) -> Any:
        code = stamp_ns % 1000
        if code == Code.RAISE:
            raise RuntimeError("injected error of the engine")
        if code == Code.HANG:
            time.sleep(HANG_S)
        if code == Code.EXIT:
            raise SystemExit("injected end of the engine")
        if code == Code.MEMORY:
            raise MemoryError
        if code == Code.BREAK:
            self._is_broken = True
            raise RuntimeError("injected error before a reset that fails")
        return super().track(frame, stamp_ns)  # type: ignore[misc]

    def begin_epoch(self) -> None:
        if self._is_broken:
            self._is_broken = False
            self._supervisor.fault = "injected failure of the reset"  # type: ignore[attr-defined]
            raise RuntimeError("injected failure of the reset")
        super().begin_epoch()  # type: ignore[misc]


class FaultyHsiTracker(_Faults, HsiTrackerNode):
    """Node `hsi_tracker` with faults."""


class FaultySpaxTracker(_Faults, SpaxTrackerNode):
    """Node `spax_tracker` with faults."""


if __name__ == "__main__":
    node_class = {"hsi_tracker": FaultyHsiTracker, "spax_tracker": FaultySpaxTracker}[sys.argv.pop(1)]
    sys.exit(run_node(node_class))
