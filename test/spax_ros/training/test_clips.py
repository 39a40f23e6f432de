from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spax_ros.training.clips import Clip, ClipPool, find_box_slices
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth


def test_clip_is_unchanged_after_saving_and_loading(tmp_path: Path, make_clip) -> None:
    clip = make_clip()

    clip.save(tmp_path / "clip.npz")
    loaded = Clip.load(tmp_path / "clip.npz")

    assert (loaded.height, loaded.width, len(loaded.frames)) == (96, 96, 8)
    for frame, loaded_frame in zip(clip.frames, loaded.frames, strict=True):
        np.testing.assert_array_equal(frame.pixels, loaded_frame.pixels)
        np.testing.assert_array_equal(frame.inputs, loaded_frame.inputs)
        np.testing.assert_array_equal(frame.truth.boxes, loaded_frame.truth.boxes)
        np.testing.assert_array_equal(frame.shift, loaded_frame.shift)


def test_clip_file_has_documented_arrays(tmp_path: Path, make_clip) -> None:
    make_clip().save(tmp_path / "clip.npz")

    with np.load(tmp_path / "clip.npz") as file:
        names = set(file.files)

    columns = {"pixels", "inputs", "ids", "class_ids", "boxes"}
    assert names == columns | {"pixel_counts", "truth_counts", "shifts", "size"}
    assert [path.name for path in tmp_path.iterdir()] == ["clip.npz"]


def test_folder_without_clips_is_named_in_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=str(tmp_path)):
        ClipPool(tmp_path)


def test_classes_are_drawn_by_square_root_of_their_count(tmp_path: Path, make_clip) -> None:
    for seed in range(10):
        clip = make_clip(seed)
        if seed == 0:
            for frame in clip.frames:
                frame.truth.class_ids[:] = 3
        clip.save(tmp_path / f"{seed}.npz")
    pool = ClipPool(tmp_path)
    rng = np.random.default_rng(0)

    draws = [pool.draw_clip(rng) for _ in range(400)]

    assert all(class_id in clip.frames[0].truth.class_ids for clip, class_id in draws)
    assert 70 < sum(class_id == 3 for _, class_id in draws) < 130  # 1 in 4, not 1 in 10


def test_clip_without_objects_is_drawn(tmp_path: Path, make_clip) -> None:
    clip = make_clip()
    frames = tuple(replace(frame, truth=GroundTruth()) for frame in clip.frames)
    replace(clip, frames=frames).save(tmp_path / "empty.npz")

    drawn_clip, class_id = ClipPool(tmp_path).draw_clip(np.random.default_rng(0))

    assert (len(drawn_clip.frames), class_id) == (8, None)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((2.5, 3, 2, 1), (3, 4), (2, 5)),
        ((-4, -2, 5, 3), (0, 1), (0, 1)),
        ((8, 18, 9, 9), (18, 20), (8, 10)),
        ((-9, -9, 2, 2), (0, 0), (0, 0)),
    ],
)
def test_box_slices_contain_the_touched_pixels(box, rows, columns) -> None:
    slices = find_box_slices(np.array(box, np.float64), height=20, width=10)

    assert slices == (slice(*rows), slice(*columns))
