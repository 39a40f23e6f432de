"""Loader thread of a tracker node, and results of other threads that callbacks can await."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor as ConcurrentExecutor
from concurrent.futures import Future as ConcurrentFuture
from typing import Any, ParamSpec, TypeVar

from rclpy.executors import Executor
from rclpy.task import Future

from tracking_runtime.engines.build_progress import BuildProgress, report_progress_to
from tracking_runtime.ros.tracker_node.worker import WorkerBusyError

A = ParamSpec("A")
R = TypeVar("R")

CLEANED_UP = "the node was cleaned up before the job was done"
"""Reason of a service that a clean-up interrupts."""
_CLOSING_S = 30.0  # time that the current job has to end when the loader is closed


class SingleThreadExecutor(ConcurrentExecutor):
    """Executor with one daemon thread. A job that hangs delays neither `close` nor the end of the process.

    Args:
        name: name of the thread, which starts with the first job.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[ConcurrentFuture[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._is_closed = False
        self._name = name
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[A, R], /, *args: A.args, **kwargs: A.kwargs) -> ConcurrentFuture[R]:
        """Schedule a job and return its future. The future of a closed executor is canceled."""
        future: ConcurrentFuture[R] = ConcurrentFuture()
        if self._is_closed:
            future.cancel()
        else:
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return future

    def close(self, timeout_s: float = _CLOSING_S) -> bool:
        """Cancel the waiting jobs and wait for the current one. Return whether the thread has ended."""
        self._is_closed = True
        self._jobs.put(None)
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            future, job = entry
            if self._is_closed:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = job()
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:
                future.set_exception(RuntimeError(f"the job ended its thread: {error!r}"))
            else:
                future.set_result(result)


class BackgroundLoader:
    """Thread that loads models and builds engines beside the frames, one job at a time.

    Attributes:
        progress: progress of the engine that is being built, as text; empty while nothing is built.
    """

    def __init__(self, name: str) -> None:
        """Create the loader. Its thread starts with the first job.

        Args:
            name: name of the thread.
        """
        self.progress = ""
        self._thread = SingleThreadExecutor(name)

    def submit(self, job: Callable[[], R]) -> ConcurrentFuture[R]:
        """Schedule a job and return its future. `progress` follows the engines that the job builds."""
        return self._thread.submit(self._run, job)

    def close(self) -> bool:
        """Cancel the waiting jobs and wait for the current one. Return whether the thread has ended."""
        return self._thread.close()

    def _run(self, job: Callable[[], R]) -> R:
        def store(progress: BuildProgress) -> None:
            self.progress = str(progress)

        try:
            with report_progress_to(store):
                return job()
        finally:
            self.progress = ""


class PendingResults:
    """Results of other threads that callbacks wait for, some of them for a limited time.

    A timer of the node calls `expire`, so that a thread that hangs leaves no request without an answer.
    """

    def __init__(self) -> None:
        self._deadlines: dict[Future, float] = {}

    async def wait_for(self, job: ConcurrentFuture[R], executor: Executor, timeout_s: float) -> R:
        """Wait for the result of another thread while the executor runs other callbacks.

        Args:
            job: future of the other thread. Its exception is raised here.
            executor: executor of the callback that waits.
            timeout_s: longest time to wait, in seconds; infinity: no limit.

        Raises:
            WorkerBusyError: the result did not arrive in time. A job that had not begun is canceled.
            ValueError: the job was canceled because the node was cleaned up.
        """
        is_done = Future(executor=executor)

        def wake(_: object) -> None:
            if not is_done.done():
                is_done.set_result(None)
                executor.wake()

        self._deadlines[is_done] = time.monotonic() + timeout_s
        job.add_done_callback(wake)
        await is_done
        self._deadlines.pop(is_done, None)
        if not job.done():
            if job.cancel():
                raise WorkerBusyError(f"the tracker was busy for {timeout_s:g} s; try again")
            raise WorkerBusyError(
                f"the tracker has not finished within {timeout_s:g} s; the request may still take effect"
            )
        if job.cancelled():
            raise ValueError(CLEANED_UP)
        return job.result()

    def expire(self) -> None:
        """End the waits whose time is over. For the thread of the executor."""
        now_s = time.monotonic()
        for is_done, deadline_s in list(self._deadlines.items()):
            if now_s > deadline_s:
                self._deadlines.pop(is_done, None)
                is_done.set_result(None)
