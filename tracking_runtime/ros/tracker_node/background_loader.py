"""Loader thread of a tracker node, and results of other threads that callbacks can await."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future as ConcurrentFuture
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rclpy.executors import Executor
from rclpy.task import Future

from tracking_runtime.engines.build_progress import BuildProgress, report_progress_to

R = TypeVar("R")

CLEANED_UP = "the node was cleaned up before the job was done"
"""Reason of a service that a clean-up interrupts."""


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
        self._thread = ThreadPoolExecutor(1, name)

    def submit(self, job: Callable[[], R]) -> ConcurrentFuture[R]:
        """Schedule a job and return its future. `progress` follows the engines that the job builds."""
        return self._thread.submit(self._run, job)

    def close(self) -> None:
        """Finish the current job, cancel the waiting ones, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _run(self, job: Callable[[], R]) -> R:
        def store(progress: BuildProgress) -> None:
            self.progress = str(progress)

        try:
            with report_progress_to(store):
                return job()
        finally:
            self.progress = ""


async def wait_for_result(job: ConcurrentFuture[R], executor: Executor) -> R:
    """Wait for the result of another thread while the executor runs other callbacks.

    Args:
        job: future of the other thread. Its exception is raised here.
        executor: executor of the callback that waits.

    Raises:
        ValueError: the job was canceled because the node was cleaned up.
    """
    is_done = Future(executor=executor)

    def wake(_: object) -> None:
        is_done.set_result(None)
        executor.wake()

    job.add_done_callback(wake)
    await is_done
    if job.cancelled():
        raise ValueError(CLEANED_UP)
    return job.result()
