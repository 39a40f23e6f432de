"""SatVideoDT and ICPR as COCO json: truth of all videos of a set in one file, images beside it.

The two json files in circulation number their categories differently; their names, in the file, decide.
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
from tracking_runtime.io.disk_list import Made, SpooledMapping
from tracking_runtime.io.sources import natural
from tracking_runtime.io.table_reader import Malformed

CLASS_NAMES = ("car", "airplane", "ship", "train")

_IDENTITIES = ("obj_id", "track_id", "instance_id")


def coco_sequences(path: Path, *, malformed: Malformed = "raise") -> list[VideoSequence]:
    """The videos of a file, in natural order; those whose images are not found have only their truth.

    Args:
        path: of the json file.
        malformed: ``skip`` leaves out annotations that cannot be believed, and with them their frames' truth.

    Raises:
        SourceError: the file is not such a file, or an annotation cannot be believed; the message names it.
    """
    content = _read(path)
    classes = _classes(path, content["categories"])
    truths = _truths(path, content, classes, malformed)
    videos: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for image in content["images"]:
        videos[_video_of(image["file_name"])].append(image)
    return [
        _sequence(path, name, sorted(images, key=lambda image: natural(Path(image["file_name"]))), truths)
        for name, images in sorted(videos.items(), key=lambda item: natural(Path(item[0])))
    ]


@dataclass(frozen=True)
class _Known:
    truths: Truths

    def __call__(self) -> Truths:
        return self.truths


def _sequence(
    path: Path, name: str, images: list[Mapping[str, Any]], truths: Mapping[int, GroundTruth | None]
) -> VideoSequence:
    ids = [image["id"] for image in images]
    known = _Known(Made(len(ids), lambda index: truths.get(ids[index], GroundTruth())))
    paths = [_image_path(path, image["file_name"]) for image in images]
    found = tuple(place for place in paths if place is not None)
    if len(found) == len(images):
        return ImageSequence(name, found, known, class_names=CLASS_NAMES)
    if found:
        missing = images[paths.index(None)]["file_name"]
        raise SourceError(f"{path}: {len(images) - len(found)} images of {name} are missing, first {missing}")
    return TruthSequence(name, path, known, CLASS_NAMES)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(content[key], list) for key in ("images", "annotations", "categories")):
            raise TypeError("images, annotations and categories are lists")
        return {key: content[key] for key in ("images", "annotations", "categories")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is not truth in COCO's format: {error}") from error


def _classes(path: Path, categories: list[Mapping[str, Any]]) -> dict[int, int]:
    """Our class id of each of the file's category ids."""
    aliases = {"plane": "airplane", "aircraft": "airplane", "vehicle": "car"}
    classes = {}
    for category in categories:
        name = str(category.get("name", "")).casefold()
        name = aliases.get(name, name)
        if name not in CLASS_NAMES:
            raise SourceError(f"{path}: category {category} is none of {', '.join(CLASS_NAMES)}")
        classes[int(category["id"])] = CLASS_NAMES.index(name)
    return classes


def _truths(
    path: Path, content: Mapping[str, Any], classes: Mapping[int, int], malformed: Malformed
) -> Mapping[int, GroundTruth | None]:
    objects: dict[int, dict[int, tuple[int, list[float]]]] = defaultdict(dict)
    doubtful: set[int] = set()
    images = {image["id"] for image in content["images"]}
    for annotation in content["annotations"]:
        image = annotation.get("image_id")
        reason = _doubt(annotation, images, classes) or (
            f"object {_identity(annotation)} is in image {image} twice"
            if _identity(annotation) in objects[image]
            else ""
        )
        if not reason:
            kind = classes[annotation["category_id"]]
            objects[image][int(_identity(annotation))] = kind, annotation["bbox"]
        elif malformed == "raise":
            raise SourceError(f"{path}: annotation {annotation.get('id', '?')}: {reason}")
        else:
            doubtful.add(image)
    return SpooledMapping(
        (image, None if image in doubtful else _truth(objects[image])) for image in {*objects, *doubtful}
    )


def _doubt(annotation: Mapping[str, Any], images: set[int], classes: Mapping[int, int]) -> str:
    box = annotation.get("bbox")
    if annotation.get("image_id") not in images:
        return f"there is no image {annotation.get('image_id')}"
    if annotation.get("category_id") not in classes:
        return f"there is no category {annotation.get('category_id')}"
    if not isinstance(_identity(annotation), int):
        return f"no identity; it is looked for as {', '.join(_IDENTITIES)}"
    if not isinstance(box, list) or len(box) != 4 or not all(math.isfinite(value) for value in box):
        return f"no box: {box}"
    return "" if min(box[2:]) > 0 else f"no box: {box}"


def _identity(annotation: Mapping[str, Any]) -> Any:
    return next((annotation[key] for key in _IDENTITIES if key in annotation), None)


def _truth(objects: Mapping[int, tuple[int, list[float]]]) -> GroundTruth:
    return GroundTruth(
        ids=np.array(list(objects), np.int64),
        class_ids=np.array([kind for kind, _ in objects.values()], np.uint8),
        boxes=as_boxes([box for _, box in objects.values()]),
    )


def _video_of(file_name: str) -> str:
    """``001_000001.jpg`` is of 001, ``img/airplane/11/000001.png`` of airplane/11."""
    place = PurePosixPath(file_name)
    parts = [part for part in place.parts[:-1] if part not in ("img", "img1", "images")]
    return "/".join(parts) if parts else place.stem.rpartition("_")[0]


def _image_path(json_path: Path, file_name: str) -> Path | None:
    return next((path for path in _image_places(json_path, file_name) if path.is_file()), None)


def _image_places(json_path: Path, file_name: str) -> Iterator[Path]:
    video, _, number = PurePosixPath(file_name).name.rpartition("_")
    split = json_path.stem.rpartition("_")[2]
    for root in (json_path.parent, json_path.parent.parent):
        for folder in (root, root / "images", root / f"{split}_data", root / split):
            yield folder / file_name
            if video:
                yield from (folder / video / inside / number for inside in ("img1", "img", ""))
