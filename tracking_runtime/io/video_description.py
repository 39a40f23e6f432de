"""``video.yaml``: what a folder of frames and its text cannot say of a recording that was turned into it."""

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
from tracking_runtime.io.disk_list import Made, padded
from tracking_runtime.io.ground_truth import read_ground_truth

VIDEO_FILE = "video.yaml"
TRUTH_FILE = "gt.txt"


@dataclass(frozen=True)
class VideoDescription:
    """What the file says.

    Attributes:
        rate_hz: frames a second.
        encoding: of the images.
        class_names: of the classes that ``gt.txt`` numbers from 1.
        without_truth: numbers, from 1, of the frames of which nothing is known.
        stamps_ns: of all frames.
    """

    rate_hz: float
    encoding: str
    class_names: tuple[str, ...]
    without_truth: tuple[int, ...]
    stamps_ns: tuple[int, ...]

    def read_truth(self, path: Path) -> Sequence[GroundTruth | None]:
        """What is in each frame, from a file as MOT has it, which is empty where nothing is in any.

        Raises:
            SourceError: the file cannot be believed.
        """
        count, unknown = len(self.stamps_ns), set(self.without_truth)
        known: Sequence[GroundTruth | None] = []
        if path.stat().st_size:
            known = read_ground_truth(path, count, class_names=self.class_names)
        complete = padded(known, count, GroundTruth())
        return Made(count, lambda index: None if index + 1 in unknown else complete[index])

    def decoded(self, image: NDArray[Any]) -> NDArray[Any]:
        """An image file's pixels, colours as BGR, in the order of the encoding."""
        return np.ascontiguousarray(image[..., ::-1]) if self.encoding == "rgb8" else image


def find_description(images: Path, count: int) -> VideoDescription | None:
    """The description beside a folder of images, if there is one.

    Raises:
        SourceError: it is not that, or of another number of images.
    """
    path = images.parent / VIDEO_FILE
    if not path.is_file():
        return None
    try:
        rules = dacite.Config(strict=True, cast=[tuple, float])
        described = dacite.from_dict(VideoDescription, yaml.safe_load(path.read_text()), rules)
    except (yaml.YAMLError, dacite.DaciteError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(f"{path} does not describe a video: {error}") from error
    if len(described.stamps_ns) != count:
        raise SourceError(f"{path}: {len(described.stamps_ns)} stamps for {count} images")
    return described
