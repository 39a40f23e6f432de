from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from spax_ros.motion.mask import MotionSettings
from spax_ros.preprocessing import PixelEncoder
from spax_ros.training.clips import Clip
from spax_ros.training.preparation import prepare_clips, prepare_frames, prepare_videos
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.notes import collect_notes


def write_satvideodt(root: Path, num_frames: int, class_number: int) -> Path:
    """Write a video in the layout of SatVideoDT: img1/000001.jpg and gt.txt with top-left boxes."""
    images = root / "val_data" / "001" / "img1"
    images.mkdir(parents=True)
    ground = np.random.default_rng(0).integers(90, 110, (96, 96), np.uint8)
    lines = []
    for index in range(num_frames):
        image = ground.copy()
        image[40:45, 20 + index : 28 + index] = 230
        cv2.imwrite(str(images / f"{index + 1:06d}.jpg"), image)
        lines.append(f"{index + 1},7,{20 + index},40,8,5,1,{class_number},1")
    (images.parent / "gt.txt").write_text("\n".join(lines) + "\n")
    return root / "val_data"


def list_times(folder: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in sorted(folder.glob("*.npz"))]


def make_video_of_stopping_vehicle() -> Iterator[Frame]:
    """Yield frames of a vehicle that drives for 12 frames and then waits."""
    ground = np.random.default_rng(0).integers(90, 110, (128, 128), np.uint8)
    for index in range(40):
        image = ground.copy()
        left = 20 + 2 * min(index, 12)
        image[60:65, left : left + 8] = 230
        truth = GroundTruth(np.array([1]), np.array([0], np.uint8), np.array([[left, 60.0, 8, 5]]))
        yield Frame(index, image, "mono8", "camera", truth)


def is_vehicle_active(recall: float) -> list[bool]:
    """Return whether the center of the vehicle is active in each prepared frame."""
    video = make_video_of_stopping_vehicle()
    is_active = []
    for prepared in prepare_frames(video, PixelEncoder("gray_residual"), MotionSettings(), recall):
        left = int(prepared.frame.truth.boxes[0, 0])
        is_active.append(62 * 128 + left + 4 in prepared.frame.pixels)
    return is_active


def test_simulated_clips_are_prepared_once(tmp_path: Path) -> None:
    encoder = PixelEncoder("bgr")

    counts = list(prepare_clips(tmp_path, encoder, num_scenes=1, num_frames=3))
    times = list_times(tmp_path)
    list(prepare_clips(tmp_path, encoder, num_scenes=1, num_frames=3))

    (path,) = tmp_path.glob("*.npz")
    assert counts == [1]
    assert list_times(tmp_path) == times
    assert Clip.load(path).frames[-1].inputs.shape[1] == 3


@pytest.mark.parametrize(
    ("order", "class_number"), [("car,airplane,ship,train", 1), ("airplane,car,ship,train", 2)]
)
def test_benchmark_classes_are_matched_by_name(tmp_path: Path, order: str, class_number: int) -> None:
    videos = open_dataset(write_satvideodt(tmp_path, 43, class_number), class_names=order.split(","))
    encoder, classes = PixelEncoder("gray_residual"), ("train", "car", "ship", "airplane")
    folder = tmp_path / "clips"

    counts = list(prepare_videos(folder, encoder, classes, videos))
    times = list_times(folder)
    list(prepare_videos(folder, encoder, classes, videos))

    first, second = map(Clip.load, sorted(folder.glob("*.npz")))
    truth = second.frames[0].truth
    assert counts == [1]
    assert (len(first.frames), len(second.frames)) == (40, 3)
    assert (truth.ids.tolist(), truth.class_ids.tolist()) == ([7], [1])
    np.testing.assert_allclose(truth.boxes, [[60, 40, 8, 5]])
    assert list_times(folder) == times


def test_source_without_ground_truth_is_refused(tmp_path: Path) -> None:
    folder = write_satvideodt(tmp_path, 3, 1) / "001"
    (folder / "gt.txt").unlink()

    with pytest.raises(SourceError, match=rf"{folder} has no ground truth, .* add it, or state \?truth=FILE"):
        list(prepare_clips(tmp_path / "clips", PixelEncoder("bgr"), sources=[str(folder)]))

    assert not list((tmp_path / "clips").iterdir())


def test_frames_of_unknown_truth_are_left_out_and_told(tmp_path: Path) -> None:
    """A frame without ground truth is not a frame without objects. Its neighbors are separate clips."""
    folder = write_satvideodt(tmp_path, 12, 1) / "001"
    rows = (folder / "gt.txt").read_text().splitlines()
    for number in (5, 9, 11):
        rows[number - 1] = f"{number},7,{20 + number},40,8,5,x,1,1"
    encoder = PixelEncoder("gray_residual")
    (folder / "gt.txt").write_text("\n".join(rows) + "\n")

    with collect_notes() as notes:
        list(prepare_clips(tmp_path / "a", encoder, sources=[f"{folder}?malformed=skip"]))
        videos = open_dataset(folder.parent, on_invalid_row="skip", class_names=("car",))
        list(prepare_videos(tmp_path / "b", encoder, ("car",), videos))

    for clips in (tmp_path / "a", tmp_path / "b"):
        sizes = sorted(len(Clip.load(path).frames) for path in clips.glob("*.npz"))
        assert sizes == [3, 4]
        assert all(len(frame.truth.ids) for path in clips.glob("*.npz") for frame in Clip.load(path).frames)
    told = [note for note in notes if "left out, because" in note]
    assert len(told) == 2
    assert all("5 of 12 frames are left out, because they or their neighbors" in note for note in told)


def test_source_without_successive_known_frames_is_refused(tmp_path: Path) -> None:
    folder = write_satvideodt(tmp_path, 2, 1) / "001"
    (folder / "gt.txt").write_text("1,7,20,40,8,5,1,1\n2,7,21,40,8,5,x,1\n")

    with pytest.raises(SourceError, match="no successive frames with known ground truth"):
        list(prepare_clips(tmp_path / "c", PixelEncoder("bgr"), sources=[f"{folder}?malformed=skip"]))


def test_classes_unknown_to_the_network_are_named(tmp_path: Path) -> None:
    videos = open_dataset(write_satvideodt(tmp_path, 2, 1), class_names=("tank",))

    with pytest.raises(SourceError, match="tank"):
        list(prepare_videos(tmp_path / "clips", PixelEncoder("bgr"), ("car",), videos))


def test_objects_that_the_network_detects_stay_active() -> None:
    """The vehicle becomes part of the background when it waits. A detected vehicle stays active."""
    is_active_if_detected = is_vehicle_active(recall=1.0)
    is_active_if_missed = is_vehicle_active(recall=0.0)

    assert not is_active_if_detected[0]
    assert all(is_active_if_detected[6:])
    assert all(is_active_if_missed[6:12])
    assert not is_active_if_missed[-1]


def test_frames_of_nearly_one_size_are_prepared_as_one_clip() -> None:
    """Stabilized video differs by a row or a column from frame to frame."""
    encoder = PixelEncoder("gray_residual")
    frames = [
        Frame(index, np.full((96 - index % 2, 97 + index % 3), 90, np.uint8), "mono8", "", GroundTruth())
        for index in range(4)
    ]

    prepared = [*prepare_frames(frames, encoder, MotionSettings())]

    assert [each.size for each in prepared] == [(96, 97)] * 4
    assert len(Clip.from_frames(prepared).frames) == 4
