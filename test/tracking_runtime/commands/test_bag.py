"""`rstrack simulate`, `rstrack info` and `rstrack repair`."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.bags import BagReader, BagWriter
from tracking_runtime.cli import rstrack
from tracking_runtime.frames import Frame
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.image_folder import ImageFolderSource
from tracking_runtime.messages.conversion import IMAGE, serialize_image


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

    output = run_rstrack("repair", image_folder).output
    assert output.startswith(f"Error: {image_folder} is not a recording")


def test_info_and_repair_tell_a_flipped_bit(image_folder, tmp_path):
    bag = tmp_path / "bag"
    assert run_rstrack("simulate", f"folder:{image_folder}", bag).exit_code == 0
    storage_file = bag / "bag_0.mcap"
    content = bytearray(storage_file.read_bytes())
    content[len(content) // 3] ^= 4
    storage_file.write_bytes(content)

    assert f"{storage_file} is damaged at byte" in run_rstrack("info", bag).output
    assert "Checksums were not verified" in run_rstrack("info", "--no-check", bag).output
    result = run_rstrack("repair", bag)
    assert result.exit_code == 0
    assert "skipped:" in result.output
    assert f"The original files are in {bag / 'original'}" in result.output
    assert (bag / "original" / "bag_0.mcap").read_bytes() == content
    assert "nothing to repair" in run_rstrack("repair", bag).output


def test_topic_option_chooses_between_cameras(tmp_path):
    cameras = tmp_path / "cameras"
    with BagWriter(cameras) as writer:
        for camera in ("/left", "/right"):
            writer.add_installed_topic(f"{camera}/image", IMAGE)
        for number in range(1, 4):
            for value, camera in enumerate(("/left", "/right")):
                frame = Frame(number * 10**8, np.full((6, 8), 100 * value + number, np.uint8), "mono8")
                writer.write(f"{camera}/image", serialize_image(frame), frame.stamp_ns)

    output = run_rstrack("simulate", f"bag:{cameras}", tmp_path / "none").output
    assert "--topic" in output
    assert "available: /left/image, /right/image" in output
    for name, source, options in (
        ("option", cameras, ("--topic", "/right/image")),
        ("address", f"bag:{cameras}?topic=/right/image", ()),
    ):
        result = run_rstrack("convert", source, tmp_path / name, *options)
        assert result.exit_code == 0, result.output
        assert [frame.image[0, 0] for frame in BagSource(tmp_path / name / "cameras")] == [101, 102, 103]
    result = run_rstrack("simulate", cameras, tmp_path / "bag", "--topic", "/left/image")
    assert result.exit_code == 0, result.output
    assert [frame.image[0, 0] for frame in BagSource(tmp_path / "bag")] == [1, 2, 3]


def test_ros1_recording_names_the_command(tmp_path):
    path = tmp_path / "old.bag"
    path.write_bytes(b"#ROSBAG V2.0\n" + bytes(64))

    output = run_rstrack("info", path).output

    assert output == (
        f"Error: {path} is a recording of ROS 1: convert it by rosbags-convert --src {path} "
        f"--dst {tmp_path / 'old'} --dst-storage mcap, and give {tmp_path / 'old'}\n"
    )
