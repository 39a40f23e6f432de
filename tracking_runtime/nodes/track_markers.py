"""Tracks as RViz markers in the plane of the image, and as Foxglove annotations in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import ImageMarker, Marker, MarkerArray

from tracking_runtime.boxes import compute_centers, to_corners
from tracking_runtime.overlay import TrackDrawing, TrackVisibility, Trails, compute_track_color

_OPACITY = {TrackVisibility.SEEN: 1.0, TrackVisibility.UNSURE: 0.6, TrackVisibility.UNSEEN: 0.35}
_LINE_WIDTH_PX = 0.6
_TEXT_HEIGHT_PX = 8.0
_TRAIL_POINTS = 8  # points of a trail marker
_SIDE_CORNERS = [0, 1, 1, 2, 2, 3, 3, 0]  # corners at the ends of the four sides of a box
_PLANE_COLOR = ColorRGBA(r=0.12, g=0.12, b=0.12, a=1.0)


class TrackMarkers:
    """Markers of the tracks of each frame, and deletions of the markers of ended tracks.

    The image is in the plane z = 0, with its top-left corner at the origin, x to the right and y up. A view
    from above shows it upright: pixel (x, y) is at (x, -y) times `pixel_size`.

    Args:
        pixel_size: size of a pixel in meters.
        frame_id: coordinate frame of the markers.
    """

    def __init__(self, pixel_size: float, frame_id: str) -> None:
        self._pixel_size = pixel_size
        self._frame_id = frame_id
        self._displayed_ids: set[int] = set()

    def make_delete_all(self) -> MarkerArray:
        """Return the message that deletes all markers."""
        self._displayed_ids.clear()
        return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])

    def make_markers(
        self, drawing: TrackDrawing, trails: Trails, stamp: Any, image_size: tuple[int, int]
    ) -> MarkerArray:
        """Return one marker of the image plane, one of all boxes, and a trail and a label per track.

        Args:
            drawing: the tracks.
            trails: earlier positions of the tracks.
            stamp: stamp of the frame.
            image_size: width and height in the pixels of the boxes.
        """
        header = Header(stamp=stamp, frame_id=self._frame_id)
        markers = [self._make_plane(header, *image_size), self._make_boxes(header, drawing)]
        for track_id, points in trails.items():
            markers.append(self._make_trail(header, track_id, points))
        for track_id, center, label in zip(
            drawing.ids, compute_centers(drawing.boxes), drawing.labels, strict=True
        ):
            markers.append(self._make_label(header, int(track_id), center, label))
        current_ids = {int(number) for number in drawing.ids}
        for track_id in sorted(self._displayed_ids - current_ids):
            markers += [
                Marker(header=header, ns=namespace, id=track_id, action=Marker.DELETE)
                for namespace in ("trails", "labels")
            ]
        self._displayed_ids = current_ids
        return MarkerArray(markers=markers)

    def _make_plane(self, header: Header, width: int, height: int) -> Marker:
        """Return the plane of the image, which receives clicks beside the tracks."""
        marker = self._make_marker(header, "plane", 0, Marker.TRIANGLE_LIST)
        marker.scale = Vector3(x=1.0, y=1.0, z=1.0)
        marker.color = _PLANE_COLOR
        marker.pose.position.z = -_LINE_WIDTH_PX * self._pixel_size
        plane_corners = np.array([[0, 0], [0, height], [width, height], [width, 0]])
        marker.points = self._to_points(plane_corners[[0, 1, 2, 2, 3, 0]])  # visible from above
        return marker

    def _make_boxes(self, header: Header, marks: TrackDrawing) -> Marker:
        marker = self._make_marker(header, "boxes", 0, Marker.LINE_LIST)
        marker.points = self._to_points(_compute_outlines(marks))
        marker.colors = _choose_outline_colors(marks)
        return marker

    def _make_trail(self, header: Header, number: int, points: NDArray[np.float64]) -> Marker:
        marker = self._make_marker(header, "trails", number, Marker.LINE_STRIP)
        marker.color = _make_color(number, 0.7)
        marker.points = self._to_points(points[np.linspace(0, len(points) - 1, _TRAIL_POINTS).astype(int)])
        return marker

    def _make_label(self, header: Header, number: int, center: NDArray[np.float64], text: str) -> Marker:
        marker = self._make_marker(header, "labels", number, Marker.TEXT_VIEW_FACING)
        marker.color = _make_color(number, 1.0)
        marker.scale.z = _TEXT_HEIGHT_PX * self._pixel_size
        (marker.pose.position,) = self._to_points(center[None] - [0, _TEXT_HEIGHT_PX])
        marker.text = text
        return marker

    def _make_marker(self, header: Header, namespace: str, number: int, kind: int) -> Marker:
        marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
        marker.pose.orientation.w = 1.0
        marker.scale.x = _LINE_WIDTH_PX * self._pixel_size
        return marker

    def _to_points(self, pixels: NDArray[np.float64]) -> list[Point]:
        return [Point(x=x, y=-y) for x, y in (pixels * self._pixel_size).tolist()]


def make_image_marker(drawing: TrackDrawing, header: Header) -> ImageMarker:
    """Return all boxes as one marker in pixels, which Foxglove draws on the image with this header."""
    return ImageMarker(
        header=header,
        ns="tracks",
        type=ImageMarker.LINE_LIST,
        scale=1.0,
        points=[Point(x=x, y=y) for x, y in _compute_outlines(drawing).tolist()],
        outline_colors=_choose_outline_colors(drawing),
    )


def _compute_outlines(drawing: TrackDrawing) -> NDArray[np.float64]:
    """Return the ends of the four sides of each box, `(8 n, 2)`."""
    left, top, right, bottom = to_corners(drawing.boxes).T
    ring = np.stack([[left, top], [right, top], [right, bottom], [left, bottom]]).transpose(2, 0, 1)
    return ring[:, _SIDE_CORNERS].reshape(-1, 2)


def _choose_outline_colors(drawing: TrackDrawing) -> list[ColorRGBA]:
    """Return the color of each end of a side."""
    colors = zip(drawing.ids, drawing.visibilities, strict=True)
    return [
        _make_color(int(number), _OPACITY[presence]) for number, presence in colors for _ in _SIDE_CORNERS
    ]


def _make_color(number: int, opacity: float) -> ColorRGBA:
    blue, green, red = compute_track_color(number)
    return ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=opacity)
