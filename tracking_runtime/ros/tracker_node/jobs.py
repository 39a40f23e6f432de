"""Jobs of a tracker node's callbacks: between two frames on the worker, or beside them on the loader."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future as ConcurrentFuture
from typing import Any, Generic, TypeVar

from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.tracker_node.background_loader import CLEANED_UP, PendingResults
from tracking_runtime.ros.tracker_node.configuration import Configuration
from tracking_runtime.ros.tracker_node.load_control import NodeTracker
from tracking_runtime.ros.tracker_node.worker import NO_LIMIT

T = TypeVar("T", bound=NodeTracker)
J = TypeVar("J")

_JOB_TIMEOUT_S = 10.0  # time that a service waits for the worker


class NodeJobs(Generic[T]):
    """Jobs on the threads of a tracker node. The executor runs other callbacks while one awaits its job.

    Args:
        node: node whose callbacks await the jobs.
        get_configuration: function that returns the node's current configuration.
    """

    def __init__(self, node: ManagedNode[Any], get_configuration: Callable[[], Configuration[T]]) -> None:
        self._node = node
        self._get_configuration = get_configuration
        self._pending_results = PendingResults()

    async def run_in_worker(self, job: Callable[[], J]) -> J:
        """Run a job that may use the tracker between two frames, and return its result.

        For callbacks of `request_group` and `loading_group`.

        Raises:
            WorkerBusyError: the worker was too busy to run the job.
            ValueError: the node was deactivated before the job was done.
        """
        worker = self._get_configuration().supervisor.worker
        if worker is None:
            return job()
        return await self._wait_for(worker.submit_job(job), _JOB_TIMEOUT_S)

    async def load_in_background(self, load: Callable[[], J]) -> J:
        """Run a long job on the loader thread and return its result. Frames and requests are not held back.

        For callbacks of `loading_group`.

        Raises:
            ValueError: the node was cleaned up, or its tracker replaced, before the job was done.
        """
        configuration = self._get_configuration()
        trackers = configuration.load.trackers
        loaded = await self._wait_for(configuration.loader.submit(load), NO_LIMIT)
        if configuration is not self._get_configuration() or not configuration.load.trackers:
            raise ValueError(CLEANED_UP)
        if trackers is not configuration.load.trackers:
            raise ValueError("the tracker was replaced meanwhile; try again")
        return loaded

    async def load_before_next_frame(self, load: Callable[[], J], install: Callable[[J], None]) -> None:
        """Load something that the next frame needs, then install it. Frames wait, services still answer.

        For callbacks of `loading_group`.

        Args:
            load: long job that returns the loaded thing. Its exception is raised here.
            install: function that makes the tracker use the loaded thing.

        Raises:
            ValueError: the node was cleaned up before the job was done.
        """
        worker = self._get_configuration().supervisor.worker
        if worker is None:
            loaded = await self.load_in_background(load)
            await self.run_in_worker(lambda: install(loaded))
        else:
            await self._wait_for(worker.submit_job(lambda: install(load()), NO_LIMIT), NO_LIMIT)

    def submit_background(self, action: str, job: Callable[[], None]) -> None:
        """Run a job on the loader thread. A failure is logged and shown in the diagnostics.

        Args:
            action: description of the job for messages ("build the engine for 4 targets").
            job: function without arguments.
        """

        def report(done: ConcurrentFuture[None]) -> None:
            if done.cancelled():
                return
            if (error := done.exception()) is not None:
                self._node.diagnostics.record_error(f"cannot {action}", error)
            else:
                self._node.diagnostics.clear_error(f"cannot {action}")

        self._get_configuration().loader.submit(job).add_done_callback(report)

    def expire(self) -> None:
        """End the waits whose time is over. For a timer of the node."""
        self._pending_results.expire()

    async def _wait_for(self, future: ConcurrentFuture[J], timeout_s: float) -> J:
        return await self._pending_results.wait_for(future, self._node.executor, timeout_s)
