"""Worker thread of a node: the newest item first, jobs between two items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Generic, TypeVar

from tracking_runtime.ros.tracker_node.mailbox import Mailbox

T = TypeVar("T")
R = TypeVar("R")


class Worker(Generic[T]):
    """Thread that handles the newest item, one at a time, from `start` to `stop`.

    Jobs run in the same thread between two items, so that their data needs no locks.
    """

    def __init__(self, handle: Callable[[T], None], name: str) -> None:
        """Create the worker. `start` starts its thread.

        Args:
            handle: function that is called with each item and must not raise.
            name: name of the thread.
        """
        self._handle = handle
        self._mailbox: Mailbox[T] = Mailbox()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._thread = threading.Thread(target=self._handle_items, name=name, daemon=True)

    @property
    def num_dropped(self) -> int:
        """Number of items that a newer item replaced, or that came after `stop`."""
        return self._mailbox.num_replaced

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item. An item that the thread has not begun is replaced."""
        self._mailbox.put(item)

    def submit_job(self, job: Callable[[], R]) -> Future[R]:
        """Schedule a job between two items and return its future."""
        future: Future[R] = Future()
        self._jobs.append((future, job))
        self._mailbox.wake()
        return future

    def run_job(self, job: Callable[[], R], timeout_s: float) -> R:
        """Run a job between two items and return its result. Exceptions of the job are raised here.

        Args:
            job: function without arguments.
            timeout_s: time until the job must begin, in seconds. A job that has begun is waited for.

        Raises:
            TimeoutError: the worker was busy until the timeout; the job is canceled.
        """
        future = self.submit_job(job)
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            if future.cancel():
                raise TimeoutError(f"the worker was busy for {timeout_s:g} s; try again") from None
            return future.result()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Finish the current item, drop the waiting one, and end the thread.

        Raises:
            TimeoutError: the current item takes longer than `timeout_s`.
        """
        self._mailbox.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(f"{self._thread.name} has not finished within {timeout_s:g} s")

    def _handle_items(self) -> None:
        while not self._mailbox.is_closed:
            item = self._mailbox.take()
            self._run_jobs()
            if item is not None:
                self._handle(item)
        self._run_jobs()

    def _run_jobs(self) -> None:
        while self._jobs:
            future, job = self._jobs.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except Exception as error:
                    future.set_exception(error)
