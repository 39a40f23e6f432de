"""`rstrack simulate`, `rstrack info` and `rstrack repair`."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.bags import BagReader
from tracking_runtime.cli import rstrack
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.image_folder import ImageFolderSource


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Write five images with ground truth and bands."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 6):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 9), number, np.uint8))
    (folder / "gt.txt").write_text("1 1 4 4\n2 2 4 4\n-1 -1 -1 -1\n3 3 4 4\n4 4 4 4\n")
    (folder / "spectral_info.yaml").write_text("wavelengths_nm: [500, 600, 700, 800]\nmosaic: [2, 2]\n")
    return folder


def run_rstrack(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, [str(argument) for argument in arguments])


def test_simulate_writes_a_bag_with_the_same_frames(image_folder, tmp_path):
    bag = tmp_path / "bag"

    options = ("--namespace", "cam", "--compression", "zstd")
    result = run_rstrack("simulate", f"folder:{image_folder}?rate=25", bag, *options)

    assert result.exit_code == 0, result.output
    assert list(BagReader(bag).topics) == ["/cam/spectral_info", "/cam/image", "/cam/ground_truth"]
    recorded = BagSource(bag)
    original = ImageFolderSource(image_folder, rate=25)
    assert recorded.spectral_info == original.spectral_info
    assert recorded.rate_hz == pytest.approx(25)
    for frame, expected in zip(recorded, original, strict=True):
        assert frame.stamp_ns == expected.stamp_ns
        assert frame.encoding == expected.encoding
        assert frame.frame_id == expected.frame_id
        np.testing.assert_array_equal(frame.image, expected.image)
        np.testing.assert_array_equal(frame.truth.boxes, expected.truth.boxes)


def test_info_reports_an_unfinished_bag_until_repair(image_folder, tmp_path):
    bag = tmp_path / "bag"
    assert run_rstrack("simulate", f"folder:{image_folder}", bag).exit_code == 0

    output = run_rstrack("info", bag).output
    assert "/ground_truth" in output
    assert "11 messages in 0.400 s" in output

    storage_file = bag / "bag_0.mcap"
    os.truncate(storage_file, storage_file.stat().st_size - 10)
    assert "was not finished" in run_rstrack("info", bag).output
    assert "11 messages" in run_rstrack("repair", bag).output
    assert "was not finished" not in run_rstrack("info", bag).output


def test_errors_are_printed_in_one_line(image_folder, tmp_path):
    output = run_rstrack("simulate", "moon", tmp_path / "bag").output
    assert output.startswith("Error: 'moon' is not a source")

    output = run_rstrack("simulate", f"folder:{image_folder}", image_folder).output
    assert output.startswith(f"Error: {image_folder} exists already")

    for command in ("info", "repair"):
        output = run_rstrack(command, image_folder).output
        assert output.startswith(f"Error: {image_folder} is not a recording")
