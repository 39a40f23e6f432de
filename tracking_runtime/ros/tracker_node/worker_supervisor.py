"""Supervisor of a worker thread: starts the worker, watches it, and replaces a worker that ends or hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tracking_runtime.ros.node.diagnostics_updater import log_exception
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.process_watchdog import end_process
from tracking_runtime.ros.tracker_node.frame_counters import FrameCounters
from tracking_runtime.ros.tracker_node.supervision import (
    PERIOD_S,
    BusyClock,
    FrameLimits,
    compute_restart_limit,
)
from tracking_runtime.ros.tracker_node.worker import Activity, Worker, require_current

T = TypeVar("T")

_MAX_RESTARTS = 3  # restarts of the tracker without a processed frame, after which the process ends
_MIN_STOP_S = 5.0  # shortest time that `stop` waits for the frame in hand
_ACKNOWLEDGMENT_S = 1.0  # time for the last diagnosis to arrive, before the process ends


class WorkerSupervisor(Generic[T]):
    """Supervisor of a node's worker from one configuration of the node to the next.

    If the worker ends by an error or hangs, a new worker first loads the tracker again. The process ends with
    status 70 if that does not help. A node without a tracker that works is never silent: `describe_fault`
    returns the reason.

    Attributes:
        worker: worker of the current activation; None while the node is not active.
        fault: reason of a restart that is due or under way; empty while the tracker works.
        load_s: time in which the tracker was loaded, in seconds.
        num_restarts: number of restarts of the tracker by the supervisor.
        busy_s: time that the worker has spent on its current work, in seconds.
    """

    def __init__(
        self,
        node: ManagedNode[Any],
        counters: FrameCounters,
        process: Callable[[T], None],
        reload: Callable[[], None],
        compute_limits: Callable[[], FrameLimits],
    ) -> None:
        """Create the supervisor. `start` starts the first worker.

        Args:
            node: node that logs and publishes the faults.
            counters: counts of the frames.
            process: function that the worker calls with each item.
            reload: function that loads the tracker again, for the worker's thread.
            compute_limits: function that returns the limits of one frame.
        """
        self.worker: Worker[T] | None = None
        self.fault = ""
        self.load_s = 0.0
        self.num_restarts = 0
        self.busy_s = 0.0
        self._node = node
        self._counters = counters
        self._process = process
        self._reload = reload
        self._compute_limits = compute_limits
        self._num_vain_restarts = 0  # since the newest processed frame
        self._is_reloading = False
        self._clock = BusyClock()

    @property
    def num_dropped(self) -> int:
        """Number of frames that the workers have dropped since the node was configured."""
        return self._counters.dropped + (0 if self.worker is None else self.worker.num_dropped)

    def start(self) -> None:
        """Start a new worker. If the tracker has a fault, the worker loads the tracker again first."""
        worker = Worker(self._process, f"{self._node.get_name()}_worker")
        self._clock = BusyClock()
        self.busy_s = 0.0
        self._is_reloading = bool(self.fault)
        if self.fault:
            worker.submit_job(self._repair, compute_restart_limit(self.load_s))
        worker.start()
        self.worker = worker

    def stop(self) -> None:
        """Stop the worker, or leave a worker behind that hangs."""
        if self.worker is None:
            return
        timeout_s = max(self._compute_limits().restart_s - self.busy_s, _MIN_STOP_S)
        if not self.worker.stop(timeout_s):
            self.fault = "the tracker hung at the deactivation"
        elif self.worker.error is not None:
            self.fault = f"the tracker has ended: {self.worker.error!r}"
        self._abandon(self.worker, self.fault)

    def record_success(self) -> None:
        """Record that a frame was processed, so that earlier restarts count as successful."""
        self._num_vain_restarts = 0

    def check(self) -> None:
        """Restart worker and tracker if one of them has ended or hangs, or end the process."""
        worker = self.worker
        if worker is None:
            return
        activity = worker.activity
        self.busy_s = self._clock.update(activity, time.monotonic())
        if not worker.is_alive:
            error = worker.error
            self._restart(worker, f"the tracker has ended: {str(error) or type(error).__name__}", error)
        elif activity is not None and self.busy_s > PERIOD_S:
            self._check_activity(worker, activity)
        elif self.fault and not self._is_reloading:
            self._restart(worker, self.fault)

    def describe_fault(self) -> str:
        """Return the reason why no frame is finished now; empty while the worker works."""
        if self.worker is None:
            return ""
        if self.fault:
            return f"the tracker is restarted: {self.fault}"
        activity = self.worker.activity
        if activity is None or self.busy_s < PERIOD_S:
            return ""
        limits = self._compute_limits()
        if self.busy_s < limits.stall_s:
            return ""
        restart = f"; the tracker is restarted after {limits.restart_s:g} s" if activity.max_s is None else ""
        return f"no frame is finished: the tracker is {self._describe_activity(activity)}{restart}"

    def _check_activity(self, worker: Worker[T], activity: Activity) -> None:
        """Restart a tracker that has been busy for too long. Report one that has been busy for long."""
        limits = self._compute_limits()
        max_s = limits.restart_s if activity.max_s is None else activity.max_s
        if self.busy_s > max_s:
            self._restart(worker, f"the tracker hangs: {self._describe_activity(activity)}")
        elif self.busy_s > limits.stall_s:
            self._node.diagnostics.publish()

    def _describe_activity(self, activity: Activity) -> str:
        return f"busy with {'one frame' if activity.is_item else 'a request'} for {self.busy_s:.0f} s"

    def _restart(self, worker: Worker[T], reason: str, error: BaseException | None = None) -> None:
        """Replace the worker by one that loads the tracker again. Count the frame in hand as failed."""
        node = self._node
        if error is None:
            node.get_logger().error(f"{reason}; the tracker is restarted")
        else:
            log_exception(node.get_logger(), f"{reason}; the tracker is restarted", error)
        self.fault = reason
        self._abandon(worker, reason)
        if self._num_vain_restarts >= _MAX_RESTARTS:
            node.diagnostics.publish()
            node.diagnostics.wait_until_acknowledged(_ACKNOWLEDGMENT_S)
            end_process(f"{reason}, also after {self._num_vain_restarts} restarts of the tracker")
        self.num_restarts += 1
        self._num_vain_restarts += 1
        node.diagnostics.publish()
        self.start()

    def _abandon(self, worker: Worker[T], reason: str) -> None:
        """Give a worker up that has ended or hangs, and count its frames."""
        is_alive = worker.is_alive
        if worker.abandon():
            self._counters.count_failed(reason)
        elif reason:
            self._counters.record_failure(reason)
        self._counters.dropped += worker.num_dropped
        self.worker = None
        if is_alive:
            self._node.record_stuck_thread("the worker")

    def _repair(self) -> None:
        """Load the tracker again. For the worker's thread, before its first frame."""
        try:
            self._reload()
        except Exception as error:
            require_current()
            self.fault = f"cannot load the tracker again: {error or type(error).__name__}"
            log_exception(self._node.get_logger(), self.fault, error)
        else:
            require_current()
            self.fault = ""
        self._is_reloading = False
