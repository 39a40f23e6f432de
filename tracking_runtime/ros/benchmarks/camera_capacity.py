"""Capacity benchmark: highest frame rate of several cameras on one machine, and how it degrades above."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tracking_runtime.ros.benchmarks.live_load import Arrivals, LiveTracker, run_live_trackers
from tracking_runtime.ros.processes import (
    NodeProcess,
    make_local_environment,
    reserve_domain,
    set_environment,
)
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.shared_memory import set_malloc_thresholds

_NUM_BISECTIONS = 5
_OVERLOADS = (1.25, 1.5, 2.0, 3.0)  # rates above the highest one, as its multiples
_SETTLING_S = 1.0  # time at a new rate that does not count


@dataclass(frozen=True)
class LoadPoint:
    """State of all cameras at one rate.

    Attributes:
        rate_hz: frames per second that each camera sent.
        processed_hz: frames per second of each camera whose tracks arrived, the mean of the cameras.
        drop_fraction: fraction of the frames of all cameras without tracks.
        p50_ms: median time from the camera's publish to the tracks, in milliseconds.
        p95_ms: 95th percentile.
    """

    rate_hz: float
    processed_hz: float
    drop_fraction: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Capacity:
    """Capacity of a machine for a number of cameras.

    Attributes:
        num_cameras: number of cameras, each with a tracker.
        highest_hz: highest rate with fewer drops than allowed, in frames per second of each camera; 0: none.
        points: all measured rates, ascending.
    """

    num_cameras: int
    highest_hz: float
    points: Sequence[LoadPoint]


def measure_capacity(
    module: str,
    name: str,
    folder: Path,
    parameters: Mapping[str, object],
    images: Sequence[bytes],
    num_cameras: int,
    seconds: float,
    max_drop_fraction: float,
    report: Callable[[LoadPoint], object],
) -> Capacity:
    """Measure the highest rate of a number of cameras, each with a tracker in a process of its own.

    Args:
        module: Python module of the node.
        name: name of the node.
        folder: folder of the logs.
        parameters: parameters of the nodes.
        images: serialized images, sent forward and backward by each camera.
        num_cameras: number of cameras.
        seconds: time at each rate in seconds.
        max_drop_fraction: fraction of the frames that may be dropped at the highest rate.
        report: function that is called with each measured rate.
    """
    set_malloc_thresholds()
    points: list[LoadPoint] = []
    with ExitStack() as stack:
        domain_id = stack.enter_context(reserve_domain())
        stack.enter_context(set_environment(make_local_environment(domain_id)))
        processes = [
            stack.enter_context(
                NodeProcess(
                    module, name, folder / f"camera_{number}", parameters, namespace=f"/camera_{number}"
                )
            )
            for number in range(1, num_cameras + 1)
        ]
        session = stack.enter_context(RosSession("capacity", domain_id))
        trackers = stack.enter_context(run_live_trackers(session, processes, [images] * num_cameras))

        def measure(rate_hz: float) -> LoadPoint:
            points.append(_measure(trackers, rate_hz, seconds))
            report(points[-1])
            return points[-1]

        highest_hz = search_highest_rate(measure, max_drop_fraction)
        for factor in _OVERLOADS if highest_hz else ():
            measure(highest_hz * factor)
    return Capacity(num_cameras, highest_hz, sorted(points, key=lambda point: point.rate_hz))


def search_highest_rate(measure: Callable[[float], LoadPoint], max_drop_fraction: float) -> float:
    """Return the highest rate with at most a fraction of drops, in hertz; 0 if every rate has more.

    The rate doubles from 1 Hz until frames are dropped, then the interval is halved.

    Args:
        measure: function that measures a rate in hertz.
        max_drop_fraction: fraction of the frames that may be dropped.
    """
    low_hz, high_hz = 0.0, 1.0
    while measure(high_hz).drop_fraction <= max_drop_fraction:
        low_hz, high_hz = high_hz, 2 * high_hz
    for _ in range(_NUM_BISECTIONS):
        rate_hz = (low_hz + high_hz) / 2
        if measure(rate_hz).drop_fraction <= max_drop_fraction:
            low_hz = rate_hz
        else:
            high_hz = rate_hz
    return low_hz


def _measure(trackers: Sequence[LiveTracker], rate_hz: float, seconds: float) -> LoadPoint:
    for tracker in trackers:
        tracker.set_rate(rate_hz)
    time.sleep(_SETTLING_S)
    begin_s = time.monotonic()
    before = [(tracker.num_published, tracker.take_arrivals())[0] for tracker in trackers]
    time.sleep(max(seconds, 3 / rate_hz))
    elapsed_s = time.monotonic() - begin_s
    published = sum(tracker.num_published for tracker in trackers) - sum(before)
    arrivals = Arrivals()
    for tracker in trackers:
        arrivals.latencies_ms += tracker.take_arrivals().latencies_ms
    num_arrived = len(arrivals.latencies_ms)
    # A frame under way at the begin and one at the end of each camera cancel out, give or take one.
    missing = max(published - num_arrived - len(trackers), 0)
    return LoadPoint(
        rate_hz=rate_hz,
        processed_hz=num_arrived / elapsed_s / len(trackers),
        drop_fraction=missing / published if published else 1.0,
        p50_ms=arrivals.compute_percentile(50),
        p95_ms=arrivals.compute_percentile(95),
    )
