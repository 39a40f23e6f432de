import cv2
import numpy as np
import pytest

from hsi_tracker_ros.training.clips import read_clips
from hsi_tracker_ros.training.simulated_clips import render_clips
from tracking_runtime.errors import SourceError


def write_photographs(folder):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(2):
        coarse = rng.integers(0, 255, (30, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), cv2.resize(coarse, (800, 600)))
    return folder


@pytest.mark.slow
def test_interrupted_rendering_adds_only_missing_clips(tmp_path):
    first_counts = list(render_clips(tmp_path, 2, num_frames=2))
    later_counts = list(render_clips(tmp_path, 3, num_frames=2))

    assert first_counts == [1, 2]
    assert later_counts == [3]


def test_clips_of_photographs_show_a_moving_target(tmp_path):
    photographs = write_photographs(tmp_path / "photographs")
    rendering = render_clips(tmp_path, 3, photographs=photographs, photograph_fraction=1, num_frames=4)

    list(rendering)
    clips = read_clips(tmp_path)

    assert [clip.square_roots.shape[:3] for clip in clips] == [(4, 256, 512)] * 3
    boxes = np.concatenate([clip.boxes for clip in clips])
    visible_boxes = boxes[np.isfinite(boxes[:, 0])]
    assert len(visible_boxes) > 3
    assert (visible_boxes[:, 2:] > 0).all()
    assert len(np.unique(visible_boxes[:, 0])) > 1


def test_folder_without_photographs_is_named_in_error(tmp_path):
    with pytest.raises(SourceError, match=str(tmp_path)):
        list(render_clips(tmp_path / "clips", 1, photographs=tmp_path))
