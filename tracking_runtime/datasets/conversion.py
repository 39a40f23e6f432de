"""Conversion of videos to folders of frames and back, without loss.

A folder contains `img/000001.png` (or `.tif` for cubes) and so on, `gt.txt` in MOT format, and
`spectral_info.yaml`. `video.yaml` contains the rest: stamps, encoding, class names, and the frames without
known ground truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray

from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.datasets.result_files import write_tracks
from tracking_runtime.datasets.sequences import ImageSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import FrameSource, GroundTruth
from tracking_runtime.io.disk_list import DiskList, LazySequence
from tracking_runtime.io.image_file import read_image_file
from tracking_runtime.io.image_folder import SPECTRAL_INFO_FILE, read_spectral_info_file
from tracking_runtime.io.video_description import (
    TRUTH_FILE,
    VIDEO_FILE,
    VideoDescription,
    find_video_description,
)
from tracking_runtime.spectral_info import SpectralInfo

_IMAGE_FOLDER = "img"
_PNG_ENCODINGS = ("mono8", "mono16", "bgr8", "rgb8")  # all others are written as TIFF


def write_folder(source: FrameSource, folder: Path) -> Iterator[int]:
    """Write a source as a folder of frames, one frame at a time.

    Yields:
        Stamp of each frame in nanoseconds, after the frame is written.

    Raises:
        SourceError: the folder exists, a frame cannot be read, or the frames differ in their encoding.
    """
    try:
        (folder / _IMAGE_FOLDER).mkdir(parents=True)
    except FileExistsError:
        raise SourceError(f"{folder} exists already: choose another name") from None
    truths: DiskList[GroundTruth | None] = DiskList()
    stamps_ns: list[int] = []
    encoding = ""
    for number, frame in enumerate(source, start=1):
        if encoding and frame.encoding != encoding:
            raise SourceError(
                f"{source.name}: all frames must have one encoding: got {frame.encoding} in frame {number}, "
                f"expected {encoding}"
            )
        encoding = frame.encoding
        _write_image(folder / _IMAGE_FOLDER / f"{number:06d}", frame.image, encoding)
        truths.append(frame.truth)
        stamps_ns.append(frame.stamp_ns)
        yield frame.stamp_ns
    write_tracks(
        folder / TRUTH_FILE, LazySequence(len(truths), lambda index: _to_scored_boxes(truths[index]))
    )
    if source.spectral_info is not None:
        _write_yaml(folder / SPECTRAL_INFO_FILE, _describe_spectral_info(source.spectral_info))
    without_truth = tuple(number for number, truth in enumerate(truths, start=1) if truth is None)
    description = VideoDescription(
        source.rate_hz, encoding, source.class_names, without_truth, tuple(stamps_ns)
    )
    _write_yaml(folder / VIDEO_FILE, _to_yaml_data(asdict(description)))


def open_converted_folder(name: str, folder: Path, image_paths: tuple[Path, ...]) -> ImageSequence | None:
    """Open a video that `write_folder` has written. Return None if `video.yaml` is missing.

    Args:
        name: name of the video.
        folder: folder of the images.
        image_paths: image files in order.

    Raises:
        SourceError: `video.yaml` or `spectral_info.yaml` is invalid, or does not match the images.
    """
    description = find_video_description(folder, len(image_paths))
    if description is None:
        return None
    return ImageSequence(
        name,
        image_paths,
        partial(description.read_truth, folder.parent / TRUTH_FILE),
        partial(_read_image, description),
        class_names=description.class_names,
        spectral_info=read_spectral_info_file(folder),
        rate_hz=description.rate_hz,
        stamps_ns=description.stamps_ns,
    )


def _read_image(description: VideoDescription, path: Path) -> tuple[NDArray[Any], str]:
    image, _ = read_image_file(path)
    return description.decode_image(image, path), description.encoding


def _write_image(stem: Path, image: NDArray[Any], encoding: str) -> None:
    if encoding in _PNG_ENCODINGS:
        bgr = image[..., ::-1] if encoding == "rgb8" else image
        if not cv2.imwrite(f"{stem}.png", np.ascontiguousarray(bgr)):
            raise SourceError(f"{stem}.png cannot be written; check the free space and the permissions")
        return
    planar_config = "contig" if image.ndim == 3 else None
    pixels = np.ascontiguousarray(image)
    tifffile.imwrite(f"{stem}.tif", pixels, photometric="minisblack", planarconfig=planar_config)


def _to_scored_boxes(truth: GroundTruth | None) -> ScoredBoxes:
    if truth is None:
        return ScoredBoxes.none()
    return ScoredBoxes(truth.ids, truth.boxes, np.ones(len(truth.ids)), truth.class_ids.astype(np.int64))


def _describe_spectral_info(info: SpectralInfo) -> dict[str, Any]:
    known = {key: value for key, value in _to_yaml_data(asdict(info)).items() if value is not None}
    return {**known, "calibration": int(info.calibration)}


def _to_yaml_data(content: dict[str, Any]) -> dict[str, Any]:
    """Convert tuples to lists, which YAML can write."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")
