import numpy as np
import pytest

from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.training.clips import read_clips
from hsi_tracker_ros.training.recorded_clips import cut_recorded_clips
from tracking_runtime.datasets.factory import open_dataset
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
