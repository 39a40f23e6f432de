"""Recordings made, looked at and mended from the command line."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.bags import BagReader
from tracking_runtime.commands.bag import info, repair, simulate
from tracking_runtime.io.sources import BagSource, FolderSource


@pytest.fixture
def frames(tmp_path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 6):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 9), number, np.uint8))
    (folder / "gt.txt").write_text("1 1 4 4\n2 2 4 4\n-1 -1 -1 -1\n3 3 4 4\n4 4 4 4\n")
    (folder / "spectral_info.yaml").write_text("wavelengths_nm: [500, 600, 700, 800]\nmosaic: [2, 2]\n")
    return folder


def run(command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_source_becomes_a_bag_with_the_same_frames(frames, tmp_path):
    result = run(
        simulate, f"folder:{frames}?rate=25", tmp_path / "bag", "--namespace", "cam", "--compression", "zstd"
    )
    assert result.exit_code == 0, result.output
    assert list(BagReader(tmp_path / "bag").topics) == [
        "/cam/spectral_info",
        "/cam/image",
        "/cam/ground_truth",
    ]
    recorded, original = BagSource(tmp_path / "bag"), FolderSource(frames, rate=25)
    assert recorded.spectral_info == original.spectral_info
    assert recorded.rate_hz == pytest.approx(25)
    for one, other in zip(recorded, original, strict=True):
        assert (one.stamp_ns, one.encoding, one.frame_id) == (other.stamp_ns, other.encoding, other.frame_id)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.truth.boxes, other.truth.boxes)


def test_info_lists_topics_and_repair_finishes(frames, tmp_path):
    bag = tmp_path / "bag"
    assert run(simulate, f"folder:{frames}", bag).exit_code == 0
    shown = run(info, bag)
    assert "/ground_truth" in shown.output
    assert "11 messages in 0.400 s" in shown.output
    os.truncate(bag / "bag_0.mcap", (bag / "bag_0.mcap").stat().st_size - 10)
    assert "was not finished" in run(info, bag).output
    assert "11 messages" in run(repair, bag).output
    assert "was not finished" not in run(info, bag).output


def test_errors_are_one_line(frames, tmp_path):
    assert run(simulate, "moon", tmp_path / "bag").output.startswith("Error: 'moon' is no source")
    assert run(simulate, f"folder:{frames}", frames).output.startswith(f"Error: {frames} exists already")
    assert run(info, frames).output.startswith(f"Error: {frames} is not a recording")
    assert run(repair, frames).output.startswith(f"Error: {frames} is not a recording")
