"""Tracks as markers: in the plane of the image for RViz, in its pixels for Foxglove."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import ImageMarker, Marker, MarkerArray

from tracking_runtime.boxes import centres, corners
from tracking_runtime.overlay import Marks, Presence, Trails, color_of

_OPACITY = {Presence.SEEN: 1.0, Presence.UNSURE: 0.6, Presence.UNSEEN: 0.35}
_LINE_WIDTH_PX = 0.6
_TEXT_HEIGHT_PX = 8.0
_TRAIL_POINTS = 8
_SIDES = [0, 1, 1, 2, 2, 3, 3, 0]
_PLANE_COLOR = ColorRGBA(r=0.12, g=0.12, b=0.12, a=1.0)


class TrackMarkers:
    """Builds the markers of each frame, and those that take away what is gone.

    The image lies in the plane z = 0 with its top-left corner at the origin, x to the right and y up, so that
    a view from above shows it upright: pixel (x, y) is at (x, -y) times ``pixel_size``.

    Args:
        pixel_size: of a pixel, in metres.
        frame_id: of the markers.
    """

    def __init__(self, pixel_size: float, frame_id: str) -> None:
        self._pixel_size = pixel_size
        self._frame_id = frame_id
        self._shown: set[int] = set()

    def clear(self) -> MarkerArray:
        """Takes all markers away."""
        self._shown.clear()
        return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])

    def build(self, marks: Marks, trails: Trails, stamp: Any, image_size: tuple[int, int]) -> MarkerArray:
        """The image's plane and all boxes as one marker each, and a trail and a label for each track.

        Args:
            marks: the tracks.
            trails: where they were.
            stamp: of the frame.
            image_size: width and height in the pixels of the boxes.
        """
        header = Header(stamp=stamp, frame_id=self._frame_id)
        markers = [self._plane(header, *image_size), self._boxes(header, marks)]
        for number, points in trails.items():
            markers.append(self._trail(header, number, points))
        for number, centre, label in zip(marks.ids, centres(marks.boxes), marks.labels, strict=True):
            markers.append(self._label(header, int(number), centre, label))
        present = {int(number) for number in marks.ids}
        for number in sorted(self._shown - present):
            markers += [
                Marker(header=header, ns=namespace, id=number, action=Marker.DELETE)
                for namespace in ("trails", "labels")
            ]
        self._shown = present
        return MarkerArray(markers=markers)

    def _plane(self, header: Header, width: int, height: int) -> Marker:
        """What a click between the tracks meets."""
        marker = self._marker(header, "plane", 0, Marker.TRIANGLE_LIST)
        marker.scale = Vector3(x=1.0, y=1.0, z=1.0)
        marker.color = _PLANE_COLOR
        marker.pose.position.z = -_LINE_WIDTH_PX * self._pixel_size
        around = np.array([[0, 0], [0, height], [width, height], [width, 0]])
        marker.points = self._points(around[[0, 1, 2, 2, 3, 0]])  # seen, and lit, from above
        return marker

    def _boxes(self, header: Header, marks: Marks) -> Marker:
        marker = self._marker(header, "boxes", 0, Marker.LINE_LIST)
        marker.points = self._points(_outlines(marks))
        marker.colors = _outline_colors(marks)
        return marker

    def _trail(self, header: Header, number: int, points: NDArray[np.float64]) -> Marker:
        marker = self._marker(header, "trails", number, Marker.LINE_STRIP)
        marker.color = _color(number, 0.7)
        marker.points = self._points(points[np.linspace(0, len(points) - 1, _TRAIL_POINTS).astype(int)])
        return marker

    def _label(self, header: Header, number: int, centre: NDArray[np.float64], text: str) -> Marker:
        marker = self._marker(header, "labels", number, Marker.TEXT_VIEW_FACING)
        marker.color = _color(number, 1.0)
        marker.scale.z = _TEXT_HEIGHT_PX * self._pixel_size
        (marker.pose.position,) = self._points(centre[None] - [0, _TEXT_HEIGHT_PX])
        marker.text = text
        return marker

    def _marker(self, header: Header, namespace: str, number: int, kind: int) -> Marker:
        marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
        marker.pose.orientation.w = 1.0
        marker.scale.x = _LINE_WIDTH_PX * self._pixel_size
        return marker

    def _points(self, pixels: NDArray[np.float64]) -> list[Point]:
        return [Point(x=x, y=-y) for x, y in (pixels * self._pixel_size).tolist()]


def to_image_marker(marks: Marks, header: Header) -> ImageMarker:
    """All boxes as one marker in the pixels of the image whose header it has, on which Foxglove draws it."""
    return ImageMarker(
        header=header,
        ns="tracks",
        type=ImageMarker.LINE_LIST,
        scale=1.0,
        points=[Point(x=x, y=y) for x, y in _outlines(marks).tolist()],
        outline_colors=_outline_colors(marks),
    )


def _outlines(marks: Marks) -> NDArray[np.float64]:
    """``(8 n, 2)`` ends of the four sides of each box."""
    left, top, right, bottom = corners(marks.boxes).T
    ring = np.stack([[left, top], [right, top], [right, bottom], [left, bottom]]).transpose(2, 0, 1)
    return ring[:, _SIDES].reshape(-1, 2)


def _outline_colors(marks: Marks) -> list[ColorRGBA]:
    """One for each end."""
    colors = zip(marks.ids, marks.presence, strict=True)
    return [_color(int(number), _OPACITY[presence]) for number, presence in colors for _ in _SIDES]


def _color(number: int, opacity: float) -> ColorRGBA:
    blue, green, red = color_of(number)
    return ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=opacity)
