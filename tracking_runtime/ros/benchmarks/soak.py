"""Soak: trackers at a rate for hours, with their memory, threads, files, latencies and drops over time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tracking_runtime.ros.benchmarks.live_load import LiveTracker, run_live_trackers
from tracking_runtime.ros.benchmarks.soak_bounds import SoakSample
from tracking_runtime.ros.processes import (
    NodeProcess,
    make_local_environment,
    reserve_domain,
    set_environment,
)
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.shared_memory import set_malloc_thresholds


@dataclass(frozen=True)
class SoakPlan:
    """Tracker of a soak.

    Attributes:
        module: Python module of the node.
        name: name of the node.
        parameters: parameters of the node.
        images: serialized images, sent forward and backward.
    """

    module: str
    name: str
    parameters: Mapping[str, object]
    images: Sequence[bytes]


@dataclass
class SoakResult:
    """Result of a soak of one tracker.

    Attributes:
        node: name of the node.
        samples: samples in the order of time.
        published: number of published frames.
        counts: number of frames that were processed, dropped, refused, failed and lost.
        exit_status: exit status of the process; None: it still ran when the soak ended.
    """

    node: str
    samples: list[SoakSample] = field(default_factory=list)
    published: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    exit_status: int | None = None

    @property
    def is_complete(self) -> bool:
        """Complete counts: every published frame is in exactly one of the fates."""
        return sum(self.counts.values()) == self.published


def run_soak(
    plans: Sequence[SoakPlan],
    folder: Path,
    rate_hz: float,
    duration_s: float,
    period_s: float,
    report: Callable[[float, Mapping[str, SoakResult]], object],
) -> list[SoakResult]:
    """Run trackers side by side in a domain of their own, and sample them periodically.

    Args:
        plans: trackers.
        folder: folder of their logs.
        rate_hz: frames per second of each camera.
        duration_s: time of the soak in seconds. An interrupt by the user ends it earlier.
        period_s: time between two samples in seconds.
        report: function that is called after each sample, with the time so far in seconds and the results by
            node.
    """
    set_malloc_thresholds()
    results = {plan.name: SoakResult(plan.name) for plan in plans}
    with ExitStack() as stack:
        domain_id = stack.enter_context(reserve_domain())
        stack.enter_context(set_environment(make_local_environment(domain_id)))
        processes = [
            stack.enter_context(
                NodeProcess(plan.module, plan.name, folder, plan.parameters, namespace=f"/{plan.name}_camera")
            )
            for plan in plans
        ]
        session = stack.enter_context(RosSession("soak", domain_id))
        images = [plan.images for plan in plans]
        trackers = stack.enter_context(run_live_trackers(session, processes, images))
        with suppress(KeyboardInterrupt):  # the samples so far count
            _sample_until(trackers, results, rate_hz, duration_s, period_s, report)
        for tracker in trackers:
            result = results[tracker.process.name]
            if tracker.process.is_running:
                tracker.wait_for_counts()
            else:
                result.exit_status = tracker.process.wait(1.0)
            result.published, result.counts = tracker.num_published, tracker.counts
    return list(results.values())


def _sample_until(
    trackers: Sequence[LiveTracker],
    results: Mapping[str, SoakResult],
    rate_hz: float,
    duration_s: float,
    period_s: float,
    report: Callable[[float, Mapping[str, SoakResult]], object],
) -> None:
    """Sample the trackers until the end of the time, or of a process."""
    for tracker in trackers:
        tracker.take_arrivals()
        tracker.set_rate(rate_hz)
    begin_s = due_s = now_s = time.monotonic()
    before = {tracker: (tracker.num_published, _count_drops(tracker)) for tracker in trackers}
    while now_s - begin_s < duration_s and all(tracker.process.is_running for tracker in trackers):
        due_s = max(due_s + period_s, now_s)
        time.sleep(due_s - now_s)
        now_s = time.monotonic()
        elapsed_s = now_s - begin_s
        for tracker in trackers:
            if tracker.process.is_running:
                published, dropped = tracker.num_published, _count_drops(tracker)
                since = published - before[tracker][0], dropped - before[tracker][1]
                before[tracker] = published, dropped
                results[tracker.process.name].samples.append(_measure(tracker, elapsed_s, *since))
        report(elapsed_s, results)
        now_s = time.monotonic()


def _measure(tracker: LiveTracker, time_s: float, published: int, dropped: int) -> SoakSample:
    arrivals = tracker.take_arrivals()
    process = psutil.Process(tracker.process.pid)
    return SoakSample(
        time_s=round(time_s, 3),
        memory_mb=process.memory_info().rss / 1e6,
        threads=process.num_threads(),
        files=process.num_fds(),
        published=published,
        arrived=len(arrivals.latencies_ms),
        dropped=dropped,
        p50_ms=arrivals.compute_percentile(50),
        p95_ms=arrivals.compute_percentile(95),
        p99_ms=arrivals.compute_percentile(99),
    )


def _count_drops(tracker: LiveTracker) -> int:
    return tracker.counts["dropped"] + tracker.counts["lost"]
