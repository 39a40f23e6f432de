"""Samples of a soak, and the bounds that a process must keep over its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_WINDOW_FRACTION = 0.2  # samples at both ends of the counted time that are compared


@dataclass(frozen=True)
class SoakSample:
    """State of one tracker in an interval of a soak.

    Attributes:
        time_s: time from the first frame to the end of the interval, in seconds.
        memory_mb: resident memory of the process at the end, in megabytes.
        threads: number of its threads.
        files: number of its open files, sockets and pipes.
        published: number of frames published in the interval.
        arrived: number of frames whose tracks arrived.
        dropped: number of frames that the node dropped or that were lost on the way to it.
        p50_ms: median time from the camera's publish to the tracks, in milliseconds; 0 without tracks.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
    """

    time_s: float
    memory_mb: float
    threads: int
    files: int
    published: int
    arrived: int
    dropped: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class SoakBounds:
    """Bounds of the growth from the begin of the counted time to its end.

    Attributes:
        memory: growth of the resident memory, as a fraction.
        p99: growth of the 99th percentile of the latency, as a fraction.
        threads: number of additional threads.
        files: number of additional files.
    """

    memory: float = 0.01
    p99: float = 0.1
    threads: int = 1
    files: int = 2


@dataclass(frozen=True)
class SoakGrowth:
    """Growth of one tracker over the counted time of a soak; fields as in `SoakBounds`."""

    memory: float
    p99: float
    threads: int
    files: int

    @classmethod
    def compute(cls, samples: Sequence[SoakSample], warm_up_s: float) -> SoakGrowth:
        """Compare the first and the last fifth of the samples after the warm-up, by their medians.

        Args:
            samples: samples in the order of time.
            warm_up_s: time of the first samples that do not count, in seconds.

        Raises:
            ValueError: fewer than two samples count.
        """
        counted = [sample for sample in samples if sample.time_s > warm_up_s]
        if len(counted) < 2:
            raise ValueError(
                f"a soak must last longer than its warm-up of {warm_up_s:g} s: got {len(counted)} samples "
                "after it, expected at least 2"
            )
        size = max(int(_WINDOW_FRACTION * len(counted)), 1)
        first, last = counted[:size], counted[-size:]

        def grow(name: str) -> float:
            before = median(getattr(sample, name) for sample in first)
            return median(getattr(sample, name) for sample in last) / before - 1 if before else 0.0

        return cls(
            memory=grow("memory_mb"),
            p99=grow("p99_ms"),
            threads=max(sample.threads for sample in last) - max(sample.threads for sample in first),
            files=max(sample.files for sample in last) - max(sample.files for sample in first),
        )

    def find_excess(self, bounds: SoakBounds) -> list[str]:
        """Return a description of each bound that is exceeded."""
        excess = []
        if self.memory >= bounds.memory:
            excess.append(f"resident memory grew by {self.memory:.2%}, expected under {bounds.memory:.2%}")
        if self.p99 >= bounds.p99:
            excess.append(f"p99 of the latency grew by {self.p99:.1%}, expected under {bounds.p99:.1%}")
        if self.threads > bounds.threads:
            excess.append(f"threads grew by {self.threads}, expected at most {bounds.threads}")
        if self.files > bounds.files:
            excess.append(f"open files grew by {self.files}, expected at most {bounds.files}")
        return excess
