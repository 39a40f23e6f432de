"""SatVideoDT and ICPR as COCO json: ground truth of all videos of a set in one file, images beside it.

The two json files in circulation number their categories differently. The category names in the file decide.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import DiskDict, LazySequence
from tracking_runtime.io.image_folder import make_natural_sort_key
from tracking_runtime.io.table_reader import OnInvalidRow

CLASS_NAMES = ("car", "airplane", "ship", "train")

_CLASS_ALIASES = {"plane": "airplane", "aircraft": "airplane", "vehicle": "car"}
_IDENTITY_KEYS = ("obj_id", "track_id", "instance_id")


def open_coco(path: Path, *, on_invalid_row: OnInvalidRow = "raise") -> list[VideoSequence]:
    """Open the videos of a COCO json in natural order. A video without images has only its ground truth.

    Args:
        path: json file.
        on_invalid_row: `skip` leaves out invalid annotations and the ground truth of their frames.

    Raises:
        SourceError: the file is not COCO json, or an annotation is invalid. The message names it.
    """
    content = _read_json(path)
    class_ids = _map_categories(path, content["categories"])
    truths = _read_truths(path, content, class_ids, on_invalid_row)
    videos: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for image in content["images"]:
        videos[_parse_video_name(image["file_name"])].append(image)
    return [
        _make_sequence(
            path,
            name,
            sorted(images, key=lambda image: make_natural_sort_key(Path(image["file_name"]))),
            truths,
        )
        for name, images in sorted(videos.items(), key=lambda item: make_natural_sort_key(Path(item[0])))
    ]


@dataclass(frozen=True)
class _LoadedTruth:
    """Ground truth that is already read, in the form of a reader function."""

    truths: Truths

    def __call__(self) -> Truths:
        return self.truths


def _make_sequence(
    path: Path, name: str, images: list[Mapping[str, Any]], truths: Mapping[int, GroundTruth | None]
) -> VideoSequence:
    ids = [image["id"] for image in images]
    truth = _LoadedTruth(LazySequence(len(ids), lambda index: truths.get(ids[index], GroundTruth())))
    image_paths = [_find_image(path, image["file_name"]) for image in images]
    existing = tuple(image_path for image_path in image_paths if image_path is not None)
    if len(existing) == len(images):
        return ImageSequence(name, existing, truth, class_names=CLASS_NAMES)
    if existing:
        missing = images[image_paths.index(None)]["file_name"]
        num_missing = len(images) - len(existing)
        raise SourceError(f"{path}: {num_missing} images of {name} are missing, first {missing}")
    return TruthSequence(name, path, truth, CLASS_NAMES)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(content[key], list) for key in ("images", "annotations", "categories")):
            raise TypeError("images, annotations and categories must be lists")
        return {key: content[key] for key in ("images", "annotations", "categories")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is not ground truth in COCO format: {error}") from error


def _map_categories(path: Path, categories: list[Mapping[str, Any]]) -> dict[int, int]:
    """Return the class id of each category id of the file."""
    class_ids = {}
    for category in categories:
        name = str(category.get("name", "")).casefold()
        name = _CLASS_ALIASES.get(name, name)
        if name not in CLASS_NAMES:
            raise SourceError(f"{path}: category {category} is none of {', '.join(CLASS_NAMES)}")
        class_ids[int(category["id"])] = CLASS_NAMES.index(name)
    return class_ids


def _read_truths(
    path: Path, content: Mapping[str, Any], class_ids: Mapping[int, int], on_invalid_row: OnInvalidRow
) -> Mapping[int, GroundTruth | None]:
    """Return the ground truth by image id; None if an annotation of the image is invalid and skipped."""
    objects: dict[int, dict[int, tuple[int, list[float]]]] = defaultdict(dict)
    invalid_images: set[int] = set()
    image_ids = {image["id"] for image in content["images"]}
    for annotation in content["annotations"]:
        image_id = annotation.get("image_id")
        identity = _get_identity(annotation)
        reason = _find_error(annotation, image_ids, class_ids)
        if not reason and identity in objects[image_id]:
            reason = f"object {identity} is in image {image_id} twice"
        if not reason:
            objects[image_id][identity] = class_ids[annotation["category_id"]], annotation["bbox"]
        elif on_invalid_row == "raise":
            raise SourceError(f"{path}: annotation {annotation.get('id', '?')}: {reason}")
        else:
            invalid_images.add(image_id)
    return DiskDict(
        (image_id, None if image_id in invalid_images else _make_truth(objects[image_id]))
        for image_id in {*objects, *invalid_images}
    )


def _find_error(annotation: Mapping[str, Any], image_ids: set[int], class_ids: Mapping[int, int]) -> str:
    """Return the reason why an annotation is invalid, empty if it is valid."""
    if annotation.get("image_id") not in image_ids:
        return f"image {annotation.get('image_id')} is not in the file"
    if annotation.get("category_id") not in class_ids:
        return f"category {annotation.get('category_id')} is not in the file"
    identity = _get_identity(annotation)
    if not isinstance(identity, int):
        return f"identity must be an integer: got {identity!r}; keys are {', '.join(_IDENTITY_KEYS)}"
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(math.isfinite(value) for value in box):
        return f"bbox must be 4 numbers: got {box}"
    return "" if min(box[2:]) > 0 else f"bbox must have a width and a height: got {box}"


def _get_identity(annotation: Mapping[str, Any]) -> Any:
    return next((annotation[key] for key in _IDENTITY_KEYS if key in annotation), None)


def _make_truth(objects: Mapping[int, tuple[int, list[float]]]) -> GroundTruth:
    return GroundTruth(
        ids=np.array(list(objects), np.int64),
        class_ids=np.array([class_id for class_id, _ in objects.values()], np.uint8),
        boxes=as_boxes([box for _, box in objects.values()]),
    )


def _parse_video_name(file_name: str) -> str:
    """Return the video of an image: 001 of `001_000001.jpg`, airplane/11 of `img/airplane/11/000001.png`."""
    path = PurePosixPath(file_name)
    parts = [part for part in path.parts[:-1] if part not in ("img", "img1", "images")]
    return "/".join(parts) if parts else path.stem.rpartition("_")[0]


def _find_image(json_path: Path, file_name: str) -> Path | None:
    return next((path for path in _list_image_candidates(json_path, file_name) if path.is_file()), None)


def _list_image_candidates(json_path: Path, file_name: str) -> Iterator[Path]:
    video, _, number = PurePosixPath(file_name).name.rpartition("_")
    split = json_path.stem.rpartition("_")[2]
    for root in (json_path.parent, json_path.parent.parent):
        for folder in (root, root / "images", root / f"{split}_data", root / split):
            yield folder / file_name
            if video:
                yield from (folder / video / subfolder / number for subfolder in ("img1", "img", ""))
