"""Stream of images: decides when an image continues the stream, and counts the epochs."""

from __future__ import annotations

from dataclasses import dataclass

from tracking_runtime.errors import FrameRefusedError


@dataclass(frozen=True)
class ImageFormat:
    """Properties that all images of one camera share.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        encoding: encoding as in sensor_msgs/Image.
        frame_id: frame_id of the camera.
    """

    width: int
    height: int
    encoding: str
    frame_id: str

    def is_continued_by(self, other: ImageFormat, tolerance_px: int) -> bool:
        """Return whether an image of the other format belongs to the same stream.

        Args:
            other: format of the newer image.
            tolerance_px: allowed difference in rows and columns. Stabilized video gains and loses a few.
        """
        difference_px = max(abs(other.width - self.width), abs(other.height - self.height))
        is_same_camera = (other.encoding, other.frame_id) == (self.encoding, self.frame_id)
        return is_same_camera and difference_px <= tolerance_px

    def __str__(self) -> str:
        return f"{self.width} x {self.height} {self.encoding} with frame_id {self.frame_id!r}"


class ImageStream:
    """Stamps and format of the images of one camera, split into epochs.

    Attributes:
        epoch: number of resets since the node was configured.
        format: format of the first image in the current epoch; None before that image.
        last_stamp_ns: stamp of the newest image in the current epoch in nanoseconds; 0 before that image.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.format: ImageFormat | None = None
        self.last_stamp_ns = 0

    def check_stamp(self, stamp_ns: int, now_ns: int, max_age_s: float) -> None:
        """Refuse an image whose stamp is zero, repeated or too old.

        Args:
            stamp_ns: stamp of the image in nanoseconds.
            now_ns: current time on the clock of the stamps in nanoseconds.
            max_age_s: highest age in seconds; 0 disables the limit.

        Raises:
            FrameRefusedError: the image cannot be used; the message has the reason.
        """
        if stamp_ns <= 0:
            raise FrameRefusedError("the frame's stamp is zero: the camera driver must set it")
        if stamp_ns == self.last_stamp_ns:
            raise FrameRefusedError(f"the frame has the stamp of the previous frame, {stamp_ns / 1e9:.6f} s")
        age_s = (now_ns - stamp_ns) / 1e9
        if 0 < max_age_s < age_s:
            raise FrameRefusedError(f"the frame is {age_s:.3f} s old, max_age is {max_age_s:g} s")

    def is_continued_by(self, image_format: ImageFormat, tolerance_px: int) -> bool:
        """Return whether an image of this format continues the epoch. Any image continues an empty epoch."""
        return self.format is None or self.format.is_continued_by(image_format, tolerance_px)

    def append(self, image_format: ImageFormat, stamp_ns: int) -> None:
        """Add an image to the current epoch."""
        self.format = self.format or image_format
        self.last_stamp_ns = stamp_ns

    def begin_epoch(self) -> None:
        """Begin an empty epoch."""
        self.epoch += 1
        self.format = None
        self.last_stamp_ns = 0
