"""Tracks as RViz markers in the plane of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from tracking_runtime.geometry import centres, corners
from tracking_runtime.overlay import Marks, Presence, Trails, color_of

_OPACITY = {Presence.SEEN: 1.0, Presence.UNSURE: 0.6, Presence.UNSEEN: 0.35}
_LINE_WIDTH_PX = 0.6
_TEXT_HEIGHT_PX = 8.0
_TRAIL_POINTS = 8


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

    def build(self, marks: Marks, trails: Trails, stamp: Any) -> MarkerArray:
        """The boxes of all tracks as one marker, and a trail and a label for each."""
        header = Header(stamp=stamp, frame_id=self._frame_id)
        markers = [self._boxes(header, marks)]
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

    def _boxes(self, header: Header, marks: Marks) -> Marker:
        marker = self._marker(header, "boxes", 0, Marker.LINE_LIST)
        for (left, top, right, bottom), number, presence in zip(
            corners(marks.boxes), marks.ids, marks.presence, strict=True
        ):
            ring = self._points(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))
            marker.points += [ring[k] for k in (0, 1, 1, 2, 2, 3, 3, 0)]
            marker.colors += [_color(int(number), _OPACITY[presence])] * 8
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


def _color(number: int, opacity: float) -> ColorRGBA:
    blue, green, red = color_of(number)
    return ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=opacity)
