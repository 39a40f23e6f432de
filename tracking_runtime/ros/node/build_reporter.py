"""Progress of engines in the diagnostics while the executor waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tracking_runtime.engines.build_progress import BuildProgress, report_progress_to


@contextmanager
def report_builds(publish: Callable[[BuildProgress], None], period_s: float) -> Iterator[None]:
    """Report the progress of engines that this thread builds in the block.

    Args:
        publish: function that is called in another thread, at each new stage and after each period.
        period_s: longest time between two calls, in seconds.
    """
    newest: BuildProgress | None = None
    is_changed = threading.Event()
    is_ended = threading.Event()

    def store(progress: BuildProgress) -> None:
        nonlocal newest
        newest = progress
        is_changed.set()

    def publish_until_end() -> None:
        while not is_ended.is_set():
            if newest is not None:
                publish(newest)
            is_changed.wait(period_s)
            is_changed.clear()

    reporter = threading.Thread(target=publish_until_end, name="build progress", daemon=True)
    reporter.start()
    try:
        with report_progress_to(store):
            yield
    finally:
        is_ended.set()
        is_changed.set()
        reporter.join()
