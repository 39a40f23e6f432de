import json

import numpy as np
import pytest

from hsi_tracker_ros.training.clips import make_clip, read_clips, write_clip
from tracking_runtime.errors import SourceError


def test_clip_is_unchanged_after_writing_and_reading(tmp_path, make_random_clip):
    clip = make_random_clip(3)

    write_clip(tmp_path, "clip", clip)
    (read,) = read_clips(tmp_path)

    for name in ("square_roots", "boxes", "band_means", "white_levels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(clip, name))
    assert read.wavelengths_nm == clip.wavelengths_nm


def test_clip_files_have_documented_keys(tmp_path, make_random_clip):
    write_clip(tmp_path, "clip", make_random_clip(3))

    description = json.loads((tmp_path / "clip.json").read_text())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.json", "clip.npy"]
    assert list(description) == ["boxes", "wavelengths_nm", "band_means", "white"]


def test_clip_saturates_at_light_of_one():
    cube = np.array([[[0.0, 0.25, 1.0, 2.0]]], np.float32)

    clip = make_clip([cube], np.zeros((1, 4)), (500, 600, 700, 800))

    assert clip.square_roots[0, 0, 0].tolist() == [0, 128, 255, 255]


def test_folder_without_clips_is_named_in_error(tmp_path):
    with pytest.raises(SourceError, match=str(tmp_path)):
        read_clips(tmp_path)
