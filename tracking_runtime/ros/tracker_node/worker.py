"""Worker thread of a node: the newest item first, jobs between two items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tracking_runtime.errors import TrackingError
from tracking_runtime.ros.tracker_node.mailbox import Mailbox

T = TypeVar("T")
R = TypeVar("R")

NO_LIMIT = float("inf")
"""Limit of an activity that may take any time, in seconds."""
_MAX_WAITING_JOBS = 256  # jobs that may wait for one item, before further jobs are refused


class WorkerBusyError(TrackingError, TimeoutError):
    """A job that the worker did not begin or finish in time. The message says which."""


class WorkerAbandonedError(BaseException):
    """A result of a thread that the node has given up. No handler of `Exception` may catch this error."""


@dataclass(frozen=True)
class Activity:
    """Work that the thread has begun and not finished.

    Attributes:
        number: number of the work since the start of the thread.
        is_item: true for an item, false for a job.
        max_s: time after which the work counts as hanging, in seconds; None: the usual limit of an item.
    """

    number: int
    is_item: bool
    max_s: float | None = None


class Worker(Generic[T]):
    """Thread that handles the newest item, one at a time, from `start` to `stop`.

    Jobs run in the same thread between two items, so that their data needs no locks. An exception that
    `handle` lets through ends the thread; `error` keeps the exception. A thread that hangs cannot be ended,
    but abandoned: its results are refused by `count_item` and `require_current`.

    Attributes:
        error: exception that ended the thread; None while there is none.
    """

    def __init__(self, handle: Callable[[T], None], name: str) -> None:
        """Create the worker. `start` starts its thread.

        Args:
            handle: function that is called with each item.
            name: name of the thread.
        """
        self.error: BaseException | None = None
        self._handle = handle
        self._mailbox: Mailbox[T] = Mailbox()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any], float | None]] = deque()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._activity: Activity | None = None
        self._num_begun = 0
        self._is_uncounted = False
        self._is_abandoned = False

    @property
    def num_dropped(self) -> int:
        """Number of items that a newer item replaced, or that came after `stop`."""
        return self._mailbox.num_replaced

    @property
    def activity(self) -> Activity | None:
        """Work that the thread is busy with; None while the thread waits."""
        return self._activity

    @property
    def is_alive(self) -> bool:
        """Running state of the thread."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item. An item that the thread has not begun is replaced."""
        self._mailbox.put(item)

    def submit_job(self, job: Callable[[], R], max_s: float | None = None) -> Future[R]:
        """Schedule a job between two items and return its future.

        Args:
            job: function without arguments.
            max_s: time after which the job counts as hanging, in seconds; None: as for an item.

        Raises:
            WorkerBusyError: too many jobs wait already.
        """
        future: Future[R] = Future()
        if len(self._jobs) >= _MAX_WAITING_JOBS:
            raise WorkerBusyError(f"{_MAX_WAITING_JOBS} requests wait for the tracker already; try again")
        self._jobs.append((future, job, max_s))
        self._mailbox.wake()
        if self._is_abandoned:
            self._cancel_jobs()
        return future

    def run_job(self, job: Callable[[], R], timeout_s: float) -> R:
        """Run a job between two items and return its result. Exceptions of the job are raised here.

        Args:
            job: function without arguments.
            timeout_s: time until the job must begin, in seconds. A job that has begun is waited for.

        Raises:
            WorkerBusyError: the worker was busy until the timeout; the job is canceled.
        """
        future = self.submit_job(job)
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            if future.cancel():
                raise WorkerBusyError(f"the worker was busy for {timeout_s:g} s; try again") from None
            return future.result()

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Finish the current item, drop the waiting one, and end the thread.

        Returns:
            whether the thread has ended within `timeout_s`. Else `abandon` must follow.
        """
        self._mailbox.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def abandon(self) -> bool:
        """Give the thread up, cancel all jobs, and return whether an item in hand is counted by nobody."""
        with self._lock:
            self._is_abandoned = True
        self._mailbox.close()  # from now on, the thread takes no item
        self._cancel_jobs()
        return self._is_uncounted

    def count_item(self, count: Callable[[], None]) -> None:
        """Count the item in hand. For the worker's thread.

        Args:
            count: function that counts the item.

        Raises:
            WorkerAbandonedError: the thread was given up, and its item is counted already.
        """
        with self._lock:
            if self._is_abandoned:
                raise WorkerAbandonedError
            self._is_uncounted = False
            count()

    def _run(self) -> None:
        _local.worker = self
        try:
            self._handle_items()
        except WorkerAbandonedError:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self._activity = None

    def _handle_items(self) -> None:
        while not self._mailbox.is_closed:
            item = self._mailbox.take(on_take=self._mark_uncounted)
            self._run_jobs()
            if item is not None:
                self._begin(is_item=True)
                self._handle(item)
                self._activity = None
        while self._jobs:
            self._run_jobs()

    def _mark_uncounted(self) -> None:
        self._is_uncounted = True

    def _begin(self, *, is_item: bool, max_s: float | None = None) -> None:
        require_current()
        self._num_begun += 1
        self._activity = Activity(self._num_begun, is_item, max_s)

    def _run_jobs(self) -> None:
        for _ in range(len(self._jobs)):  # later jobs wait for the item
            if not self._jobs:
                return
            future, job, max_s = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._begin(is_item=False, max_s=max_s)
            try:
                result = job()
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:
                future.set_exception(WorkerBusyError(f"the tracker ended in the request: {error!r}"))
                raise
            else:
                future.set_result(result)
            self._activity = None

    def _cancel_jobs(self) -> None:
        while self._jobs:
            self._jobs.popleft()[0].cancel()


class _Local(threading.local):
    """Worker whose thread runs; None in other threads."""

    worker: Worker[Any] | None = None


_local = _Local()


def count_item(count: Callable[[], None]) -> None:
    """Count the item in hand, unless the node has given up this thread and counted the item itself.

    Args:
        count: function that counts the item. In the thread of no worker, it is called in any case.

    Raises:
        WorkerAbandonedError: the thread was given up.
    """
    worker = _local.worker
    if worker is None:
        count()
    else:
        worker.count_item(count)


def require_current() -> None:
    """Raise WorkerAbandonedError in the thread of a worker that was given up. Else do nothing."""
    worker = _local.worker
    if worker is not None and worker._is_abandoned:
        raise WorkerAbandonedError
