"""COCO json as people have it: numbers as text, back slashes, json files beside it, errors with the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError
from tracking_runtime.io.notes import collect_notes


def make_content(**changes: list[Any]) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "img/car/001.png"}, {"id": 2, "file_name": "img/car/002.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "obj_id": 3, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "car"}],
        **changes,
    }


def write(folder: Path, content: Any) -> Path:
    (folder / "img" / "car").mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        cv2.imwrite(str(folder / "img" / "car" / f"00{number}.png"), np.full((8, 9), number, np.uint8))
    (folder / "val.json").write_text(json.dumps(content))
    return folder


def list_boxes(folder: Path) -> list[Any]:
    (video,) = open_dataset(folder)
    assert [frame.image[0, 0] for frame in video] == [1, 2]
    return [None if truth is None else (truth.ids.tolist(), truth.boxes.tolist()) for truth in video.truth]


def test_numbers_as_text_and_back_slashes_are_read(tmp_path: Path) -> None:
    content = make_content(
        images=[{"id": str(n), "file_name": rf"img\car\00{n}.png"} for n in (1, 2)],
        annotations=[
            {"id": "7", "image_id": "1", "category_id": "1", "obj_id": "3", "bbox": ["1", "2.5", "3", "4"]},
            {"id": 8, "image_id": 2.0, "category_id": 1.0, "obj_id": 3.0, "bbox": [1, 2, 3, 4]},
        ],
        categories=[{"id": "1", "name": "Vehicle "}],
    )

    assert list_boxes(write(tmp_path, content)) == [([3], [[1, 2.5, 3, 4]]), ([3], [[1, 2, 3, 4]])]


def test_other_json_files_beside_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, make_content())
    (tmp_path / "settings.json").write_text('{"gain": 3}')
    (tmp_path / "._val.json").write_bytes(b"\0Mac")

    assert list_boxes(tmp_path)[0] == ([3], [[1, 2, 3, 4]])


def test_frames_in_a_folder_named_as_json_are_no_coco(tmp_path: Path) -> None:
    folder = tmp_path / "run.json"
    folder.mkdir()
    for number in (1, 2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 9), number, np.uint8))

    (video,) = open_dataset(folder)

    assert len(video) == 2


def test_file_without_categories_is_named_instead_of_ignored(tmp_path: Path) -> None:
    content = make_content()
    del content["categories"]
    write(tmp_path, content)

    with pytest.raises(
        SourceError, match=r"val\.json is not ground truth in COCO .*categories must be lists"
    ):
        open_dataset(tmp_path)


def test_byte_order_mark_is_read(tmp_path: Path) -> None:
    write(tmp_path, make_content())
    path = tmp_path / "val.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert list_boxes(tmp_path)[0] == ([3], [[1, 2, 3, 4]])


ANNOTATION = make_content()["annotations"][0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": [1]}, r"images\[0\] must be an object"),
        ({"images": [{"file_name": "a.png"}]}, r"images\[0\] must have an id: got None"),
        ({"images": [{"id": 1}]}, r"images\[0\] must have a file_name: got None"),
        (
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": "1", "file_name": "b.png"}]},
            "of another image",
        ),
        ({"categories": [{"name": "car"}]}, r"categories\[0\] must have an id"),
        ({"annotations": [{**ANNOTATION, "obj_id": "car-3"}]}, "annotation 1: identity must be an integer"),
        ({"annotations": [{**ANNOTATION, "obj_id": True}]}, "identity must be an integer: got True"),
        ({"annotations": [{**ANNOTATION, "obj_id": 10**30}]}, "identity must be an integer"),
        ({"annotations": [{**ANNOTATION, "bbox": ["a", 2, 3, 4]}]}, "bbox must be 4 numbers"),
        ({"annotations": [{**ANNOTATION, "bbox": [True, 2, 3, 4]}]}, "bbox must be 4 numbers"),
        ({"annotations": [{**ANNOTATION, "bbox": [1, 2, "inf", 4]}]}, "bbox must be 4 numbers"),
        ({"annotations": [{**ANNOTATION, "bbox": [1e300, 2, 3, 4]}]}, "up to 10000000 px"),
        ({"annotations": [{**ANNOTATION, "image_id": [1]}]}, r"image \[1\] is not in the file"),
        ({"annotations": {}}, "must be lists"),
    ],
)
def test_error_names_the_place(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    folder = write(tmp_path, make_content(**changes))

    with pytest.raises(SourceError, match=rf"val\.json.*{reason}"):
        open_dataset(folder / "val.json")


def test_skipped_annotation_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, make_content(annotations=[{**ANNOTATION, "bbox": None}]))

    (video,) = open_dataset(folder, on_invalid_row="skip")
    with collect_notes() as notes:
        assert [truth is None for truth in video.truth] == [True, False]

    assert notes == [
        f"{folder / 'val.json'}: 1 annotations left out, the first: annotation 1: "
        "bbox must be 4 numbers: got None"
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.sampled_from(["images", "annotations", "categories"]),
    st.sampled_from([*ANNOTATION, "file_name", "name"]),
    VALUES,
)
def test_any_value_is_read_or_a_source_error(
    tmp_path_factory: pytest.TempPathFactory, key: str, name: str, value: Any
) -> None:
    content = make_content()
    content[key][0] = {**content[key][0], name: value}
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))

    for policy in ("raise", "skip"):
        try:
            for video in open_dataset(path, on_invalid_row=policy):  # type: ignore[arg-type]
                assert all(truth is None or len(truth.ids) <= 1 for truth in video.truth)
        except SourceError:
            continue
