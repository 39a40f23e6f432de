"""Written videos: times, odd sizes, and files of processes that were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracking_runtime.io import open_source
from tracking_runtime.io.video_writer import VideoWriter

_WRITE_AND_DIE = """
import os, sys
from pathlib import Path
import numpy as np
from tracking_runtime.io.video_writer import VideoWriter
writer = VideoWriter(Path(sys.argv[1]), 25)
for number in range(200):
    writer.write(np.full((48, 64, 3), number, np.uint8), number * 40_000_000)
os._exit(9)
"""


@pytest.mark.parametrize(("height", "width"), [(48, 64), (49, 64), (48, 65), (1, 1)])
def test_written_frames_are_read_back_at_any_size(tmp_path: Path, height: int, width: int) -> None:
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        for number in range(5):
            writer.write(np.full((height, width, 3), 50 * number, np.uint8), number * 40_000_000)

    frames = list(open_source(tmp_path / "a.mp4"))

    assert [round(frame.image.mean() / 50) for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].image.shape == (height + height % 2, width + width % 2, 3)


def test_written_frames_keep_their_times(tmp_path: Path) -> None:
    stamps_ms = [1000, 1010, 1500, 1500, 1490, 2000]  # two do not rise
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for stamp_ms in stamps_ms:
            writer.write(np.zeros((48, 64, 3), np.uint8), stamp_ms * 1_000_000)

    stamps_ns = np.array([frame.stamp_ns for frame in open_source(tmp_path / "a.mp4")])

    expected_ms = np.array([0, 10, 500, 500, 500, 1000])
    np.testing.assert_allclose((stamps_ns - stamps_ns[0]) / 1e6, expected_ms, atol=0.03)
    assert (np.diff(stamps_ns) > 0).all()


def test_killed_writer_leaves_a_video_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"

    process = subprocess.run([sys.executable, "-c", _WRITE_AND_DIE, str(path)], check=False)

    frames = list(open_source(path))
    assert process.returncode == 9
    assert len(frames) >= 100
    np.testing.assert_allclose([frame.image.mean() for frame in frames], np.arange(len(frames)), atol=5)


def test_unwritable_path_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        VideoWriter(tmp_path / "missing" / "a.mp4", 25)


def test_writer_without_frames_can_be_closed(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "a.mp4", 25).close()
