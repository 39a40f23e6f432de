"""Facts that a folder of frames cannot express: `video.yaml` of `rstrack convert`, `seqinfo.ini` of MOT."""

from __future__ import annotations

import configparser
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dacite
import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import LazySequence, pad_sequence
from tracking_runtime.io.ground_truth import read_ground_truth
from tracking_runtime.io.image_file import find_video_folder
from tracking_runtime.messages.image_encodings import parse_encoding
from tracking_runtime.untrusted.documents import DocumentError, parse_yaml
from tracking_runtime.untrusted.files import read_file
from tracking_runtime.untrusted.limits import DOCUMENT_BYTES

VIDEO_FILE = "video.yaml"
TRUTH_FILE = "gt.txt"

_SEQUENCE_FILE = "seqinfo.ini"
_MAX_RATE_HZ = 1e9  # a nanosecond a frame
_BYTES_PER_IMAGE = 50  # most bytes of an image in the lists of `video.yaml`


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

    def decode_image(self, image: NDArray[Any], path: Path) -> NDArray[Any]:
        """Return the pixels of an image file, read as BGR, with the channels in the order of the encoding.

        Args:
            image: pixels.
            path: image file, for the message.

        Raises:
            SourceError: the image has another type or number of channels than the encoding.
        """
        dtype, num_channels = parse_encoding(self.encoding)
        image_channels = 1 if image.ndim == 2 else image.shape[2]
        if image.dtype != dtype or image_channels != num_channels:
            raise SourceError(
                f"{path} must have {num_channels} channels of {dtype}, because {VIDEO_FILE} names the "
                f"encoding {self.encoding}: got {image_channels} channels of {image.dtype}"
            )
        return np.ascontiguousarray(image[..., ::-1]) if self.encoding == "rgb8" else image


def find_video_description(image_folder: Path, num_images: int) -> VideoDescription | None:
    """Read the description beside a folder of images; None if the file does not exist.

    Args:
        image_folder: folder of the images. If it has a usual name, as `img`, `video.yaml` is beside it.
        num_images: number of images that the description must match.

    Raises:
        SourceError: the file is not a description, or has another number of stamps than images.
    """
    video_folder = find_video_folder(image_folder)
    path = None if video_folder is None else video_folder / VIDEO_FILE
    if path is None or not path.is_file():
        return None
    try:
        rules = dacite.Config(strict=True, cast=[tuple, float])
        DOCUMENT_BYTES.check(path.stat().st_size - num_images * _BYTES_PER_IMAGE, path)
        description = dacite.from_dict(VideoDescription, parse_yaml(read_file(path)), rules)
        parse_encoding(description.encoding)
        if not 0 < description.rate_hz <= _MAX_RATE_HZ:
            raise ValueError(f"rate_hz must be above 0: got {description.rate_hz}")
        if any(not 0 <= stamp_ns < 1 << 63 for stamp_ns in description.stamps_ns):
            raise ValueError("stamps_ns must not be negative")
    except (
        DocumentError,
        FrameRefusedError,
        dacite.DaciteError,
        OSError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
    ) as error:
        raise SourceError(f"{path} does not describe a video: {error}") from error
    if len(description.stamps_ns) != num_images:
        raise SourceError(f"{path}: {len(description.stamps_ns)} stamps for {num_images} images")
    return description


def read_sequence_rate(image_folder: Path) -> float | None:
    """Read the frames per second in `seqinfo.ini`, as in the MOT challenge; None if the file does not exist.

    Args:
        image_folder: folder of the images. The file is in it, or beside it if it has a usual name, as `img`.

    Raises:
        SourceError: the file has no valid `frameRate`.
    """
    folders = [folder for folder in (image_folder, find_video_folder(image_folder)) if folder is not None]
    candidates = [path for folder in folders for path in list_visible(folder)]
    path = next((path for path in candidates if path.name.casefold() == _SEQUENCE_FILE), None)
    if path is None or not path.is_file():
        return None
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_file(path).decode("utf-8-sig"))
        text = next(section["frameRate"] for section in parser.values() if "frameRate" in section)
        rate_hz = float(text)
    except StopIteration:
        return None
    except (OSError, configparser.Error, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{path} must name a frameRate below a line [Sequence], as frameRate=25: {reason}"
        ) from error
    if not (0 < rate_hz <= _MAX_RATE_HZ and math.isfinite(rate_hz)):
        raise SourceError(f"{path}: frameRate must be above 0 frames per second: got {text}")
    return rate_hz
