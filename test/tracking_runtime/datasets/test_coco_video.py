"""COCO video JSON of other programs, and files that cannot be used. Round trips: test_cvat.py."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.datasets.coco_video import is_coco_video, read_coco_video
from tracking_runtime.errors import SourceError

GOOD: dict[str, Any] = {
    "videos": [{"id": 1, "name": "a", "width": 64, "height": 48}, {"id": 2, "name": "b"}],
    "categories": [{"id": 3, "name": "ship"}, {"id": 1, "name": "car"}],
    "images": [
        {"id": 10, "video_id": 1, "frame_id": 1, "file_name": "a/1.png"},
        {"id": 11, "video_id": 1, "frame_id": 2, "file_name": "a/2.png"},
        {"id": 12, "video_id": 2, "frame_id": 0, "file_name": "b/1.png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 11, "track_id": 4, "category_id": 3, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 10, "track_id": 4, "category_id": 3, "bbox": [0, 2, 3, 4], "occluded": True},
        {"id": 3, "image_id": 12, "track_id": 4, "category_id": 1, "bbox": [5, 5, 5, 5]},
    ],
}


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_videos_are_read_with_frames_from_one(tmp_path: Path) -> None:
    first, second = read_coco_video(write(tmp_path / "coco.json", GOOD))

    assert (first.name, first.num_frames, first.image_size) == ("a", 2, (64, 48))
    assert first.class_names == ("ship", "car")
    assert first.file_names == ("a/1.png", "a/2.png")
    (track,) = first.tracks
    assert (track.id, track.label, track.frames.tolist()) == (4, "ship", [0, 1])
    np.testing.assert_array_equal(track.boxes, [[0, 2, 3, 4], [1, 2, 3, 4]])
    assert track.is_occluded.tolist() == [True, False]
    assert [truth.class_ids.tolist() for truth in second.make_truth()] == [[1]]


def test_youtube_vis_lists_the_boxes_of_an_object(tmp_path: Path) -> None:
    content = {
        "videos": [{"id": 1, "file_names": ["x/0.jpg", "x/1.jpg", "x/2.jpg"], "length": 3}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": 9, "video_id": 1, "category_id": 1, "bboxes": [[0, 0, 2, 2], None, [4, 0, 2, 2]]}
        ],
    }

    (video,) = read_coco_video(write(tmp_path / "vis.json", content))

    assert (video.name, video.num_frames, video.file_names[2]) == ("x", 3, "x/2.jpg")
    assert (video.tracks[0].id, video.tracks[0].frames.tolist()) == (9, [0, 2])


def test_coco_without_videos_is_another_layout(tmp_path: Path) -> None:
    assert is_coco_video(write(tmp_path / "a.json", GOOD))
    assert not is_coco_video(write(tmp_path / "b.json", {"images": []}))
    assert not is_coco_video(write(tmp_path / "c.json", "[1, 2"))


def change(path: str, value: Any) -> dict[str, Any]:
    """Return GOOD with a value at a path such as `annotations/0/bbox`; None removes the key."""
    content: Any = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    place = content
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "must be a JSON object"),
        ("[" * 100_000, "is not a JSON file"),
        ({}, "must have a list videos"),
        (change("videos", 3), "videos must be a list"),
        (change("annotations", [7]), "must be an object"),
        (change("annotations/0/bbox", [1, 2, 3]), "bbox must be 4 numbers"),
        (change("annotations/0/bbox", ["1", 2, 3, 4]), "bbox must be 4 numbers"),
        (change("annotations/0/bbox", [1, 2, 0, 4]), "positive width and height"),
        (change("annotations/0/bbox", [1, 2, 10**400, 4]), "bbox must be 4 numbers"),
        (change("annotations/0/track_id", None), "must have an identity"),
        (change("annotations/0/track_id", -1), "must be a whole number"),
        (change("annotations/0/category_id", 9), "no category 9"),
        (change("annotations/0/category_id", 1), "must have one category"),
        (change("annotations/0/image_id", 99), "no image 99"),
        (change("annotations/0/image_id", 10), "is in frame 1 twice"),
        (change("annotations/0/id", 2), "id 2 of annotations occurs twice"),
        (change("images/0/frame_id", 10**9), "frame_id must be unique and small"),
        (change("images/0/frame_id", 2), "frame_id must be unique and small"),
        (change("images/0/video_id", None), "video_id must be a whole number"),
        (change("images/0/video_id", 77), "no video 77"),
        (change("categories/0/name", None), "name must be text"),
    ],
)
def test_useless_json_is_refused_with_the_reason(tmp_path: Path, content: Any, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as error:
        read_coco_video(write(tmp_path / "coco.json", content))
    assert "coco.json" in str(error.value)


values = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**7)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(0, 5))
)
paths = [
    f"{kind}/{index}/{key}"
    for kind, items in GOOD.items()
    for index, item in enumerate(items)
    for key in item
] + list(GOOD)


@settings(max_examples=100)
@given(st.sampled_from(paths), values)
def test_any_value_gives_videos_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, path: str, value: Any
) -> None:
    file = write(tmp_path_factory.getbasetemp() / "any.json", change(path, value))

    try:
        videos = read_coco_video(file)
    except SourceError:
        return
    for video in videos:
        assert len(video.make_truth()) == video.num_frames
