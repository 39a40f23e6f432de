"""Annotations as COCO video JSON: a list of videos, images with frame numbers, and objects with identities.

The layout is that of CocoVID (mmtracking, TAO): `videos`, `images` (`video_id`, `frame_id`), `annotations`
(`image_id`, `instance_id` or `track_id`, `bbox`) and `categories`. The layout of YouTube-VIS, with a list
`bboxes` per object, is read too.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.datasets.annotations import (
    ANNOTATION_BYTES,
    MAX_BOXES,
    MAX_CLASSES,
    MAX_FRAMES,
    AnnotatedTrack,
    Annotations,
    check_track,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.files import read_file

_IDENTITY_KEYS = ("instance_id", "track_id", "obj_id")
_ABSENT = ("videos", "images", "annotations", "categories")


def format_coco_video(annotations: Annotations) -> Iterator[str]:
    """Yield the text of a COCO video JSON with one video."""
    width, height = annotations.image_size
    names = annotations.file_names or tuple(
        f"{annotations.name}/{number:06d}.png" for number in range(1, annotations.num_frames + 1)
    )
    size = {"width": width, "height": height}
    yield '{"info": {"description": "tracks of a video"},\n"videos": '
    yield json.dumps([{"id": 1, "name": annotations.name, **size, "length": annotations.num_frames}])
    categories = [
        {"id": number, "name": name} for number, name in enumerate(annotations.class_names, start=1)
    ]
    yield f',\n"categories": {json.dumps(categories)},\n"images": [\n'
    images = (
        json.dumps({"id": index + 1, "video_id": 1, "frame_id": index, "file_name": name, **size})
        for index, name in enumerate(names)
    )
    yield from _join(images)
    yield '\n],\n"annotations": [\n'
    yield from _join(_format_objects(annotations))
    yield "\n]}\n"


def _format_objects(annotations: Annotations) -> Iterator[str]:
    category_ids = {name: number for number, name in enumerate(annotations.class_names, start=1)}
    number = 0
    for track in annotations.tracks:
        for index, frame in enumerate(track.frames.tolist()):
            number += 1
            box = track.boxes[index].tolist()
            yield json.dumps(
                {
                    "id": number,
                    "video_id": 1,
                    "image_id": frame + 1,
                    "instance_id": track.id,
                    "category_id": category_ids[track.label],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "occluded": bool(track.is_occluded[index]),
                    "keyframe": bool(track.is_keyframe[index]),
                }
            )


def _join(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines with commas between them."""
    separator = ""
    for line in lines:
        yield separator + line
        separator = ",\n"


def is_coco_video(path: Path) -> bool:
    """Return whether a JSON file is COCO video: a JSON object with a list `videos`."""
    try:
        return isinstance(_read_json(path).get("videos"), list)
    except SourceError:
        return False


def read_coco_video(path: Path) -> list[Annotations]:
    """Read the videos of a COCO video JSON.

    Args:
        path: JSON file.

    Raises:
        SourceError: the file is not COCO video, is too large, or an annotation is invalid. The message names
            the file.
    """
    content = _read_json(path)
    for key in _ABSENT:
        if not isinstance(content.get(key, []), list):
            raise SourceError(f"{path}: {key} must be a list: got {type(content[key]).__name__}")
    if "videos" not in content:
        raise SourceError(f"{path} must have a list videos: got keys {', '.join(map(str, content))[:100]}")
    reader = _Reader(path, content)
    return [reader.read_video(video) for video in reader.videos.values()]


class _Reader:
    """Objects of a file by their video."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path = path
        self.videos = self._index(content["videos"], "videos")
        names = {
            key: _get_text(path, category, "name")
            for key, category in self._index(content.get("categories", []), "categories").items()
        }
        if len(set(names.values())) > MAX_CLASSES:
            raise SourceError(f"{path}: at most {MAX_CLASSES} categories are supported: got {len(names)}")
        self._names = names
        self._images = self._index(content.get("images", []), "images")
        self._frames: dict[int, dict[int, int]] = defaultdict(dict)
        for key, image in self._images.items():
            video_id = _get_int(path, image, "video_id")
            frame = _get_int(path, image, "frame_id")
            if frame >= MAX_FRAMES or frame in self._frames[video_id].values():
                raise SourceError(f"{path}: image {key}: frame_id must be unique and small: got {frame}")
            self._frames[video_id][key] = frame
        self._objects: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        num_boxes = 0
        for annotation in self._index(content.get("annotations", []), "annotations").values():
            boxes = annotation.get("bboxes")
            num_boxes += len(boxes) if isinstance(boxes, list) else 1
            if num_boxes > MAX_BOXES:
                raise SourceError(f"{path}: at most {MAX_BOXES} boxes are read; split the file")
            self._objects[self._find_video(annotation)].append(annotation)

    def _index(self, items: list[Any], kind: str) -> dict[int, Mapping[str, Any]]:
        """Return JSON objects by their id."""
        indexed: dict[int, Mapping[str, Any]] = {}
        for number, item in enumerate(items, start=1):
            if not isinstance(item, dict):
                raise SourceError(
                    f"{self._path}: item {number} of {kind} must be an object: got {str(item)[:50]}"
                )
            key = _get_int(self._path, item, "id")
            if key in indexed:
                raise SourceError(f"{self._path}: id {key} of {kind} occurs twice")
            indexed[key] = item
        return indexed

    def _find_video(self, annotation: Mapping[str, Any]) -> int:
        if "image_id" in annotation:
            image_id = _get_int(self._path, annotation, "image_id")
            if image_id not in self._images:
                raise SourceError(f"{self._path}: annotation {annotation['id']}: no image {image_id}")
            video_id = _get_int(self._path, self._images[image_id], "video_id")
        else:
            video_id = _get_int(self._path, annotation, "video_id")
        if video_id not in self.videos:
            raise SourceError(f"{self._path}: annotation {annotation['id']}: no video {video_id}")
        return video_id

    def read_video(self, video: Mapping[str, Any]) -> Annotations:
        """Return the annotations of one video."""
        key = video["id"]
        frames = self._frames.get(key, {})
        first = min(frames.values(), default=0)  # frame numbers from 0 or from 1
        names = video.get("file_names")
        listed: list[Any] = names if isinstance(names, list) else []
        length = video.get("length")
        num_frames = max([number - first + 1 for number in frames.values()] + [len(listed)], default=0)
        if isinstance(length, int) and not isinstance(length, bool) and 0 < length <= MAX_FRAMES:
            num_frames = max(num_frames, length)
        rows: dict[int, list[tuple[int, list[Any], bool, bool]]] = defaultdict(list)
        labels: dict[int, str] = {}
        for annotation in self._objects.get(key, []):
            identity = self._get_identity(annotation)
            label = self._get_label(annotation)
            if labels.setdefault(identity, label) != label:
                raise SourceError(
                    f"{self._path}: annotation {annotation['id']}: object {identity} must have one category: "
                    f"got {labels[identity]} and {label}"
                )
            rows[identity] += self._list_boxes(annotation, frames, first)
        tracks = tuple(self._make_track(key, labels[key], items) for key, items in rows.items())
        num_frames = max([num_frames, *(int(track.frames[-1]) + 1 for track in tracks)])
        return Annotations(
            name=_get_text(self._path, video, "name") if "name" in video else self._guess_name(video, listed),
            tracks=tracks,
            class_names=tuple(dict.fromkeys(self._names.values())),
            num_frames=num_frames,
            image_size=(_to_size(video, "width"), _to_size(video, "height")),
            file_names=self._list_file_names(frames, listed),
        )

    def _guess_name(self, video: Mapping[str, Any], listed: Sequence[Any]) -> str:
        folder = PurePosixPath(str(listed[0])).parent.name if listed else ""
        return folder or f"{self._path.stem}_{video['id']}"

    def _list_file_names(self, frames: Mapping[int, int], listed: Sequence[Any]) -> tuple[str, ...]:
        if listed:
            return tuple(str(name) for name in listed)
        ordered = sorted(frames, key=lambda image_id: frames[image_id])
        names = [str(self._images[image_id].get("file_name") or "") for image_id in ordered]
        return tuple(names) if all(names) else ()

    def _get_identity(self, annotation: Mapping[str, Any]) -> int:
        key = next((key for key in _IDENTITY_KEYS if key in annotation), None)
        if key is None and isinstance(annotation.get("bboxes"), list):
            key = "id"  # YouTube-VIS has one annotation per object
        if key is None:
            raise SourceError(
                f"{self._path}: annotation {annotation['id']} must have an identity: keys are "
                f"{', '.join(_IDENTITY_KEYS)}"
            )
        return _get_int(self._path, annotation, key)

    def _get_label(self, annotation: Mapping[str, Any]) -> str:
        category = _get_int(self._path, annotation, "category_id")
        if category not in self._names:
            raise SourceError(f"{self._path}: annotation {annotation['id']}: no category {category}")
        return self._names[category]

    def _list_boxes(
        self, annotation: Mapping[str, Any], frames: Mapping[int, int], first: int
    ) -> list[tuple[int, list[Any], bool, bool]]:
        """Return frame, box, and the flags occluded and keyframe of each box of an annotation."""
        boxes = annotation.get("bboxes")
        if isinstance(boxes, list):
            if len(boxes) > MAX_FRAMES:
                raise SourceError(
                    f"{self._path}: annotation {annotation['id']}: more than {MAX_FRAMES} frames"
                )
            numbered = [(frame, box) for frame, box in enumerate(boxes) if box is not None]
        elif "image_id" in annotation:
            numbered = [(frames[annotation["image_id"]] - first, annotation.get("bbox"))]
        else:
            raise SourceError(f"{self._path}: annotation {annotation['id']} must have image_id or bboxes")
        flags = bool(annotation.get("occluded", False)), bool(annotation.get("keyframe", True))
        for _, box in numbered:
            if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
                raise SourceError(
                    f"{self._path}: annotation {annotation['id']}: bbox must be 4 numbers: got "
                    f"{str(box)[:50]}"
                )
        return [(frame, box, *flags) for frame, box in numbered]

    def _make_track(
        self, identity: int, label: str, rows: list[tuple[int, list[Any], bool, bool]]
    ) -> AnnotatedTrack:
        ordered = sorted(rows, key=lambda row: row[0])
        track = AnnotatedTrack(
            identity,
            label,
            np.array([row[0] for row in ordered], np.int64),
            as_boxes([row[1] for row in ordered]),
            np.array([row[2] for row in ordered], bool),
            np.array([row[3] for row in ordered], bool),
        )
        check_track(track, self._path)
        return track


def _read_json(path: Path) -> dict[str, Any]:
    try:
        ANNOTATION_BYTES.check(path.stat().st_size, path)
        content = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} must be a JSON object: got {type(content).__name__}")
    return content


def _get_int(path: Path, item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise SourceError(
            f"{path}: {key} must be a whole number from 0: got {str(value)[:50]!r} in {str(item)[:100]}"
        )
    return value


def _get_text(path: Path, item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise SourceError(f"{path}: {key} must be text: got {str(value)[:50]!r} in {str(item)[:100]}")
    return value


def _to_size(item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**6 else 0


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
