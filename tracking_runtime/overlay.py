"""Overlays: tracks and ground truth drawn on images."""

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

from tracking_runtime.boxes import Boxes, as_boxes, compute_centers, to_corners
from tracking_runtime.frames import Frame
from tracking_runtime.spectral_info import SpectralInfo

Color = tuple[int, int, int]
BgrImage = NDArray[np.uint8]

TRUTH_COLOR: Color = (255, 255, 255)
_GOLDEN_RATIO = 0.618033988749895  # hue step between consecutive ids
_SUBPIXEL_BITS = 4  # fractional bits of the coordinates that OpenCV gets
_DASH_PX = 4.0
_GAP_PX = 3.0  # gap between dashes
_SMALL_BOX_PX = 24.0  # a box with a shorter side is drawn outside of its object
_CLEARANCE_PX = 2.0  # distance of such a box from its object
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.36
_LABEL_GAP_PX = 4  # distance of a label from its box
_PLATE_BRIGHTNESS = 0.3  # brightness of the image behind text, as a fraction
_TRAIL_SHADES = (0.35, 0.55, 0.75, 0.95)  # brightness of the parts of a trail, oldest first


class TrackVisibility(Enum):
    """Visibility of an object for its tracker. Its box is drawn solid, as corners or dashed."""

    SEEN = "seen"
    UNSURE = "unsure"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class TrackDrawing:
    """Tracks of one frame to draw, as parallel sequences.

    Attributes:
        ids: id of each track, (n,); decides the color.
        boxes: box of each track in pixels, (n, 4): x, y, width, height.
        visibilities: visibility of each track, (n,).
        labels: text beside each box, (n,); empty for none.
    """

    ids: NDArray[np.int64]
    boxes: Boxes
    visibilities: Sequence[TrackVisibility]
    labels: Sequence[str]


@dataclass
class Trails:
    """Recent centers of each track.

    Attributes:
        length: maximum number of centers per track. Higher draws longer trails.
    """

    length: int = 30
    _points: dict[int, deque[NDArray[np.float64]]] = field(default_factory=dict)

    def update(self, drawing: TrackDrawing) -> None:
        """Append the centers of one frame. Remove the trails of tracks that ended."""
        ids = [int(track_id) for track_id in drawing.ids]
        self._points = {track_id: points for track_id, points in self._points.items() if track_id in ids}
        for track_id, center in zip(ids, compute_centers(drawing.boxes), strict=True):
            self._points.setdefault(track_id, deque(maxlen=self.length)).append(center)

    def clear(self) -> None:
        """Remove all trails."""
        self._points.clear()

    def items(self) -> list[tuple[int, NDArray[np.float64]]]:
        """Return the id and the centers of each track, (k, 2), oldest first."""
        return [(track_id, np.array(points)) for track_id, points in self._points.items()]


def compute_track_color(track_id: int) -> Color:
    """Return the BGR color of a track. The color depends on the id; neighboring ids differ clearly."""
    hue = (track_id * _GOLDEN_RATIO) % 1.0
    # The eye sees blue as dark: lower its saturation.
    saturation = 0.55 if 0.55 < hue < 0.75 else 0.85
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)


def to_bgr(image: NDArray[Any], encoding: str) -> BgrImage:
    """Convert an image or cube to a new BGR image for display.

    Samples of more than 8 bits are stretched between their 0.5th and 99.5th percentiles. Three bands spread
    over the spectrum represent a cube.

    Args:
        image: image, (H, W) or (H, W, C), uint8, uint16 or float32.
        encoding: encoding as in sensor_msgs/Image.

    Returns:
        BGR image, (H, W, 3), uint8.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels > 4 or (channels > 1 and image.dtype != np.uint8) or channels == 2:
        image = image[..., [channels // 6, channels // 2, channels - 1 - channels // 6]]
    if image.dtype != np.uint8:
        low, high = np.percentile(image[::4, ::4], [0.5, 99.5])
        stretched = (image.astype(np.float32) - low) * (255 / max(high - low, 1e-9))
        image = np.clip(stretched, 0, 255).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.array(image[..., 2::-1] if encoding.startswith("rgb") else image[..., :3], order="C")


def draw_frame(frame: Frame, bands: SpectralInfo | None) -> BgrImage:
    """Convert a frame to a new BGR image with one pixel per box pixel; a raw mosaic shows one band."""
    image = frame.image
    if image.ndim == 2 and bands is not None and bands.mosaic is not None:
        image = image[:: bands.mosaic[0], :: bands.mosaic[1]]
    return to_bgr(image, frame.encoding)


def limit_size(image: BgrImage, max_side: int) -> BgrImage:
    """Downscale an image if its longer side exceeds `max_side` pixels."""
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def draw_overlay(
    image: BgrImage,
    drawing: TrackDrawing,
    *,
    trails: Trails | None = None,
    truth: Boxes | None = None,
    caption: str = "",
    scale: int = 1,
) -> BgrImage:
    """Draw tracks and ground truth on an image.

    Args:
        image: BGR image, (H, W, 3). Changed in place if `scale` is 1.
        drawing: tracks to draw. The boxes of small objects are drawn a little larger than the objects.
        trails: recent centers, drawn as lines that get darker toward the past. None draws none.
        truth: boxes of the ground truth, (m, 4), drawn in dashed white around the tracks. None draws none.
        caption: text in the lower left corner; empty for none.
        scale: factor by which the image is enlarged first. Lines and letters keep their width.

    Returns:
        BGR image, (scale * H, scale * W, 3).
    """
    if scale > 1:
        enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        image = np.asarray(enlarged, np.uint8)
    for track_id, points in trails.items() if trails else []:
        _draw_trail(image, points * scale, compute_track_color(track_id))
    boxes = drawing.boxes * scale
    for track_id, box, visibility in zip(drawing.ids, boxes, drawing.visibilities, strict=True):
        _draw_box(image, _enlarge_small_box(box), compute_track_color(int(track_id)), visibility)
    for box in as_boxes([] if truth is None else truth) * scale:
        sides = _compute_sides(_enlarge_box(_enlarge_small_box(box)))
        _draw_lines(image, _compute_dashes(sides), TRUTH_COLOR)
    for track_id, box, label in zip(drawing.ids, boxes, drawing.labels, strict=True):
        _draw_label(image, label, _enlarge_small_box(box), compute_track_color(int(track_id)))
    if caption:
        _draw_text(image, caption, (6, image.shape[0] - 8), (255, 255, 255))
    return image


def _enlarge_small_box(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Enlarge the box of a small object, so that the lines do not cover the object."""
    if min(box[2:]) >= _SMALL_BOX_PX:
        return box
    return _enlarge_box(box)


def _enlarge_box(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return box + np.array([-_CLEARANCE_PX, -_CLEARANCE_PX, 2 * _CLEARANCE_PX, 2 * _CLEARANCE_PX])


def _compute_sides(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sides of a box, clockwise, as start and end points on whole pixels, (4, 2, 2)."""
    left, top, right, bottom = np.floor(to_corners(box)[0]) + 0.5
    points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return np.stack([points, np.roll(points, -1, axis=0)], axis=1)


def _compute_dashes(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Split lines into dashes, (k, 2, 2)."""
    dashes = []
    for start, end in sides:
        length = float(np.hypot(*(end - start)))
        dash_starts = np.arange(0, length, _DASH_PX + _GAP_PX)
        dash_ends = np.minimum(dash_starts + _DASH_PX, length)
        direction = (end - start) / max(length, 1e-9)
        dashes.append(start + np.stack([dash_starts, dash_ends], axis=1)[..., None] * direction)
    return np.concatenate(dashes)


def _compute_corner_strokes(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first and the last quarter of each side, (8, 2, 2)."""
    quarter = (sides[:, 1] - sides[:, 0]) / 4
    return np.concatenate(
        [
            np.stack([sides[:, 0], sides[:, 0] + quarter], axis=1),
            np.stack([sides[:, 1] - quarter, sides[:, 1]], axis=1),
        ]
    )


def _draw_box(image: BgrImage, box: NDArray[np.float64], color: Color, visibility: TrackVisibility) -> None:
    sides = _compute_sides(box)
    if visibility is TrackVisibility.SEEN:
        lines = sides
    elif visibility is TrackVisibility.UNSURE:
        lines = _compute_corner_strokes(sides)
    else:
        lines = _compute_dashes(sides)
    thickness = 2 if min(box[2:]) >= 4 * _SMALL_BOX_PX else 1
    _draw_lines(image, lines, color, thickness)


def _draw_trail(image: BgrImage, points: NDArray[np.float64], color: Color) -> None:
    """Draw a trail that gets darker toward the past."""
    num_parts = len(_TRAIL_SHADES)
    for part, shade in enumerate(_TRAIL_SHADES):
        start = part * len(points) // num_parts
        stop = (part + 1) * len(points) // num_parts + 1
        blue, green, red = (round(shade * value) for value in color)
        _draw_lines(image, points[start:stop][None], (blue, green, red), line_type=cv2.LINE_AA)


def _draw_lines(
    image: BgrImage,
    lines: NDArray[np.float64],
    color: Color,
    thickness: int = 1,
    line_type: int = cv2.LINE_8,
) -> None:
    """Draw lines of `p` points each, (k, p, 2)."""
    # The center of the first pixel is at 0.5 here, and at 0 in OpenCV.
    fixed_point = np.round((lines - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(image, list(fixed_point), False, color, thickness, line_type, _SUBPIXEL_BITS)


def _draw_label(image: BgrImage, text: str, box: NDArray[np.float64], color: Color) -> None:
    """Draw a label above a box, or below it at the upper border, always inside the image."""
    if not text:
        return
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    left, top, _, bottom = to_corners(box)[0]
    x = int(np.clip(left, 2, max(2, image.shape[1] - width - 3)))
    y = top - _LABEL_GAP_PX if top - 2 * _LABEL_GAP_PX >= height else bottom + height + _LABEL_GAP_PX
    _draw_text(image, text, (x, int(np.clip(y, height + 2, image.shape[0] - 3))), color)


def _draw_text(image: BgrImage, text: str, baseline_left: tuple[int, int], color: Color) -> None:
    """Draw text on a darkened plate."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    x, y = baseline_left
    plate = image[max(0, y - height - 2) : y + 3, max(0, x - 2) : x + width + 2]
    plate[:] = plate * _PLATE_BRIGHTNESS
    cv2.putText(image, text, baseline_left, _FONT, _FONT_SCALE, color, 1, cv2.LINE_AA)
