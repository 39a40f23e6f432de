"""Benchmarks in their own layouts, as they are found: names, frames, truth and bands."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError


def images(folder: Path, count: int, *, suffix: str = "png", mosaic: bool = False, digits: int = 4) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        image = (
            np.full((16, 20), 300 * number, np.uint16) if mosaic else np.full((16, 20, 3), number, np.uint8)
        )
        cv2.imwrite(str(folder / f"{number:0{digits}}.{suffix}"), image)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def boxes_of(video) -> list[list[list[float]] | None]:
    return [None if found is None else found.boxes.tolist() for found in video.truth]


def test_hot_2020(tmp_path):
    for name in ("car", "pedestrain2"):
        images(tmp_path / "test" / name / "HSI", 3, mosaic=True)
        images(tmp_path / "test" / name / "HSI-FalseColor", 3, suffix="jpg")
        write(tmp_path / "test" / name / "HSI" / "groundtruth_rect.txt", "1\t2\t3\t4\t\n" * 3)
        write(tmp_path / "test" / name / "HSI-FalseColor" / "groundtruth_rect.txt", "1\t2\t3\t4\t\n" * 3)
    car, pedestrian = open_dataset(tmp_path)
    assert (car.name, pedestrian.name, len(car)) == ("car", "pedestrain2", 3)
    frame = car.frame(1)
    assert (frame.encoding, int(frame.image[0, 0])) == ("mono16", 600)
    assert car.spectral_info.mosaic == (4, 4)
    assert (car.spectral_info.wavelengths_nm[0], car.spectral_info.wavelengths_nm[-1]) == (470, 620)
    assert boxes_of(car) == [[[1, 2, 3, 4]]] * 3
    color, _ = open_dataset(tmp_path, view="false_color")
    assert color.frame(0).encoding == "bgr8" and color.spectral_info is None
    with pytest.raises(SourceError, match="no rgb frames"):
        open_dataset(tmp_path, view="rgb")


def test_hot_2023_three_cameras_and_only_the_first_box(tmp_path):
    for camera in ("VIS", "NIR", "RedNIR"):
        images(tmp_path / "validation" / f"HSI-{camera}" / "ball", 2, mosaic=True)
        images(tmp_path / "validation" / f"HSI-{camera}-FalseColor" / "ball", 2, suffix="jpg")
    write(tmp_path / "validation" / "HSI-VIS" / "ball" / "init_rect.txt", "5 6 7 8\n")
    nir, red, vis = open_dataset(tmp_path)
    assert [video.name for video in (nir, red, vis)] == ["nir/ball", "rednir/ball", "vis/ball"]
    assert boxes_of(vis) == [[[5, 6, 7, 8]], None]
    assert boxes_of(nir) == [None, None]
    assert nir.spectral_info.mosaic == (5, 5) and len(nir.spectral_info.wavelengths_nm) == 25
    assert red.spectral_info.mosaic == (4, 4) and len(red.spectral_info.wavelengths_nm) == 15
    assert max(red.spectral_info.band_order) == 15  # the all-zero last filter, which is left out


def test_satvideodt_as_mot_text(tmp_path):
    for name in ("001", "002"):
        images(tmp_path / "val_data" / name / "img1", 2, suffix="jpg", digits=6)
        write(tmp_path / "val_data" / name / "gt" / "gt.txt", "1,4,5,6,7,8,1,2,1\n2,4,6,6,7,8,1,2,1\n")
    first, _ = open_dataset(tmp_path / "val_data", class_names=("car", "airplane", "ship", "train"))
    assert (first.name, first.class_names[1]) == ("001", "airplane")
    assert [found.class_ids.tolist() for found in first.truth] == [[1], [1]]
    assert [found.ids.tolist() for found in first.truth] == [[4], [4]]


def coco(categories: list[str], kind: int, **annotation: object) -> str:
    files = [f"001_00000{number}.jpg" for number in (2, 1)]
    content = {
        "images": [{"id": 10 - k, "file_name": name} for k, name in enumerate(files)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(categories, start=1)],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": kind, "obj_id": 3, "bbox": [1, 2, 3, 4], **annotation}
        ],
    }
    return json.dumps(content)


@pytest.mark.parametrize(
    ("categories", "kind"),
    [(["car", "airplane", "ship", "train"], 1), (["airplane", "car", "ship", "train"], 2)],
)
def test_coco_json_by_its_own_order_of_categories(tmp_path, categories, kind):
    images(tmp_path / "val_data" / "001" / "img1", 2, suffix="jpg", digits=6)
    write(tmp_path / "annotations" / "instances_val.json", coco(categories, kind))
    (video,) = open_dataset(tmp_path / "annotations" / "instances_val.json")
    assert (video.name, len(video)) == ("001", 2)
    assert [path.name for path in video.paths] == ["000001.jpg", "000002.jpg"]
    assert boxes_of(video) == [[[1, 2, 3, 4]], []]
    assert video.class_names[video.truth[0].class_ids[0]] == "car"


def test_coco_json_without_images_has_its_truth(tmp_path):
    write(tmp_path / "val.json", coco(["car"], 1))
    (video,) = open_dataset(tmp_path)
    assert boxes_of(video) == [[[1, 2, 3, 4]], []]
    with pytest.raises(SourceError, match="its images are not beside it"):
        list(video)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"image_id": 77}, "annotation 1: there is no image 77"),
        ({"category_id": 9}, "annotation 1: there is no category 9"),
        ({"obj_id": None}, "annotation 1: no identity"),
        ({"bbox": [1, 2, 0, 4]}, "annotation 1: no box"),
        ({"bbox": [1, 2, float("nan"), 4]}, "annotation 1: no box"),
    ],
)
def test_doubtful_annotations_are_named(tmp_path, annotation, reason):
    path = tmp_path / "val.json"
    write(path, coco(["car"], 1, **annotation))
    with pytest.raises(SourceError, match=f"val.json: {reason}"):
        open_dataset(path)
    (video,) = open_dataset(path, malformed="skip")
    assert boxes_of(video)[1] == []


def test_unknown_categories_are_refused(tmp_path):
    write(tmp_path / "val.json", coco(["boat"], 1))
    with pytest.raises(SourceError, match=r"'boat'.* is none of car, airplane, ship, train"):
        open_dataset(tmp_path)


def test_satmtb_eleven_columns_in_a_tree_of_labels(tmp_path):
    images(tmp_path / "img" / "airplane" / "11", 2, digits=6)
    images(tmp_path / "img" / "ship" / "2", 2, digits=6)
    write(tmp_path / "label" / "airplane" / "11.txt", "1,1,5,6,7,8,1,1,1,0,0\n2,1,5,6,7,8,1,1,1,0,0\n")
    airplane, ship = open_dataset(tmp_path)
    assert (airplane.name, airplane.class_names) == ("airplane/11", ("airplane",))
    assert boxes_of(airplane) == [[[5, 6, 7, 8]]] * 2
    assert boxes_of(ship) == [None, None]


def test_viso_all_zero_rows_are_named_or_skipped(tmp_path):
    images(tmp_path / "mot" / "car" / "001" / "img", 3, suffix="jpg", digits=6)
    write(tmp_path / "mot" / "car" / "001" / "gt" / "gt.txt", "1,1,5,6,7,8,1,1,1\n0,0,0,0,0,0,0,0,0\n")
    (video,) = open_dataset(tmp_path / "mot")
    assert video.name == "car/001"
    with pytest.raises(SourceError, match=r"gt\.txt:2: frame 0, but frames count from 1 to 3"):
        _ = video.truth
    (video,) = open_dataset(tmp_path / "mot", malformed="skip")
    assert boxes_of(video) == [[[5, 6, 7, 8]], [], []]


def test_sdm_car(tmp_path):
    images(tmp_path / "train" / "1-2" / "img1", 1, suffix="jpg", digits=6)
    write(tmp_path / "train" / "1-2" / "gt" / "gt.txt", "1,1,5,6,7,8,1,-1,-1,-1\n")
    (video,) = open_dataset(tmp_path)
    assert (video.name, boxes_of(video)) == ("train/1-2", [[[5, 6, 7, 8]]])


def test_one_folder_of_frames_with_otb_text_and_attributes(tmp_path):
    images(tmp_path / "ball" / "img", 2)
    write(tmp_path / "ball" / "groundtruth_rect.txt", "1,2,3,4\nNaN,NaN,NaN,NaN\n")
    write(tmp_path / "ball" / "attributes.yaml", "Ball: [OCC]\n")
    (video,) = open_dataset(tmp_path / "ball")
    assert (video.name, video.attributes, boxes_of(video)) == ("ball", ("OCC",), [[[1, 2, 3, 4]], []])


def test_links_to_videos_are_followed_and_circles_left_out(tmp_path):
    images(tmp_path / "disk" / "0001" / "img", 2)
    write(tmp_path / "disk" / "0001" / "groundtruth_rect.txt", "1,2,3,4\n5,6,7,8\n")
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    for name in ("ball", "car"):
        (chosen / name).symlink_to(tmp_path / "disk" / "0001")
    (tmp_path / "disk" / "0001" / "again").symlink_to(chosen)
    ball, car = open_dataset(chosen)
    assert (ball.name, car.name) == ("ball", "car")
    assert boxes_of(ball) == boxes_of(car) == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_attributes_as_zeros_and_ones(tmp_path):
    write(tmp_path / "Car.txt", "1 2 3 4\n")
    write(tmp_path / "att" / "car.txt", "1,0,0,1,0,0,0,0,0,0,1\n")
    (video,) = open_dataset(tmp_path)
    assert (video.name, video.attributes) == ("Car", ("IV", "OCC", "LR"))
    write(tmp_path / "att" / "names.txt", "BC\nDEF\n")
    with pytest.raises(SourceError, match=r"car\.txt: 2 zeros and ones are expected, of BC, DEF"):
        open_dataset(tmp_path)
    write(tmp_path / "att" / "car.txt", "0\t1\n")
    assert open_dataset(tmp_path)[0].attributes == ("DEF",)


def test_frames_are_read_one_at_a_time(tmp_path):
    images(tmp_path / "img", 5)
    (video,) = open_dataset(tmp_path)
    frames = iter(video)
    next(frames)
    (tmp_path / "img" / "0002.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"0002\.png is not an image"):
        next(frames)


def test_truth_without_images(tmp_path):
    for view in ("HSI", "HSI-FalseColor"):
        write(tmp_path / "hot" / "car" / view / "groundtruth_rect.txt", "1\t2\t3\t4\t\n")
    write(tmp_path / "hot" / "readme.txt", "not of a video")
    (car,) = open_dataset(tmp_path / "hot")
    assert (car.name, boxes_of(car)) == ("car", [[[1, 2, 3, 4]]])
    for name in ("10", "9"):
        write(tmp_path / "mot" / f"{name}.txt", "3,1,5,6,7,8,1\n")
    write(tmp_path / "named" / "bus2_gt.txt", "1\t2\t3\t4\t\n")
    assert [video.name for video in open_dataset(tmp_path / "named")] == ["bus2"]
    nine, ten = open_dataset(tmp_path / "mot")
    assert (nine.name, ten.name, len(ten)) == ("9", "10", 3)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(SourceError, match="nothing at"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no videos"):
        open_dataset(tmp_path)
    write(tmp_path / "attributes.yaml", "- car\n")
    write(tmp_path / "a.txt", "1 2 3 4\n")
    with pytest.raises(SourceError, match=r"attributes\.yaml does not map"):
        open_dataset(tmp_path)
