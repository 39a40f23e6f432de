"""Drawing tracks and ground truth on frames; arrays in, arrays out."""

from __future__ import annotations

import colorsys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, as_boxes, centres, corners

Color = tuple[int, int, int]
BgrImage = NDArray[np.uint8]

TRUTH_COLOR: Color = (255, 255, 255)
_GOLDEN_RATIO = 0.618033988749895
_SUBPIXEL_BITS = 4
_DASH_PX, _GAP_PX = 4.0, 3.0
_SMALL_TARGET_PX, _CLEARANCE_PX = 24.0, 2.0
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.36
_LABEL_GAP_PX = 4
_PLATE_BRIGHTNESS = 0.3
_TRAIL_SHADES = (0.35, 0.55, 0.75, 0.95)


class Presence(Enum):
    """How sure a tracker is that its box holds the object: drawn solid, as corners only, or dashed."""

    SEEN = "seen"
    UNSURE = "unsure"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Marks:
    """What to draw of the tracks of one frame, as parallel sequences.

    Attributes:
        ids: ``(n,)``, each of which has its colour.
        boxes: ``(n, 4)`` x, y, width, height in pixels.
        presence: of each object.
        labels: text beside each box, may be empty.
    """

    ids: NDArray[np.int64]
    boxes: Boxes
    presence: Sequence[Presence]
    labels: Sequence[str]


@dataclass
class Trails:
    """Where each object's centre was in the last ``length`` frames in which it was tracked."""

    length: int = 30
    _points: dict[int, deque[NDArray[np.float64]]] = field(default_factory=dict)

    def update(self, marks: Marks) -> None:
        """Append one frame; trails of objects no longer tracked end."""
        ids = [int(number) for number in marks.ids]
        self._points = {number: points for number, points in self._points.items() if number in ids}
        for number, centre in zip(ids, centres(marks.boxes), strict=True):
            self._points.setdefault(number, deque(maxlen=self.length)).append(centre)

    def clear(self) -> None:
        """Forget all."""
        self._points.clear()

    def items(self) -> list[tuple[int, NDArray[np.float64]]]:
        """Each id with its ``(k, 2)`` centres, oldest first."""
        return [(number, np.array(points)) for number, points in self._points.items()]


def color_of(number: int) -> Color:
    """The BGR colour of an id: always the same, and unlike those of neighbouring ids."""
    hue = (number * _GOLDEN_RATIO) % 1.0
    # Blues are dark to the eye: give them less saturation.
    saturation = 0.55 if 0.55 < hue < 0.75 else 0.85
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)


def to_bgr(image: NDArray[Any], encoding: str) -> BgrImage:
    """A frame as people look at it: ``(height, width, 3)`` uint8, newly made.

    Samples of more than 8 bits are stretched from their 0.5th to their 99.5th percentile. Of a cube, three
    bands spread over its spectrum are shown.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels > 4 or (channels > 1 and image.dtype != np.uint8) or channels == 2:
        image = image[..., [channels // 6, channels // 2, channels - 1 - channels // 6]]
    if image.dtype != np.uint8:
        low, high = np.percentile(image[::4, ::4], [0.5, 99.5])
        image = np.clip((image.astype(np.float32) - low) * (255 / max(high - low, 1e-9)), 0, 255).astype(
            np.uint8
        )
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.array(image[..., 2::-1] if encoding.startswith("rgb") else image[..., :3], order="C")


def reduced(picture: BgrImage, side: int) -> BgrImage:
    """A picture whose longer side is ``side`` pixels at most."""
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def draw_overlay(
    picture: BgrImage,
    marks: Marks,
    *,
    trails: Trails | None = None,
    truth: Boxes | None = None,
    caption: str = "",
    scale: int = 1,
) -> BgrImage:
    """A picture with tracks on it.

    Args:
        picture: ``(height, width, 3)`` BGR; drawn on itself if ``scale`` is 1.
        marks: the tracks; boxes of small objects are drawn a little outside of them, not to hide them.
        trails: drawn as fading lines.
        truth: ``(m, 4)`` boxes, drawn dashed in white, a little outside of where tracks would be.
        caption: a line of text for the lower left corner.
        scale: by how much to enlarge the picture first; lines and letters keep their width.

    Returns:
        ``(scale * height, scale * width, 3)`` BGR.
    """
    if scale > 1:
        enlarged = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        picture = np.asarray(enlarged, np.uint8)
    for number, points in trails.items() if trails else []:
        _draw_trail(picture, points * scale, color_of(number))
    for number, box, presence in zip(marks.ids, marks.boxes * scale, marks.presence, strict=True):
        _draw_box(picture, _cleared(box), color_of(int(number)), presence)
    for box in as_boxes([] if truth is None else truth) * scale:
        _draw_lines(picture, _dashed(_outline(_grown(_cleared(box)))), TRUTH_COLOR)
    for number, box, label in zip(marks.ids, marks.boxes * scale, marks.labels, strict=True):
        _draw_label(picture, label, _cleared(box), color_of(int(number)))
    if caption:
        _draw_text(picture, caption, (6, picture.shape[0] - 8), (255, 255, 255))
    return picture


def _cleared(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """The box to draw: with some room around it if the object is small."""
    if min(box[2:]) >= _SMALL_TARGET_PX:
        return box
    return _grown(box)


def _grown(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return box + np.array([-_CLEARANCE_PX, -_CLEARANCE_PX, 2 * _CLEARANCE_PX, 2 * _CLEARANCE_PX])


def _outline(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(4, 2, 2)`` the sides of a box, clockwise from corner to corner, on whole pixels to be crisp."""
    left, top, right, bottom = np.floor(corners(box)[0]) + 0.5
    points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return np.stack([points, np.roll(points, -1, axis=0)], axis=1)


def _dashed(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(k, 2, 2)`` the dashes of some lines."""
    dashes = []
    for start, end in sides:
        length = float(np.hypot(*(end - start)))
        begins = np.arange(0, length, _DASH_PX + _GAP_PX)
        ends = np.minimum(begins + _DASH_PX, length)
        unit = (end - start) / max(length, 1e-9)
        dashes.append(start + np.stack([begins, ends], axis=1)[..., None] * unit)
    return np.concatenate(dashes)


def _corner_strokes(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(8, 2, 2)`` the first and last quarter of each side."""
    quarter = (sides[:, 1] - sides[:, 0]) / 4
    return np.concatenate(
        [
            np.stack([sides[:, 0], sides[:, 0] + quarter], axis=1),
            np.stack([sides[:, 1] - quarter, sides[:, 1]], axis=1),
        ]
    )


def _draw_box(picture: BgrImage, box: NDArray[np.float64], color: Color, presence: Presence) -> None:
    sides = _outline(box)
    lines = {
        Presence.SEEN: lambda: sides,
        Presence.UNSURE: lambda: _corner_strokes(sides),
        Presence.UNSEEN: lambda: _dashed(sides),
    }[presence]()
    thickness = 2 if min(box[2:]) >= 4 * _SMALL_TARGET_PX else 1
    _draw_lines(picture, lines, color, thickness)


def _draw_trail(picture: BgrImage, points: NDArray[np.float64], color: Color) -> None:
    """Darker towards the past."""
    parts = len(_TRAIL_SHADES)
    for part, shade in enumerate(_TRAIL_SHADES):
        stretch = points[part * len(points) // parts : (part + 1) * len(points) // parts + 1]
        blue, green, red = (round(shade * value) for value in color)
        _draw_lines(picture, stretch[None], (blue, green, red), kind=cv2.LINE_AA)


def _draw_lines(
    picture: BgrImage, lines: NDArray[np.float64], color: Color, thickness: int = 1, kind: int = cv2.LINE_8
) -> None:
    """``(k, p, 2)`` lines of ``p`` points; the first pixel's centre is at 0.5 here, at 0 for OpenCV."""
    fixed = np.round((lines - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(picture, list(fixed), False, color, thickness, kind, _SUBPIXEL_BITS)


def _draw_label(picture: BgrImage, text: str, box: NDArray[np.float64], color: Color) -> None:
    """Above the box, or below it where there is no room, and always inside the picture."""
    if not text:
        return
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    left, top, _, bottom = corners(box)[0]
    x = int(np.clip(left, 2, max(2, picture.shape[1] - width - 3)))
    y = top - _LABEL_GAP_PX if top - 2 * _LABEL_GAP_PX >= height else bottom + height + _LABEL_GAP_PX
    _draw_text(picture, text, (x, int(np.clip(y, height + 2, picture.shape[0] - 3))), color)


def _draw_text(picture: BgrImage, text: str, baseline_left: tuple[int, int], color: Color) -> None:
    """On a darkened plate."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    x, y = baseline_left
    plate = picture[max(0, y - height - 2) : y + 3, max(0, x - 2) : x + width + 2]
    plate[:] = plate * _PLATE_BRIGHTNESS
    cv2.putText(picture, text, baseline_left, _FONT, _FONT_SCALE, color, 1, cv2.LINE_AA)
