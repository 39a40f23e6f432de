"""Annotations of CVAT: XML of version 1.1 for video, as the tool imports and exports it.

Boxes keep all their digits: corners are written as exact decimal sums, so that the width and height that the
reader computes are the same numbers again. The identity is an attribute `track_id` of the boxes, because CVAT
numbers the tracks anew. Entities and document types are refused, so that a file cannot expand or read others.
"""

from __future__ import annotations

import decimal
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, from_corners
from tracking_runtime.datasets.annotations import (
    ANNOTATION_BYTES,
    MAX_BOXES,
    MAX_CLASSES,
    MAX_FRAMES,
    AnnotatedTrack,
    Annotations,
    check_track,
    interpolate_corners,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.files import open_file

ID_ATTRIBUTE = "track_id"
"""Attribute of the boxes with the identity of their object."""

_XML_NAME = "annotations.xml"  # file in an archive that CVAT exports
_MAX_DEPTH = 20  # nested elements
_MAX_TOKEN_BYTES = 1 << 22  # bytes of one tag
_MAX_SHAPES = 2_000_000  # boxes in a file, before interpolation
_MAX_TEXT = 1000  # characters of a piece of text
_MAX_TEXT_PIECES = 100
_BLOCK_BYTES = 1 << 16
_CONTEXT = decimal.Context(prec=1200)  # digits of the exact sum of any two doubles
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_ARCHIVE_ERRORS = (  # of a damaged archive
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    UnicodeDecodeError,
)
_OTHER_SHAPES = ("polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")


# Writing


def format_cvat(annotations: Annotations) -> Iterator[str]:
    """Yield the text of an XML file of CVAT for video 1.1.

    A track that leaves and returns has a box with `outside="1"` after each part.
    """
    width, height = annotations.image_size
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n<task>\n'
    yield f"<name>{escape(annotations.name)}</name>\n<size>{annotations.num_frames}</size>\n"
    yield "<mode>interpolation</mode>\n<start_frame>0</start_frame>\n"
    yield f"<stop_frame>{max(annotations.num_frames - 1, 0)}</stop_frame>\n<labels>\n"
    for name in annotations.class_names:
        yield (
            f"<label><name>{escape(name)}</name><type>rectangle</type><attributes><attribute>"
            f"<name>{ID_ATTRIBUTE}</name><mutable>False</mutable><input_type>text</input_type>"
            "<default_value></default_value><values></values></attribute></attributes></label>\n"
        )
    yield f"</labels>\n<original_size><width>{width}</width><height>{height}</height></original_size>\n"
    yield "</task>\n</meta>\n"
    for number, track in enumerate(annotations.tracks):
        yield from _format_track(number, track, annotations.num_frames)
    yield "</annotations>\n"


def _format_track(number: int, track: AnnotatedTrack, num_frames: int) -> Iterator[str]:
    yield f'<track id="{number}" label={quoteattr(track.label)} source="manual">\n'
    is_last = np.append(track.is_first[1:], True)
    for index, frame in enumerate(track.frames.tolist()):
        corners = _format_corners(track.boxes[index])
        is_occluded, is_keyframe = bool(track.is_occluded[index]), bool(track.is_keyframe[index])
        yield _format_box(track.id, frame, corners, is_occluded=is_occluded, is_keyframe=is_keyframe)
        if is_last[index] and frame + 1 < num_frames:
            yield _format_box(track.id, frame + 1, corners, is_occluded=is_occluded, is_outside=True)
    yield "</track>\n"


def _format_box(
    identity: int,
    frame: int,
    corners: str,
    *,
    is_occluded: bool,
    is_keyframe: bool = True,
    is_outside: bool = False,
) -> str:
    flags = f'outside="{is_outside:d}" occluded="{is_occluded:d}" keyframe="{is_keyframe:d}"'
    attribute = f'<attribute name="{ID_ATTRIBUTE}">{identity}</attribute>'
    return f'<box frame="{frame}" {flags} {corners} z_order="0">{attribute}</box>\n'


def _format_corners(box: NDArray[np.float64]) -> str:
    """Return the corners of a box as attributes, as exact decimal sums."""
    x, y, width, height = (decimal.Decimal(repr(float(value))) for value in box)
    values = (x, y, _CONTEXT.add(x, width), _CONTEXT.add(y, height))
    return " ".join(f'{name}="{value:f}"' for name, value in zip(_CORNERS, values, strict=True))


# Reading


def read_cvat(path: Path) -> Annotations:
    """Read an XML file of CVAT for video 1.1, or the archive that CVAT exports.

    Boxes between keyframes are interpolated as CVAT does. Objects are present from a keyframe until one with
    `outside="1"`, or to the end of the task. The identity is the attribute `track_id`, else the lowest free
    number from 1.

    Args:
        path: file `.xml`, or `.zip` with `annotations.xml`.

    Raises:
        SourceError: the file is not XML of CVAT for video, is too large, or has an invalid box. The message
            names the file.
    """
    try:
        with open_file(path) as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive, archive.open(_find_xml(path, archive)) as member:
                    content = _parse(path, member)
            else:
                file.seek(0)
                content = _parse(path, file)
    except _ARCHIVE_ERRORS as error:
        raise SourceError(f"{path} cannot be read: {error}; export the task again") from error
    return _make_annotations(path, content)


def _find_xml(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if member.filename == _XML_NAME]
    if len(members) != 1:
        raise SourceError(f"{path} must contain {_XML_NAME}: export the task as 'CVAT for video 1.1'")
    return members[0]


@dataclass(slots=True)
class _Shape:
    """A keyframe, with its corners as text."""

    frame: int
    corners: tuple[str, ...]
    is_outside: bool
    is_occluded: bool


@dataclass
class _TrackContent:
    label: str
    number: int
    line: int
    identity: str = ""
    shapes: list[_Shape] = field(default_factory=list)


@dataclass
class _Content:
    """Relevant content of a file, filled by the events of the parser."""

    path: Path
    parser: Any
    stack: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    tracks: list[_TrackContent] = field(default_factory=list)
    attribute: str = ""
    num_shapes: int = 0

    def fail(self, reason: str) -> SourceError:
        """Return an error that names the file and the line."""
        return SourceError(f"{self.path}:{self.parser.CurrentLineNumber}: {reason}")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Handle the start of an element."""
        if not self.stack and tag != "annotations":
            raise self.fail(f"the root of a file of CVAT must be annotations: got {tag[:50]}")
        self.stack.append(tag)
        if len(self.stack) > _MAX_DEPTH:
            raise self.fail(f"elements must be nested at most {_MAX_DEPTH} deep")
        self.text = []
        if tag == "image" and len(self.stack) == 2:
            raise self.fail("annotations of images have no tracks: export the task as 'CVAT for video 1.1'")
        if tag == "track" and len(self.stack) == 2:
            number = len(self.tracks)
            label = _get(self, attributes, "label")
            self.tracks.append(_TrackContent(label, number, self.parser.CurrentLineNumber))
        elif self.stack[1:2] == ["track"] and len(self.stack) == 3:
            self._start_shape(tag, attributes)
        elif tag == "attribute":
            is_of_box = self.stack[1:3] == ["track", "box"]
            self.attribute = attributes.get("name", "") if is_of_box else ""

    def _start_shape(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _OTHER_SHAPES:
            raise self.fail(f"objects must be rectangles: got {tag}; remove other shapes in CVAT")
        if tag != "box":
            return
        if float(attributes.get("rotation", "0") or 0):
            raise self.fail("boxes must be upright: got a rotation; set it to 0 in CVAT")
        self.num_shapes += 1
        if self.num_shapes > _MAX_SHAPES:
            raise self.fail(f"at most {_MAX_SHAPES} boxes are read; split the task")
        frame = _get_int(self, attributes, "frame")
        if not 0 <= frame < MAX_FRAMES:
            raise self.fail(f"frame must be 0 to {MAX_FRAMES - 1}: got {frame}")
        if attributes.get("keyframe", "1") != "1":
            return
        self.tracks[-1].shapes.append(
            _Shape(
                frame,
                tuple(_get(self, attributes, name) for name in _CORNERS),
                attributes.get("outside", "0") == "1",
                attributes.get("occluded", "0") == "1",
            )
        )

    def add_text(self, text: str) -> None:
        """Handle a piece of text. Only names and numbers are of interest, which are short."""
        if len(self.text) < _MAX_TEXT_PIECES:
            self.text.append(text[:_MAX_TEXT])

    def end(self, tag: str) -> None:
        """Handle the end of an element."""
        text = "".join(self.text).strip()
        place = "/".join(self.stack)
        self.stack.pop()
        self.text = []
        if place.startswith("annotations/meta/"):
            self._end_meta(place, text)
        elif tag == "attribute" and self.attribute == ID_ATTRIBUTE and text:
            self._set_identity(text)

    def _end_meta(self, place: str, text: str) -> None:
        if place.endswith("/labels/label/name"):
            if len(self.labels) >= MAX_CLASSES:
                raise self.fail(f"at most {MAX_CLASSES} labels are read")
            self.labels.append(text)
        else:
            self.values[place.rpartition("/meta/")[2].partition("/")[2]] = text

    def _set_identity(self, text: str) -> None:
        track = self.tracks[-1]
        if track.identity and text != track.identity:
            raise self.fail(
                f"{ID_ATTRIBUTE} of a track must not change: got {track.identity[:20]} and {text[:20]}"
            )
        track.identity = text


def _get(content: _Content, attributes: Mapping[str, str], name: str) -> str:
    if name not in attributes:
        raise content.fail(f"attribute {name} is missing")
    return attributes[name]


def _get_int(content: _Content, attributes: Mapping[str, str], name: str) -> int:
    text = _get(content, attributes, name)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise content.fail(f"{name} must be a whole number: got {text[:20]!r}")
    return int(text)


def _parse(path: Path, file: IO[bytes]) -> _Content:
    """Parse a file in blocks, so that its elements are never in memory at once."""
    parser = expat.ParserCreate()
    content = _Content(path, parser)

    def refuse(*_: object) -> int:
        raise content.fail("document types and entities are refused: export the task again")

    parser.StartDoctypeDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = content.start
    parser.EndElementHandler = content.end
    parser.CharacterDataHandler = content.add_text
    num_bytes = 0
    try:
        while block := file.read(_BLOCK_BYTES):
            num_bytes += len(block)
            ANNOTATION_BYTES.check(num_bytes, path)
            parser.Parse(block, False)
            if num_bytes - parser.CurrentByteIndex > _MAX_TOKEN_BYTES:
                raise content.fail(f"a tag must have at most {_MAX_TOKEN_BYTES} bytes")
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an unknown encoding
        raise SourceError(f"{path} is not an XML file of CVAT: {error}") from error
    except (ValueError, UnicodeError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path}:{parser.CurrentLineNumber}: {error}") from error
    return content


def _make_annotations(path: Path, content: _Content) -> Annotations:
    num_frames = _find_num_frames(content)
    labels = list(dict.fromkeys([*content.labels, *(track.label for track in content.tracks)]))
    if len(labels) > MAX_CLASSES:
        raise SourceError(f"{path}: at most {MAX_CLASSES} labels are supported: got {len(labels)}")
    identities = _assign_identities(path, content.tracks)
    if sum(_count_boxes(track, num_frames) for track in content.tracks) > MAX_BOXES:
        raise SourceError(f"{path}: at most {MAX_BOXES} boxes are read, with interpolated ones")
    tracks = []
    for identity, track in zip(identities, content.tracks, strict=True):
        annotated = _interpolate_track(path, identity, track, num_frames)
        if len(annotated.frames):
            check_track(annotated, path)
            tracks.append(annotated)
    size = (_to_size(content, "width"), _to_size(content, "height"))
    name = content.values.get("name", "") or path.stem
    return Annotations(name, tuple(tracks), tuple(labels), num_frames, size)


def _find_num_frames(content: _Content) -> int:
    """Return the number of frames of the task, which contains all keyframes."""
    last = max((shape.frame for track in content.tracks for shape in track.shapes), default=-1)
    text = content.values.get("size", "")
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    stop_text = content.values.get("stop_frame", "")
    stop = int(stop_text) + 1 if stop_text.isascii() and stop_text.isdigit() and len(stop_text) < 10 else 0
    num_frames = max(size, stop)
    # A box "outside" may be in the frame after the last one.
    visible = max(
        (shape.frame for track in content.tracks for shape in track.shapes if not shape.is_outside),
        default=-1,
    )
    num_frames = max(num_frames, visible + 1) if num_frames else last + 1
    if num_frames > MAX_FRAMES:
        raise SourceError(f"{content.path}: at most {MAX_FRAMES} frames are read: got {num_frames}")
    return num_frames


def _to_size(content: _Content, name: str) -> int:
    text = content.values.get(f"original_size/{name}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _assign_identities(path: Path, tracks: list[_TrackContent]) -> list[int]:
    """Return the identity of each track: its attribute, else the lowest free number from 1."""
    known: set[int] = set()
    for track in tracks:
        text = track.identity
        if not text:
            continue
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise SourceError(
                f"{path}:{track.line}: {ID_ATTRIBUTE} must be a whole number: got {text[:20]!r}"
            )
        if int(text) in known:
            raise SourceError(
                f"{path}:{track.line}: {ID_ATTRIBUTE} {text} belongs to two tracks; clear it for a new object"
            )
        known.add(int(text))
    free = (number for number in range(1, len(tracks) + len(known) + 1) if number not in known)
    return [int(track.identity) if track.identity else next(free) for track in tracks]


def _list_keyframes(track: _TrackContent) -> list[_Shape]:
    """Return the keyframes in order of the frames. The last of several in a frame counts, as in CVAT."""
    by_frame = {shape.frame: shape for shape in track.shapes}
    return [by_frame[frame] for frame in sorted(by_frame)]


def _count_boxes(track: _TrackContent, num_frames: int) -> int:
    keyframes = _list_keyframes(track)
    ends = [shape.frame for shape in keyframes[1:]] + [num_frames]
    spans = zip(keyframes, ends, strict=True)
    return sum(max(end - shape.frame, 1) for shape, end in spans if not shape.is_outside)


def _interpolate_track(path: Path, identity: int, track: _TrackContent, num_frames: int) -> AnnotatedTrack:
    """Return the boxes of all frames in which the object is present."""
    keyframes = _list_keyframes(track)
    ends = [shape.frame for shape in keyframes[1:]] + [num_frames]
    followers: list[_Shape | None] = [*keyframes[1:], None]
    frames: list[NDArray[np.int64]] = []
    boxes: list[Boxes] = []
    occluded: list[NDArray[np.bool_]] = []
    is_keyframe: list[NDArray[np.bool_]] = []
    for shape, end, follower in zip(keyframes, ends, followers, strict=True):
        if shape.is_outside:
            continue
        numbers = np.arange(shape.frame, max(end, shape.frame + 1))
        corners = _to_corners(path, shape)
        last = corners if follower is None else _to_corners(path, follower)
        shares = (numbers - shape.frame) / max(end - shape.frame, 1)
        part = from_corners(interpolate_corners(corners, last, shares))
        part[0] = _to_box(path, shape)
        frames.append(numbers)
        boxes.append(part)
        occluded.append(np.full(len(numbers), shape.is_occluded))
        is_keyframe.append(numbers == shape.frame)
    return AnnotatedTrack(
        identity,
        track.label,
        np.concatenate([np.zeros(0, np.int64), *frames]),
        np.concatenate([np.zeros((0, 4)), *boxes]),
        np.concatenate([np.zeros(0, bool), *occluded]),
        np.concatenate([np.zeros(0, bool), *is_keyframe]),
    )


def _to_decimals(path: Path, shape: _Shape) -> list[decimal.Decimal]:
    try:
        values = [decimal.Decimal(text.strip()) for text in shape.corners]
    except decimal.InvalidOperation:
        values = []
    if not values or not all(value.is_finite() and abs(value.adjusted()) < 400 for value in values):
        raise SourceError(
            f"{path}: frame {shape.frame}: corners must be numbers: got {str(shape.corners)[:100]}"
        )
    return values


def _to_corners(path: Path, shape: _Shape) -> Boxes:
    return np.array([float(value) for value in _to_decimals(path, shape)])


def _to_box(path: Path, shape: _Shape) -> NDArray[np.float64]:
    """Return x, y, width, height. The differences are exact decimals."""
    left, top, right, bottom = _to_decimals(path, shape)
    width, height = _CONTEXT.subtract(right, left), _CONTEXT.subtract(bottom, top)
    return np.array([float(left), float(top), float(width), float(height)])
