import numpy as np
import pytest
import yaml

from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.training.clips import read_clips
from hsi_tracker_ros.training.recorded_clips import cut_recorded_clips
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError
from tracking_runtime.io.notes import collect_notes
from tracking_runtime.io.source_recorder import record_source


def list_times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.slow
def test_benchmark_folder_is_cut_into_clips_once(hot_folder, tmp_path):
    videos = open_dataset(hot_folder)

    names = list(cut_recorded_clips(tmp_path, videos, stride=2))
    times = list_times(tmp_path)
    names_again = list(cut_recorded_clips(tmp_path, videos, stride=2))

    clips = read_clips(tmp_path)
    expected_boxes = [video.read_frame(2).truth.boxes[0].tolist() for video in videos]
    assert len(names) == len(names_again) == len(clips) == 2
    assert clips[0].square_roots.shape == (6, 256, 512, 16)
    assert sorted(clip.boxes[1].tolist() for clip in clips) == sorted(expected_boxes)
    assert list_times(tmp_path) == times


def test_recordings_of_one_name_are_both_cut(tmp_path):
    bags = [tmp_path / folder / "bag" for folder in ("first", "second")]
    for seed, bag in enumerate(bags):
        bag.parent.mkdir()
        assert list(record_source(HyperspectralScene(900_001 + seed, frames=4, size=(96, 64)), bag))
    videos = [video for bag in bags for video in open_dataset(bag)]
    link = tmp_path / "linked"
    link.symlink_to(bags[0].parent)

    names = list(cut_recorded_clips(tmp_path / "clips", videos, stride=2))
    first, second = read_clips(tmp_path / "clips")
    list(cut_recorded_clips(tmp_path / "clips", open_dataset(link / "bag"), stride=2))

    assert names == ["bag", "bag"]
    assert not np.array_equal(first.square_roots, second.square_roots)
    assert len(read_clips(tmp_path / "clips")) == 2


def write_cubes_without_truth(folder):
    folder.mkdir()
    for number in range(1, 4):
        np.save(folder / f"{number}.npy", np.full((32, 48, 16), number, np.uint16))
    description = {"wavelengths_nm": np.linspace(470.0, 620.0, 16).tolist()}
    (folder / "spectral_info.yaml").write_text(yaml.safe_dump(description))
    return folder


def test_videos_that_give_no_clips_are_counted_and_named(tmp_path):
    bag = tmp_path / "bag"
    assert list(record_source(HyperspectralScene(900_001, frames=4, size=(96, 64)), bag))
    bare = write_cubes_without_truth(tmp_path / "bare")
    first_box_only = write_cubes_without_truth(tmp_path / "first_box")
    (first_box_only / "groundtruth.txt").write_text("1,2,8,8\nnan,nan,nan,nan\n0,0,0,0\n")
    videos = [video for path in (bag, bare, first_box_only) for video in open_dataset(path)]

    with collect_notes() as notes:
        list(cut_recorded_clips(tmp_path / "clips", videos, stride=1))
    with collect_notes() as notes_again:
        list(cut_recorded_clips(tmp_path / "clips", videos, stride=1))

    assert len(read_clips(tmp_path / "clips")) == 1
    (note,) = notes
    assert note.startswith("2 of 3 videos give no clips to train on: bare in ")
    assert "has no ground truth; first_box in " in note
    assert "visible in fewer than 2 of the 3 frames that are used" in note
    assert notes_again == notes


def test_videos_without_any_clip_are_an_error(tmp_path):
    videos = open_dataset(write_cubes_without_truth(tmp_path / "bare"))

    with pytest.raises(SourceError, match=r"1 of 1 videos give no clips .*bare has no ground truth; give"):
        list(cut_recorded_clips(tmp_path / "clips", videos))
    (tmp_path / "bare" / "groundtruth.txt").write_text("1,2,8,8\n1,2,8,8\n1,2,8,8\n")
    list(cut_recorded_clips(tmp_path / "clips", open_dataset(tmp_path / "bare"), stride=1))

    assert len(read_clips(tmp_path / "clips")) == 1
