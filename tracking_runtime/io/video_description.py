"""`video.yaml`, written by `rstrack convert`: facts that a folder of frames cannot express."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dacite
import numpy as np
import yaml
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import LazySequence, pad_sequence
from tracking_runtime.io.ground_truth import read_ground_truth

VIDEO_FILE = "video.yaml"
TRUTH_FILE = "gt.txt"


@dataclass(frozen=True)
class VideoDescription:
    """Content of `video.yaml`. The attributes are its keys.

    Attributes:
        rate_hz: frames per second.
        encoding: encoding of the images, as in sensor_msgs/Image.
        class_names: names of the classes that `gt.txt` numbers from 1.
        without_truth: numbers, from 1, of the frames without known ground truth.
        stamps_ns: stamps of all frames in nanoseconds.
    """

    rate_hz: float
    encoding: str
    class_names: tuple[str, ...]
    without_truth: tuple[int, ...]
    stamps_ns: tuple[int, ...]

    def read_truth(self, path: Path) -> Sequence[GroundTruth | None]:
        """Read the ground truth of each frame, None for the frames in `without_truth`.

        Args:
            path: file in MOT format. An empty file means that no frame has objects.

        Raises:
            SourceError: a row of the file is invalid.
        """
        num_frames = len(self.stamps_ns)
        frames_without_truth = set(self.without_truth)
        annotated: Sequence[GroundTruth | None] = []
        if path.stat().st_size:
            annotated = read_ground_truth(path, num_frames, class_names=self.class_names)
        complete = pad_sequence(annotated, num_frames, GroundTruth())
        return LazySequence(
            num_frames, lambda index: None if index + 1 in frames_without_truth else complete[index]
        )

    def decode_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the pixels of an image file, read as BGR, with the channels in the order of the encoding."""
        return np.ascontiguousarray(image[..., ::-1]) if self.encoding == "rgb8" else image


def find_video_description(image_folder: Path, num_images: int) -> VideoDescription | None:
    """Read the description beside a folder of images; None if the file does not exist.

    Args:
        image_folder: folder of the images. `video.yaml` is in its parent.
        num_images: number of images that the description must match.

    Raises:
        SourceError: the file is not a description, or has another number of stamps than images.
    """
    path = image_folder.parent / VIDEO_FILE
    if not path.is_file():
        return None
    try:
        rules = dacite.Config(strict=True, cast=[tuple, float])
        description = dacite.from_dict(VideoDescription, yaml.safe_load(path.read_text()), rules)
    except (yaml.YAMLError, dacite.DaciteError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(f"{path} does not describe a video: {error}") from error
    if len(description.stamps_ns) != num_images:
        raise SourceError(f"{path}: {len(description.stamps_ns)} stamps for {num_images} images")
    return description
