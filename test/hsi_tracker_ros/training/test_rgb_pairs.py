"""Tests of the images and pairs that a tracker of color images is trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hsi_tracker_ros.hanet.config import HANET_EDGE
from hsi_tracker_ros.photographs import Photograph, find_photographs
from hsi_tracker_ros.training.object_images import (
    ObjectSequence,
    read_color_image,
    select_object_sequences,
)
from hsi_tracker_ros.training.rgb_pairs import RgbAugmentationSettings, RgbPairDataset
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError

CONFIG = replace(HANET_EDGE, spectral=None)
OBJECT_COLOR = (40, 60, 240)
PLAIN = RgbAugmentationSettings(
    flip=0.0, gray=0.0, blur=0.0, coarse=0.0, occluded=0.0, color=0.0, unpaired=0.0, elsewhere=0.0
)


def write_image(path: Path, box: tuple[int, int, int, int]) -> None:
    """Write a gray image with an object of one color in a box."""
    image = np.full((120, 160, 3), 90, np.uint8)
    x, y, width, height = box
    image[y : y + height, x : x + width] = OBJECT_COLOR
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


@pytest.fixture
def sequence(tmp_path: Path) -> ObjectSequence:
    boxes = [(20 + 4 * index, 30, 24, 16) for index in range(5)]
    for index, box in enumerate(boxes, start=1):
        write_image(tmp_path / f"walk/img/{index:04}.png", box)
    rows = [f"{x},{y},{width},{height}\n" for x, y, width, height in boxes]
    (tmp_path / "walk/groundtruth_rect.txt").write_text("".join(rows))
    (found,) = select_object_sequences(open_dataset(tmp_path / "walk"))
    return found


@pytest.fixture
def photographs(tmp_path: Path) -> list[Photograph]:
    for number in range(2):
        write_image(tmp_path / f"photos/{number}.png", (60, 40, 40, 30))
    (tmp_path / "photos/0.txt").write_text("3 0.5 0.458333 0.25 0.25\n")
    return find_photographs(tmp_path / "photos")


def measure_object(search: torch.Tensor) -> np.ndarray:
    """Return left, top, right and bottom of the pixels with the object's color."""
    image = search.numpy().transpose(1, 2, 0)
    ys, xs = np.nonzero(np.abs(image - OBJECT_COLOR).max(axis=2) < 60)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


@pytest.mark.parametrize("from_photographs", [0.0, 1.0])
def test_pair_box_contains_the_object(
    sequence: ObjectSequence, photographs: list[Photograph], from_photographs: float
) -> None:
    settings = replace(PLAIN, from_photographs=from_photographs, pasted=0.0)
    dataset = RgbPairDataset([sequence], photographs[:1], CONFIG, settings, seed=0, length=8)

    for index in range(len(dataset)):
        pair = dataset[index]
        box = pair.box.numpy()
        assert pair.is_paired
        assert pair.template.shape == (3, 127, 127)
        assert pair.search.shape == (3, 255, 255)
        np.testing.assert_allclose(measure_object(pair.search), np.clip(box, 0, 255), atol=3)


def test_pair_flip_mirrors_the_box(sequence: ObjectSequence) -> None:
    settings = replace(PLAIN, from_photographs=0.0)
    plain = RgbPairDataset([sequence], [], CONFIG, settings, seed=3, length=4)
    flipped = RgbPairDataset([sequence], [], CONFIG, replace(settings, flip=1.0), seed=3, length=4)

    for index in range(4):
        np.testing.assert_allclose(flipped[index].search, plain[index].search.flip(2))
        left, top, right, bottom = plain[index].box
        np.testing.assert_allclose(flipped[index].box, [255 - right, top, 255 - left, bottom], atol=1e-4)


def test_pasted_object_fills_its_box(photographs: list[Photograph]) -> None:
    settings = replace(PLAIN, from_photographs=1.0, pasted=1.0)
    dataset = RgbPairDataset([], [photographs[0], photographs[0]], CONFIG, settings, seed=1, length=6)

    for index in range(len(dataset)):
        pair = dataset[index]
        left, top, right, bottom = np.clip(pair.box.numpy().round().astype(int), 0, 255)
        inside = pair.search.numpy()[:, (top + bottom) // 2, (left + right) // 2]
        np.testing.assert_allclose(inside, OBJECT_COLOR, atol=40)


def test_pairs_depend_on_seed_and_index_alone(
    sequence: ObjectSequence, photographs: list[Photograph]
) -> None:
    first, second, other = (
        RgbPairDataset([sequence], photographs, CONFIG, RgbAugmentationSettings(), seed, length=9)
        for seed in (1, 1, 2)
    )
    first[3]

    np.testing.assert_array_equal(first[7].search, second[7].search)
    assert not np.array_equal(first[7].search, other[7].search)


def test_unpaired_pairs_are_marked(sequence: ObjectSequence, photographs: list[Photograph]) -> None:
    settings = RgbAugmentationSettings(unpaired=1.0)
    dataset = RgbPairDataset([sequence], photographs, CONFIG, settings, seed=0, length=6)

    assert not any(dataset[index].is_paired for index in range(6))


def test_photograph_boxes_are_fractions(photographs: list[Photograph]) -> None:
    np.testing.assert_allclose(photographs[0].boxes, [[0.375, 0.333333, 0.25, 0.25]], atol=1e-5)
    assert photographs[1].boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "text", ["0 0.5 0.5 0.2\n", "0 0.5 0.5 0 0.2\n", "0 1.5 0.5 0.1 0.2\n", "a b c d e\n"]
)
def test_invalid_photograph_boxes_are_refused(tmp_path: Path, text: str) -> None:
    write_image(tmp_path / "a.png", (10, 10, 20, 20))
    (tmp_path / "a.txt").write_text(text)

    with pytest.raises(SourceError, match=r"a\.txt"):
        find_photographs(tmp_path)


def test_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no photographs"):
        find_photographs(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
def test_photographs_of_all_formats_are_found_and_read_as_color(tmp_path: Path, suffix: str) -> None:
    gray = np.full((20, 30), 77, np.uint8)
    cv2.imwrite(str(tmp_path / f"a{suffix.upper()}"), gray)

    (photograph,) = find_photographs(tmp_path)

    image = read_color_image(photograph.path)
    assert image.shape == (20, 30, 3)
    assert np.abs(image.astype(int) - 77).max() <= 2


def test_damaged_photograph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, (10, 10, 20, 20))
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(SourceError, match=r"a\.png.*remove it from the training data"):
        read_color_image(path)


def test_dataset_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match="must be given"):
        RgbPairDataset([], [], CONFIG, PLAIN, seed=0, length=1)
