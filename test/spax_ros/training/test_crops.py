from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spax_ros.training.crops import draw_crop
from tracking_runtime.frames import GroundTruth


@pytest.mark.parametrize("seed", range(6))
def test_flipped_crop_keeps_objects_on_their_pixels(seed: int, make_clip) -> None:
    clip = make_clip()
    for frame in clip.frames:
        frame.inputs[:] = 0
        box = frame.truth.boxes[0]
        y, x = frame.pixels // 96, frame.pixels % 96
        is_object = (x >= box[0]) & (x < box[0] + 8) & (y >= 41) & (y < 45)
        frame.inputs[is_object] = 1

    frames = draw_crop(clip, 64, 4, np.random.default_rng(seed))

    for frame in frames:
        (box,) = frame.truth.boxes
        y, x = np.nonzero(frame.inputs[0])
        pixel_center = [x.mean() + 0.5, y.mean() + 0.5]
        np.testing.assert_allclose(pixel_center, box[:2] + box[2:] / 2, atol=0.51)
        assert sorted(np.abs(frame.shift).tolist()) == [0, 2]


@pytest.mark.parametrize("seed", range(6))
def test_flipped_crop_turns_velocities_with_the_pixels(seed: int, make_clip) -> None:
    clip = make_clip()
    frames = tuple(
        replace(frame, inputs=np.tile(np.array([0, 0, 0, 2, 0.5], np.float16), (len(frame.pixels), 1)))
        for frame in clip.frames
    )  # objects move by (2, 0)

    crop = draw_crop(replace(clip, frames=frames), 64, 4, np.random.default_rng(seed))

    for before, frame in pairwise(crop):
        motion = frame.truth.boxes[0, :2] - before.truth.boxes[0, :2]
        velocity = frame.inputs[3:5][:, frame.mask]
        assert sorted(np.abs(velocity[:, 0]).tolist()) == [0.5, 2]
        np.testing.assert_allclose(
            np.round(velocity / 2).T, np.round(motion / 2)[None].repeat(velocity.shape[1], 0)
        )


def test_half_of_the_crops_begin_with_their_clip(make_clip) -> None:
    clip = make_clip(num_frames=12)
    for index, frame in enumerate(clip.frames):
        frame.inputs[:] = index
    rng = np.random.default_rng(0)

    begins_with_clip = [draw_crop(clip, 64, 4, rng)[0].inputs.max() == 0 for _ in range(200)]

    assert 80 < sum(begins_with_clip) < 120


def test_crop_shows_the_requested_class(make_clip) -> None:
    clip = make_clip(side=400)
    frames = []
    for frame in clip.frames:
        boxes = np.concatenate([frame.truth.boxes, [[350.0, 350, 20, 20]]])
        truth = GroundTruth(np.array([7, 8]), np.array([0, 3], np.uint8), boxes)
        frames.append(replace(frame, truth=truth))
    clip = replace(clip, frames=tuple(frames))
    rng = np.random.default_rng(0)

    for class_id in (0, 3):
        for _ in range(10):
            crop = draw_crop(clip, 64, 4, rng, class_id)

            assert class_id in crop[2].truth.class_ids


def test_crop_of_clip_without_objects_has_none(make_clip) -> None:
    clip = make_clip()
    frames = tuple(replace(frame, truth=GroundTruth()) for frame in clip.frames)

    crop = draw_crop(replace(clip, frames=frames), 64, 4, np.random.default_rng(0))

    assert [len(frame.truth.ids) for frame in crop] == [0] * 4
    assert any(frame.mask.any() for frame in crop)
