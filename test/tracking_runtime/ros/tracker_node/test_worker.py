from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.ros.tracker_node.worker import Worker, WorkerBusyError

TIMEOUT_S = 5


@dataclass
class BlockedHandler:
    """Handler of items that waits for `resume` in the middle of each item."""

    begun: threading.Event = field(default_factory=threading.Event)
    resume: threading.Event = field(default_factory=threading.Event)
    order: list[object] = field(default_factory=list)

    def __call__(self, item: int) -> None:
        self.begun.set()
        self.resume.wait(TIMEOUT_S)
        self.order.append(item)


@pytest.fixture
def idle_worker() -> Worker[int]:
    worker: Worker[int] = Worker(lambda _: None, "worker")
    worker.start()
    return worker


@pytest.fixture
def start_blocked_worker() -> Callable[[BlockedHandler], Worker[int]]:
    def start(handler: BlockedHandler) -> Worker[int]:
        worker: Worker[int] = Worker(handler, "worker")
        worker.start()
        worker.put(1)
        handler.begun.wait(TIMEOUT_S)
        return worker

    return start


def test_job_runs_between_items(start_blocked_worker: Callable[[BlockedHandler], Worker[int]]) -> None:
    handler = BlockedHandler()
    worker = start_blocked_worker(handler)

    with pytest.raises(TimeoutError, match="worker was busy"):
        worker.run_job(lambda: handler.order.append("late"), 0.05)
    handler.resume.set()
    worker.run_job(lambda: handler.order.append("job"), TIMEOUT_S)
    worker.stop()

    assert handler.order == [1, "job"]


def test_job_returns_result_or_raises(idle_worker: Worker[int]) -> None:
    assert idle_worker.run_job(lambda: 7, TIMEOUT_S) == 7
    with pytest.raises(ZeroDivisionError):
        idle_worker.run_job(lambda: 1 // 0, TIMEOUT_S)
    idle_worker.stop()


def test_begun_job_is_waited_for_after_timeout(idle_worker: Worker[int]) -> None:
    resume = threading.Event()

    def job() -> int:
        resume.wait(TIMEOUT_S)
        return 7

    threading.Timer(0.2, resume.set).start()

    assert idle_worker.run_job(job, 0.05) == 7
    idle_worker.stop()


def test_stop_drops_waiting_item(start_blocked_worker: Callable[[BlockedHandler], Worker[int]]) -> None:
    handler = BlockedHandler()
    worker = start_blocked_worker(handler)
    worker.put(2)

    threading.Timer(0.05, handler.resume.set).start()
    worker.stop()

    assert (handler.order, worker.num_dropped) == ([1], 1)


def test_error_of_handler_ends_thread_and_is_kept(wait_for: Callable[..., object]) -> None:
    def fail(_: int) -> None:
        raise SystemExit("over")

    worker: Worker[int] = Worker(fail, "worker")
    worker.start()
    worker.put(1)

    wait_for(lambda: not worker.is_alive)

    assert isinstance(worker.error, SystemExit)
    assert worker.abandon(), "the item is counted by nobody"


def test_error_of_job_is_told_to_its_requester() -> None:
    def fail() -> None:
        raise SystemExit("over")

    worker: Worker[int] = Worker(lambda _: None, "worker")
    worker.start()

    with pytest.raises(WorkerBusyError, match="SystemExit"):
        worker.run_job(fail, TIMEOUT_S)
    assert worker.stop(TIMEOUT_S)
    assert isinstance(worker.error, SystemExit)


def test_abandoned_worker_counts_and_publishes_nothing(
    start_blocked_worker: Callable[[BlockedHandler], Worker[int]],
) -> None:
    handler = BlockedHandler()
    counted: list[int] = []
    worker = start_blocked_worker(handler)
    blocked = worker.submit_job(lambda: worker.count_item(lambda: counted.append(1)))

    assert not worker.stop(0.05)
    assert worker.abandon()
    handler.resume.set()

    assert blocked.cancelled()
    assert worker.stop(TIMEOUT_S)
    assert counted == []


def test_item_that_waits_for_a_job_is_counted(wait_for: Callable[..., object]) -> None:
    begun, resume = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        resume.wait(TIMEOUT_S)

    worker: Worker[int] = Worker(lambda _: None, "worker")
    worker.submit_job(block)
    worker.put(1)
    worker.start()
    begun.wait(TIMEOUT_S)

    is_uncounted = worker.abandon()

    assert is_uncounted + worker.num_dropped == 1
    resume.set()
    wait_for(lambda: not worker.is_alive)


@given(st.integers(1, 20), st.sampled_from([0.0, 0.0001, 0.001]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_item_is_counted_at_any_abandonment(num_items: int, pause_s: float, has_job: bool) -> None:
    counted: list[int] = []

    def handle(item: int) -> None:
        time.sleep(pause_s)
        worker.count_item(lambda: counted.append(item))

    worker: Worker[int] = Worker(handle, "worker")
    worker.start()
    for item in range(1, num_items + 1):
        if has_job:
            worker.submit_job(lambda: time.sleep(pause_s))
        worker.put(item)
        time.sleep(pause_s / 2)

    is_uncounted = worker.abandon()
    assert worker.stop(TIMEOUT_S)

    assert len(counted) + worker.num_dropped + is_uncounted == num_items


def test_worker_refuses_jobs_beyond_its_queue(
    start_blocked_worker: Callable[[BlockedHandler], Worker[int]],
) -> None:
    handler = BlockedHandler()
    worker = start_blocked_worker(handler)

    for _ in range(256):
        worker.submit_job(lambda: None)
    with pytest.raises(WorkerBusyError, match="256 requests wait"):
        worker.submit_job(lambda: None)
    handler.resume.set()
    assert worker.stop(TIMEOUT_S)
