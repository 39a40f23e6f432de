"""Measure how much the decoding of a video adds to `rstrack track`, against the same frames as arrays.

Both runs alternate in one process, so that the load of the machine affects both alike. Usage:

    source .venv/setup.bash && python scripts/measure_video_decoding.py [--frames 60] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.evaluation.replay import find_tracker, make_tracker
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.sources import open_source
from tracking_runtime.io.video_writer import VideoWriter
from tracking_runtime.io.wrapped_source import WrappedSource
from tracking_runtime.tracking.session import TrackOptions, track_source


class ArraySource(WrappedSource):
    """The frames of another source, kept in memory.

    Args:
        source: the other source.
    """

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source)
        self._frames = list(source)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames."""
        return iter(self._frames)


def write_video(path: Path, side_px: int, num_frames: int) -> None:
    """Write a simulated satellite scene as H.264."""
    scene = open_source("scene:satellite", seed=3, frames=num_frames, size=side_px)
    with VideoWriter(path, scene.rate_hz) as writer:
        for frame in scene:
            writer.write(np.ascontiguousarray(frame.image), frame.stamp_ns)


def measure(source: FrameSource, tracker: Any) -> tuple[float, float]:
    """Track a source, and return the elapsed time and the time of all threads, both in seconds a frame."""
    start, cpu_start = time.perf_counter(), time.process_time()
    run = track_source(source, tracker, TrackOptions(draws_video=False), None)
    elapsed_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    return elapsed_s / run.num_tracked, cpu_s / run.num_tracked


def main() -> None:
    """Print the times of both runs and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=1024, help="width and height in pixels")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="", help="model of SPAX; default: its own")
    parser.add_argument("--video", type=Path, help="video to decode; default: a simulated scene as H.264")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.video or Path(folder) / "scene.mp4"
        if arguments.video is None:
            write_video(path, arguments.side, arguments.frames)
        video = open_source(path)
        arrays = ArraySource(video)
        tracker = make_tracker(find_tracker("spax"), arguments.model)
        measure(ArraySource(open_source(path)), tracker)  # warm-up
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append((measure(arrays, tracker), measure(video, tracker)))
    for name, position in (("elapsed", 0), ("processor", 1)):
        from_arrays, from_video = (
            statistics.median(each[which][position] for each in rounds) for which in (0, 1)
        )
        ratio = statistics.median(each[1][position] / each[0][position] for each in rounds)
        print(
            f"{name} time a frame: arrays {1e3 * from_arrays:.1f} ms, video {1e3 * from_video:.1f} ms, "
            f"ratio {ratio:.3f} (median of {len(rounds)} pairs)"
        )


if __name__ == "__main__":
    main()
