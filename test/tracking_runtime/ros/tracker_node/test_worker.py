from __future__ import annotations

import threading

import pytest

from tracking_runtime.ros.tracker_node.worker import Worker


def test_jobs_run_between_items() -> None:
    begun, go_on = threading.Event(), threading.Event()
    order: list[object] = []

    def handle(item: int) -> None:
        begun.set()
        go_on.wait(5)
        order.append(item)

    worker: Worker[int] = Worker(handle, "worker")
    worker.start()
    worker.put(1)
    begun.wait(5)
    with pytest.raises(TimeoutError, match="worker was busy"):
        worker.run(lambda: order.append("late"), 0.05)
    go_on.set()
    worker.run(lambda: order.append("job"), 5)
    worker.stop()
    assert order == [1, "job"]


def test_job_gives_its_result_or_raises() -> None:
    worker: Worker[int] = Worker(lambda _: None, "worker")
    worker.start()
    assert worker.run(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 // 0, 5)
    worker.stop()


def test_a_job_that_was_begun_is_waited_for() -> None:
    go_on = threading.Event()

    def job() -> int:
        go_on.wait(5)
        return 7

    worker: Worker[int] = Worker(lambda _: None, "worker")
    worker.start()
    threading.Timer(0.2, go_on.set).start()
    assert worker.run(job, 0.05) == 7
    worker.stop()


def test_stop_drops_what_waits() -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[int] = []

    def handle(item: int) -> None:
        begun.set()
        go_on.wait(5)
        handled.append(item)

    worker: Worker[int] = Worker(handle, "worker")
    worker.start()
    worker.put(1)
    begun.wait(5)
    worker.put(2)
    threading.Timer(0.05, go_on.set).start()
    worker.stop()
    assert (handled, worker.dropped) == ([1], 1)
