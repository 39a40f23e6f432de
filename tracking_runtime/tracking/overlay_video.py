"""Overlay of tracks as a video, drawn and encoded in a thread of its own."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes
from tracking_runtime.frames import Frame
from tracking_runtime.io.video_writer import VideoWriter
from tracking_runtime.messages.image_encodings import encode_jpeg
from tracking_runtime.overlay import (
    BgrImage,
    TrackDrawing,
    TrackVisibility,
    Trails,
    draw_frame,
    draw_overlay,
    limit_size,
)
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.tracking.track_files import get_class_name

MAX_SCALE = 8

_MAX_SIDE_PX = 3840  # players do not play larger H.264 video
_CLEAR_SIDE_PX = 640  # smaller images are enlarged, so that labels can be read
_MAX_AUTO_SCALE = 4
_MAX_WAITING_FRAMES = 4  # frames that wait for the thread; more would only use memory
_NUM_PICTURES = 6  # largest number of pictures for the report
_PICTURE_SIDE_PX = 1280
_JPEG_QUALITY = 85
_VISIBILITIES = {
    "": TrackVisibility.SEEN,
    "confirmed": TrackVisibility.SEEN,
    "tracking": TrackVisibility.SEEN,
    "uncertain": TrackVisibility.UNSURE,
    "lost": TrackVisibility.UNSEEN,
}


class OverlayVideo:
    """An MP4 file of frames with ids, states, trails and ground truth, and some of its pictures as JPEG.

    Images above 3840 pixels are reduced. The file can be played up to the last second while it is written.

    Args:
        path: file to write; None keeps only the pictures.
        rate_hz: approximate frames per second.
        bands: bands of the camera; None for a gray or color camera.
        scale: factor by which images are enlarged; 0: chosen by their size.
        trail: number of frames that a trail shows. Higher draws longer trails.

    Attributes:
        pictures: caption and JPEG of up to six frames spread over the video.
    """

    def __init__(
        self,
        path: Path | None,
        rate_hz: float,
        *,
        bands: SpectralInfo | None = None,
        scale: int = 0,
        trail: int = 30,
    ) -> None:
        self.pictures: list[tuple[str, bytes]] = []
        self._writer = VideoWriter(path, rate_hz) if path is not None else None
        self._bands = bands
        self._scale = scale
        self._trails = Trails(trail)
        self._num_frames = 0
        self._picture_stride = 1
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="overlay")
        self._waiting: deque[Future[None]] = deque()

    def write(
        self, frame: Frame, drawing: TrackDrawing, *, truth: Boxes | None = None, caption: str = ""
    ) -> None:
        """Draw a frame and append it to the video. Wait while too many frames are being drawn.

        Raises:
            OSError: an earlier frame could not be written, for example because the disk is full.
        """
        self._waiting.append(self._pool.submit(self._draw, frame, drawing, truth, caption))
        while len(self._waiting) > _MAX_WAITING_FRAMES or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()

    def clear_trails(self) -> None:
        """Remove the trails, for example where the tracks start anew."""
        self._waiting.append(self._pool.submit(self._trails.clear))

    def close(self) -> None:
        """Write the frames that wait, and finish the file.

        Raises:
            OSError: a frame could not be written.
        """
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown()
            if self._writer is not None:
                self._writer.close()

    def _draw(self, frame: Frame, drawing: TrackDrawing, truth: Boxes | None, caption: str) -> None:
        image = draw_frame(frame, self._bands)
        reduction = min(1.0, _MAX_SIDE_PX / max(image.shape[:2]))
        if reduction < 1:
            size = round(image.shape[1] * reduction), round(image.shape[0] * reduction)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            drawing = replace(drawing, boxes=drawing.boxes * reduction)
            truth = None if truth is None else truth * reduction
        self._trails.update(drawing)
        is_picture = self._is_picture_due()
        if self._writer is None and not is_picture:
            return
        overlay = draw_overlay(
            image,
            drawing,
            trails=self._trails,
            truth=truth,
            caption=caption,
            scale=self._scale or _choose_scale(image),
        )
        if self._writer is not None:
            self._writer.write(overlay, frame.stamp_ns)
        if is_picture:
            jpeg = encode_jpeg(limit_size(overlay, _PICTURE_SIDE_PX), _JPEG_QUALITY)
            self.pictures.append((caption, jpeg))

    def _is_picture_due(self) -> bool:
        """Return True for every n-th frame. n doubles when there are too many pictures."""
        if len(self.pictures) == _NUM_PICTURES:
            self.pictures = self.pictures[::2]
            self._picture_stride *= 2
        self._num_frames += 1
        return (self._num_frames - 1) % self._picture_stride == 0


def make_drawing(tracks: ScoredBoxes, class_names: tuple[str, ...]) -> TrackDrawing:
    """Convert tracks to a drawing. A label is the id, the class unless it is the first, and `lost`."""
    states = tracks.states or ("",) * len(tracks.ids)
    labels = []
    for track_id, class_id, state in zip(tracks.ids, tracks.class_ids, states, strict=True):
        class_name = get_class_name(class_names, int(class_id)) if class_id > 0 else ""
        labels.append(" ".join(part for part in (str(track_id), class_name, _describe_state(state)) if part))
    return TrackDrawing(
        tracks.ids,
        tracks.boxes,
        [_VISIBILITIES.get(state, TrackVisibility.UNSURE) for state in states],
        labels,
    )


def _describe_state(state: str) -> str:
    return state if state in ("lost", "uncertain") else ""


def _choose_scale(image: BgrImage) -> int:
    return int(np.clip(_CLEAR_SIDE_PX // max(image.shape[:2]), 1, _MAX_AUTO_SCALE))
