"""Benchmarks in their original layouts: names, frames, ground truth and bands."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError


def write_images(
    folder: Path, count: int, *, suffix: str = "png", is_mosaic: bool = False, digits: int = 4
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        color = np.full((16, 20, 3), number, np.uint8)
        image = np.full((16, 20), 300 * number, np.uint16) if is_mosaic else color
        cv2.imwrite(str(folder / f"{number:0{digits}}.{suffix}"), image)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def list_boxes(video) -> list[list[list[float]] | None]:
    """Return the boxes of each frame; None without ground truth."""
    return [None if truth is None else truth.boxes.tolist() for truth in video.truth]


@pytest.fixture
def hot_2020(tmp_path) -> Path:
    """Two videos in the layout of HOT 2020, as mosaics and in false color."""
    for name in ("car", "pedestrain2"):
        folder = tmp_path / "test" / name
        write_images(folder / "HSI", 3, is_mosaic=True)
        write_images(folder / "HSI-FalseColor", 3, suffix="jpg")
        for view in ("HSI", "HSI-FalseColor"):
            write_text(folder / view / "groundtruth_rect.txt", "1\t2\t3\t4\t\n" * 3)
    return tmp_path


def test_hot_2020_mosaics_have_bands_and_truth(hot_2020):
    car, pedestrian = open_dataset(hot_2020)

    frame = car.read_frame(1)
    assert (car.name, pedestrian.name, len(car)) == ("car", "pedestrain2", 3)
    assert (frame.encoding, int(frame.image[0, 0])) == ("mono16", 600)
    assert car.spectral_info.mosaic == (4, 4)
    assert (car.spectral_info.wavelengths_nm[0], car.spectral_info.wavelengths_nm[-1]) == (470, 620)
    assert list_boxes(car) == [[[1, 2, 3, 4]]] * 3


def test_hot_2020_view_selects_the_images(hot_2020):
    color, _ = open_dataset(hot_2020, view="false_color")

    assert color.read_frame(0).encoding == "bgr8"
    assert color.spectral_info is None
    with pytest.raises(SourceError, match="no rgb frames"):
        open_dataset(hot_2020, view="rgb")


def test_hot_2023_three_cameras_and_first_box(tmp_path):
    for camera in ("VIS", "NIR", "RedNIR"):
        write_images(tmp_path / "validation" / f"HSI-{camera}" / "ball", 2, is_mosaic=True)
        write_images(tmp_path / "validation" / f"HSI-{camera}-FalseColor" / "ball", 2, suffix="jpg")
    write_text(tmp_path / "validation" / "HSI-VIS" / "ball" / "init_rect.txt", "5 6 7 8\n")

    nir, red, vis = open_dataset(tmp_path)

    assert [video.name for video in (nir, red, vis)] == ["nir/ball", "rednir/ball", "vis/ball"]
    assert list_boxes(vis) == [[[5, 6, 7, 8]], None]
    assert list_boxes(nir) == [None, None]
    assert (nir.spectral_info.mosaic, len(nir.spectral_info.wavelengths_nm)) == ((5, 5), 25)
    assert (red.spectral_info.mosaic, len(red.spectral_info.wavelengths_nm)) == ((4, 4), 15)
    assert max(red.spectral_info.band_order) == 15  # the last filter is all zero and left out


def test_satvideodt_mot_text_has_classes(tmp_path):
    for name in ("001", "002"):
        write_images(tmp_path / "val_data" / name / "img1", 2, suffix="jpg", digits=6)
        write_text(tmp_path / "val_data" / name / "gt" / "gt.txt", "1,4,5,6,7,8,1,2,1\n2,4,6,6,7,8,1,2,1\n")

    first, _ = open_dataset(tmp_path / "val_data", class_names=("car", "airplane", "ship", "train"))

    assert (first.name, first.class_names[1]) == ("001", "airplane")
    assert [truth.class_ids.tolist() for truth in first.truth] == [[1], [1]]
    assert [truth.ids.tolist() for truth in first.truth] == [[4], [4]]


def make_coco(categories: list[str], category_number: int, **annotation: object) -> str:
    """Make a COCO json of two images and one annotation."""
    files = [f"001_00000{number}.jpg" for number in (2, 1)]
    valid = {"id": 1, "image_id": 9, "category_id": category_number, "obj_id": 3, "bbox": [1, 2, 3, 4]}
    content = {
        "images": [{"id": 10 - k, "file_name": name} for k, name in enumerate(files)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(categories, start=1)],
        "annotations": [{**valid, **annotation}],
    }
    return json.dumps(content)


@pytest.mark.parametrize(
    ("categories", "category_id"),
    [(["car", "airplane", "ship", "train"], 1), (["airplane", "car", "ship", "train"], 2)],
)
def test_coco_names_decide_the_classes(tmp_path, categories, category_id):
    write_images(tmp_path / "val_data" / "001" / "img1", 2, suffix="jpg", digits=6)
    path = tmp_path / "annotations" / "instances_val.json"
    write_text(path, make_coco(categories, category_id))

    (video,) = open_dataset(path)

    assert (video.name, len(video)) == ("001", 2)
    assert [image.name for image in video.image_paths] == ["000001.jpg", "000002.jpg"]
    assert list_boxes(video) == [[[1, 2, 3, 4]], []]
    assert video.class_names[video.truth[0].class_ids[0]] == "car"


def test_coco_without_images_has_only_truth(tmp_path):
    write_text(tmp_path / "val.json", make_coco(["car"], 1))

    (video,) = open_dataset(tmp_path)

    assert list_boxes(video) == [[[1, 2, 3, 4]], []]
    with pytest.raises(SourceError, match="its images are not beside it"):
        list(video)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"image_id": 77}, "image 77 is not in the file"),
        ({"category_id": 9}, "category 9 is not in the file"),
        ({"obj_id": None}, "identity must be an integer: got None"),
        ({"bbox": [1, 2, 0, 4]}, "bbox must have a width and a height"),
        ({"bbox": [1, 2, float("nan"), 4]}, "bbox must be 4 numbers"),
    ],
)
def test_coco_invalid_annotation_is_named_or_skipped(tmp_path, annotation, reason):
    path = tmp_path / "val.json"
    write_text(path, make_coco(["car"], 1, **annotation))

    (video,) = open_dataset(path, on_invalid_row="skip")

    assert list_boxes(video)[1] == []
    with pytest.raises(SourceError, match=f"val.json: annotation 1: {reason}"):
        open_dataset(path)


def test_coco_unknown_category_is_refused(tmp_path):
    write_text(tmp_path / "val.json", make_coco(["boat"], 1))

    with pytest.raises(SourceError, match=r"'boat'.* is none of car, airplane, ship, train"):
        open_dataset(tmp_path)


def test_satmtb_truth_is_in_a_tree_of_labels(tmp_path):
    write_images(tmp_path / "img" / "airplane" / "11", 2, digits=6)
    write_images(tmp_path / "img" / "ship" / "2", 2, digits=6)
    rows = "1,1,5,6,7,8,1,1,1,0,0\n2,1,5,6,7,8,1,1,1,0,0\n"
    write_text(tmp_path / "label" / "airplane" / "11.txt", rows)

    airplane, ship = open_dataset(tmp_path)

    assert (airplane.name, airplane.class_names) == ("airplane/11", ("airplane",))
    assert list_boxes(airplane) == [[[5, 6, 7, 8]]] * 2
    assert list_boxes(ship) == [None, None]


def test_viso_zero_row_is_named_or_skipped(tmp_path):
    write_images(tmp_path / "mot" / "car" / "001" / "img", 3, suffix="jpg", digits=6)
    rows = "1,1,5,6,7,8,1,1,1\n0,0,0,0,0,0,0,0,0\n"
    write_text(tmp_path / "mot" / "car" / "001" / "gt" / "gt.txt", rows)

    (strict,) = open_dataset(tmp_path / "mot")
    (tolerant,) = open_dataset(tmp_path / "mot", on_invalid_row="skip")

    assert strict.name == "car/001"
    with pytest.raises(SourceError, match=r"gt\.txt:2: frame 0, but frames count from 1 to 3"):
        _ = strict.truth
    assert list_boxes(tolerant) == [[[5, 6, 7, 8]], [], []]


def test_sdm_car_is_read(tmp_path):
    write_images(tmp_path / "train" / "1-2" / "img1", 1, suffix="jpg", digits=6)
    write_text(tmp_path / "train" / "1-2" / "gt" / "gt.txt", "1,1,5,6,7,8,1,-1,-1,-1\n")

    (video,) = open_dataset(tmp_path)

    assert (video.name, list_boxes(video)) == ("train/1-2", [[[5, 6, 7, 8]]])


def test_frame_folder_has_otb_text_and_attributes(tmp_path):
    write_images(tmp_path / "ball" / "img", 2)
    write_text(tmp_path / "ball" / "groundtruth_rect.txt", "1,2,3,4\nNaN,NaN,NaN,NaN\n")
    write_text(tmp_path / "ball" / "attributes.yaml", "Ball: [OCC]\n")

    (video,) = open_dataset(tmp_path / "ball")

    assert (video.name, video.attributes) == ("ball", ("OCC",))
    assert list_boxes(video) == [[[1, 2, 3, 4]], []]


def test_truth_beside_several_folders_belongs_to_none(tmp_path):
    for name in ("ball", "car"):
        write_images(tmp_path / "clips" / name, 2)
    write_text(tmp_path / "clips" / "gt.txt", "1,2,3,4\n5,6,7,8\n")
    write_images(tmp_path / "bus" / "camera", 2)
    write_text(tmp_path / "bus" / "gt.txt", "1,2,3,4\n5,6,7,8\n")

    camera, ball, car = open_dataset(tmp_path)

    assert [video.name for video in (camera, ball, car)] == ["bus/camera", "clips/ball", "clips/car"]
    assert list_boxes(camera) == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]
    assert list_boxes(ball) == list_boxes(car) == [None, None]


def test_links_are_followed_but_not_in_circles(tmp_path):
    write_images(tmp_path / "disk" / "0001" / "img", 2)
    write_text(tmp_path / "disk" / "0001" / "groundtruth_rect.txt", "1,2,3,4\n5,6,7,8\n")
    links = tmp_path / "links"
    links.mkdir()
    for name in ("ball", "car"):
        (links / name).symlink_to(tmp_path / "disk" / "0001")
    (tmp_path / "disk" / "0001" / "again").symlink_to(links)

    ball, car = open_dataset(links)

    assert (ball.name, car.name) == ("ball", "car")
    assert list_boxes(ball) == list_boxes(car) == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_attributes_file_of_flags_has_otb_order(tmp_path):
    write_text(tmp_path / "Car.txt", "1 2 3 4\n")
    write_text(tmp_path / "att" / "car.txt", "1,0,0,1,0,0,0,0,0,0,1\n")

    (video,) = open_dataset(tmp_path)

    assert (video.name, video.attributes) == ("Car", ("IV", "OCC", "LR"))


def test_attributes_names_file_gives_the_order(tmp_path):
    write_text(tmp_path / "Car.txt", "1 2 3 4\n")
    write_text(tmp_path / "att" / "names.txt", "BC\nDEF\n")
    write_text(tmp_path / "att" / "car.txt", "1,0,0\n")

    with pytest.raises(SourceError, match=r"car\.txt must have 2 zeros and ones, for BC, DEF: got '1 0 0'"):
        open_dataset(tmp_path)
    write_text(tmp_path / "att" / "car.txt", "0\t1\n")
    (video,) = open_dataset(tmp_path)

    assert video.attributes == ("DEF",)


def test_frames_are_read_one_at_a_time(tmp_path):
    write_images(tmp_path / "img", 5)
    (video,) = open_dataset(tmp_path)
    frames = iter(video)

    next(frames)
    (tmp_path / "img" / "0002.png").write_bytes(b"no image")

    with pytest.raises(SourceError, match=r"0002\.png is not an image"):
        next(frames)


def test_hot_truth_without_images_is_one_video(tmp_path):
    for view in ("HSI", "HSI-FalseColor"):
        write_text(tmp_path / "hot" / "car" / view / "groundtruth_rect.txt", "1\t2\t3\t4\t\n")
    write_text(tmp_path / "hot" / "readme.txt", "not of a video")

    (car,) = open_dataset(tmp_path / "hot")

    assert (car.name, list_boxes(car)) == ("car", [[[1, 2, 3, 4]]])


def test_truth_files_are_named_by_their_video(tmp_path):
    for name in ("10", "9"):
        write_text(tmp_path / "mot" / f"{name}.txt", "3,1,5,6,7,8,1\n")
    write_text(tmp_path / "named" / "bus2_gt.txt", "1\t2\t3\t4\t\n")

    (bus,) = open_dataset(tmp_path / "named")
    nine, ten = open_dataset(tmp_path / "mot")

    assert bus.name == "bus2"
    assert (nine.name, ten.name, len(ten)) == ("9", "10", 3)


def test_empty_or_missing_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match="nothing at"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no videos"):
        open_dataset(tmp_path)


def test_invalid_attributes_file_is_refused(tmp_path):
    write_text(tmp_path / "attributes.yaml", "- car\n")
    write_text(tmp_path / "a.txt", "1 2 3 4\n")

    with pytest.raises(SourceError, match=r"attributes\.yaml does not map"):
        open_dataset(tmp_path)
