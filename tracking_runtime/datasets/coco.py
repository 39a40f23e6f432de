"""SatVideoDT and ICPR as COCO json: ground truth of all videos of a set in one file, images beside it.

The two json files in circulation number their categories differently. The category names in the file decide.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.errors import SourceError, UnsafePathError
from tracking_runtime.files import resolve_inside
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import DiskDict, LazySequence
from tracking_runtime.io.image_file import make_natural_sort_key
from tracking_runtime.io.notes import add_note
from tracking_runtime.io.table_reader import MAX_WHOLE_NUMBER, InvalidRowError, OnInvalidRow, check_box
from tracking_runtime.untrusted.files import read_file

CLASS_NAMES = ("car", "airplane", "ship", "train")

_CLASS_ALIASES = {"plane": "airplane", "aircraft": "airplane", "vehicle": "car"}
_IDENTITY_KEYS = ("obj_id", "track_id", "instance_id")
_KEYS = ("images", "annotations", "categories")

Id = int | str
"""Id of an image or category: a whole number, or a text that is none."""


@dataclass(frozen=True)
class _Image:
    """An image of the file.

    Attributes:
        id: id of the image.
        file_name: path of the image with `/` between its parts, relative to a folder near the file.
    """

    id: Id
    file_name: str


@dataclass(frozen=True)
class _Object:
    """An annotation that is valid."""

    image_id: Id
    class_id: int
    identity: int
    box: tuple[float, ...]


class _AnnotationError(ValueError):
    """An annotation that cannot be used. The message is the reason."""


def is_coco(path: Path) -> bool:
    """Return whether a json file has images and annotations as COCO, without parsing it."""
    try:
        content = read_file(path)
    except OSError:
        return False
    return b'"images"' in content and b'"annotations"' in content


def open_coco(path: Path, *, on_invalid_row: OnInvalidRow = "raise") -> list[VideoSequence]:
    """Open the videos of a COCO json in natural order. A video without images has only its ground truth.

    Args:
        path: json file.
        on_invalid_row: `skip` leaves out invalid annotations and the ground truth of their frames.

    Raises:
        SourceError: the file is not COCO json, an annotation is invalid, or a file name leads out of the
            folder. The message names the place.
    """
    content = _read_json(path)
    class_ids = _read_categories(path, content["categories"])
    all_images = _read_images(path, content["images"])
    truths, note = _read_truths(path, content["annotations"], all_images, class_ids, on_invalid_row)
    videos: dict[str, list[_Image]] = defaultdict(list)
    for image in all_images:
        videos[_parse_video_name(image.file_name) or path.stem].append(image)
    return [
        _make_sequence(
            path,
            name,
            sorted(images, key=lambda image: make_natural_sort_key(Path(image.file_name))),
            truths,
            note,
        )
        for name, images in sorted(videos.items(), key=lambda item: make_natural_sort_key(Path(item[0])))
    ]


@dataclass(frozen=True)
class _LoadedTruth:
    """Ground truth that is already read, in the form of a reader function."""

    truths: Truths
    note: str = ""

    def __call__(self) -> Truths:
        if self.note:
            add_note(self.note)
        return self.truths


def _make_sequence(
    path: Path, name: str, images: list[_Image], truths: Mapping[Id, GroundTruth | None], note: str
) -> VideoSequence:
    ids = [image.id for image in images]
    truth = _LoadedTruth(LazySequence(len(ids), lambda index: truths.get(ids[index], GroundTruth())), note)
    image_paths = [_find_image(path, image.file_name) for image in images]
    existing = tuple(image_path for image_path in image_paths if image_path is not None)
    if len(existing) == len(images):
        return ImageSequence(name, existing, truth, class_names=CLASS_NAMES)
    if existing:
        missing = images[image_paths.index(None)].file_name
        num_missing = len(images) - len(existing)
        raise SourceError(f"{path}: {num_missing} images of {name} are missing, first {missing}")
    return TruthSequence(name, path, truth, CLASS_NAMES)


def _read_json(path: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Read the lists of the file, whose items are mappings."""
    try:
        content = json.loads(read_file(path))
        if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in _KEYS):
            raise TypeError("images, annotations and categories must be lists; add or correct them")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SourceError(
            f"{path} is not ground truth in COCO format: {error or 'nested too deep'}"
        ) from error
    for key in _KEYS:
        for index, item in enumerate(content[key]):
            if not isinstance(item, dict):
                raise SourceError(f"{path}: {key}[{index}] must be an object with keys: got {_shorten(item)}")
    return {key: content[key] for key in _KEYS}


def _read_categories(path: Path, categories: list[Mapping[str, Any]]) -> dict[Id, int]:
    """Return the class id of each category id of the file."""
    class_ids = {}
    for index, category in enumerate(categories):
        name = str(category.get("name", "")).strip().casefold()
        name = _CLASS_ALIASES.get(name, name)
        if name not in CLASS_NAMES:
            raise SourceError(f"{path}: category {_shorten(category)} is none of {', '.join(CLASS_NAMES)}")
        class_ids[_read_id(path, f"categories[{index}]", category)] = CLASS_NAMES.index(name)
    return class_ids


def _read_images(path: Path, images: list[Mapping[str, Any]]) -> list[_Image]:
    result: dict[Id, _Image] = {}
    for index, image in enumerate(images):
        place = f"images[{index}]"
        image_id = _read_id(path, place, image)
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise SourceError(f"{path}: {place} must have a file_name: got {_shorten(name)}")
        if image_id in result:
            raise SourceError(f"{path}: {place} has the id {image_id} of another image; ids must be unique")
        result[image_id] = _Image(image_id, _check_file_name(path, place, name))
    return list(result.values())


def _check_file_name(path: Path, place: str, name: str) -> str:
    """Return a file name with `/` between its parts. Raise SourceError unless it stays in a folder."""
    windows_path = PureWindowsPath(name)  # takes both slashes as separators
    if windows_path.drive or windows_path.root or ".." in windows_path.parts or "\0" in name:
        raise SourceError(
            f"{path}: {place}: file_name must be a path inside the folder of the file, without '..': "
            f"got {_shorten(name)}"
        )
    return windows_path.as_posix()


def _read_id(path: Path, place: str, item: Mapping[str, Any]) -> Id:
    value = _normalize_id(item.get("id"))
    if value is None:
        raise SourceError(f"{path}: {place} must have an id: got {_shorten(item.get('id'))}")
    return value


def _normalize_id(value: Any) -> Id | None:
    """Return an id as a whole number if it is one, also if it is written as text; None if it is no id."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) <= MAX_WHOLE_NUMBER and value == int(value) else None


def _read_truths(
    path: Path,
    annotations: list[Mapping[str, Any]],
    images: list[_Image],
    class_ids: Mapping[Id, int],
    on_invalid_row: OnInvalidRow,
) -> tuple[Mapping[Id, GroundTruth | None], str]:
    """Return the ground truth by image id, None if a skipped annotation belongs to the image, and a note."""
    objects: dict[Id, dict[int, _Object]] = defaultdict(dict)
    invalid_images: set[Id | None] = set()
    image_ids = {image.id for image in images}
    reasons = []
    for index, annotation in enumerate(annotations):
        try:
            item = _parse_annotation(annotation, image_ids, class_ids)
            if item.identity in objects[item.image_id]:
                raise _AnnotationError(f"object {item.identity} is in image {item.image_id} twice")
            objects[item.image_id][item.identity] = item
        except _AnnotationError as error:
            reason = f"annotation {annotation.get('id', f'[{index}]')}: {error}"
            if on_invalid_row == "raise":
                raise SourceError(f"{path}: {reason}") from error
            reasons.append(reason)
            invalid_images.add(_normalize_id(annotation.get("image_id")))
    truths: DiskDict[Id, GroundTruth | None] = DiskDict(
        (image_id, None if image_id in invalid_images else _make_truth(objects[image_id]))
        for image_id in image_ids & {*objects, *invalid_images}
    )
    note = f"{path}: {len(reasons)} annotations left out, the first: {reasons[0]}" if reasons else ""
    return truths, note


def _parse_annotation(
    annotation: Mapping[str, Any], image_ids: set[Id], class_ids: Mapping[Id, int]
) -> _Object:
    """Return an annotation with numbers for the numbers that are written as text.

    Raises:
        _AnnotationError: the annotation is invalid.
    """
    image_id = _normalize_id(annotation.get("image_id"))
    if image_id is None or image_id not in image_ids:
        raise _AnnotationError(f"image {_shorten(annotation.get('image_id'))} is not in the file")
    category_id = _normalize_id(annotation.get("category_id"))
    if category_id is None or category_id not in class_ids:
        raise _AnnotationError(f"category {_shorten(annotation.get('category_id'))} is not in the file")
    given = next((annotation[key] for key in _IDENTITY_KEYS if key in annotation), None)
    identity = _normalize_id(given)
    if not isinstance(identity, int) or identity < 0:
        raise _AnnotationError(
            f"identity must be an integer: got {_shorten(given)}; keys are {', '.join(_IDENTITY_KEYS)}"
        )
    return _Object(image_id, class_ids[category_id], identity, _parse_box(annotation.get("bbox")))


def _parse_box(box: Any) -> tuple[float, ...]:
    if not isinstance(box, list) or len(box) != 4:
        raise _AnnotationError(f"bbox must be 4 numbers: got {_shorten(box)}")
    try:
        values = tuple(float(value) for value in box if not isinstance(value, bool))
    except (TypeError, ValueError, OverflowError):
        values = ()
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise _AnnotationError(f"bbox must be 4 numbers: got {_shorten(box)}")
    if min(values[2:]) <= 0:
        raise _AnnotationError(f"bbox must have a width and a height: got {_shorten(box)}")
    try:
        return check_box(values)
    except InvalidRowError as error:
        raise _AnnotationError(str(error)) from error


def _make_truth(objects: Mapping[int, _Object]) -> GroundTruth:
    return GroundTruth(
        ids=np.array(list(objects), np.int64),
        class_ids=np.array([item.class_id for item in objects.values()], np.uint8),
        boxes=as_boxes([item.box for item in objects.values()]),
    )


def _parse_video_name(file_name: str) -> str:
    """Return the video of an image: 001 of `001_000001.jpg`, airplane/11 of `img/airplane/11/000001.png`."""
    path = PurePosixPath(file_name)
    parts = [part for part in path.parts[:-1] if part not in ("img", "img1", "images")]
    return "/".join(parts) if parts else path.stem.rpartition("_")[0]


def _find_image(json_path: Path, file_name: str) -> Path | None:
    """Find an image in the folder of the file or of its parent; None if no candidate exists.

    Raises:
        SourceError: a link leads out of that folder.
    """
    for root, name in _iterate_image_paths(json_path, file_name):
        try:
            if resolve_inside(root, name).is_file():
                return root / name
        except UnsafePathError as error:
            raise SourceError(f"{json_path}: file_name {error}") from error
    return None


def _iterate_image_paths(json_path: Path, file_name: str) -> Iterator[tuple[Path, str]]:
    """Yield root folders, and paths below them at which the image may be, in order of preference.

    A name `VIDEO_NUMBER` is also tried as `VIDEO/img1/NUMBER`, `VIDEO/img/NUMBER` and `VIDEO/NUMBER`.
    """
    video, _, number = PurePosixPath(file_name).name.rpartition("_")
    split = json_path.stem.rpartition("_")[2]
    for root in (json_path.parent, json_path.resolve().parent.parent):
        for folder in ("", "images/", f"{split}_data/", f"{split}/"):
            yield root, f"{folder}{file_name}"
            if video:
                yield from (
                    (root, f"{folder}{video}/{subfolder}{number}") for subfolder in ("img1/", "img/", "")
                )


def _shorten(value: Any) -> str:
    """Return a value as text, for a message."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
