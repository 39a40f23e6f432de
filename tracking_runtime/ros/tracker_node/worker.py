"""The thread that does a node's work: the newest item first of all, and jobs in between."""

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
    """Handles the newest of the items given to it, one at a time, from ``start`` to ``stop``.

    Jobs run in the same thread between two items, so what they touch needs no locks.
    """

    def __init__(self, handle: Callable[[T], None], name: str) -> None:
        """Make a worker, not yet working.

        Args:
            handle: called with each item; must not raise.
            name: of the thread.
        """
        self._handle = handle
        self._mailbox: Mailbox[T] = Mailbox()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def dropped(self) -> int:
        """How many items made room for newer ones, or came too late."""
        return self._mailbox.pushed_out

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Give it an item, in place of one that it has not begun."""
        self._mailbox.put(item)

    def submit(self, job: Callable[[], R]) -> Future[R]:
        """The result to come of a job that runs between two items."""
        future: Future[R] = Future()
        self._jobs.append((future, job))
        self._mailbox.wake()
        return future

    def run(self, job: Callable[[], R], timeout_s: float) -> R:
        """The result of a job, run between two items; raises what the job raises.

        Raises:
            TimeoutError: the worker did not begin it in this time; it will not be run.
        """
        future = self.submit(job)
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            if future.cancel():
                raise TimeoutError(f"the worker was busy for {timeout_s:g} s; try again") from None
            return future.result()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Finish the item in hand, drop the one waiting, and end the thread.

        Raises:
            TimeoutError: the item in hand takes longer.
        """
        self._mailbox.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(f"{self._thread.name} has not finished within {timeout_s:g} s")

    def _work(self) -> None:
        while not self._mailbox.closed:
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
