"""A video as a folder of frames that loses nothing of a recording, and that any other tool reads as well.

``img/000001.png`` (or ``.tif`` for cubes) and so on, ``gt.txt`` as MOT has it, ``spectral_info.yaml``, and
``video.yaml`` with what the others cannot say: stamps, encoding, class names, and the frames without a truth.
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

from tracking_runtime.datasets.result_files import write_tracks
from tracking_runtime.datasets.sequences import ImageSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.frames import FrameSource, GroundTruth
from tracking_runtime.io.disk_list import Made, Spool
from tracking_runtime.io.sources import SPECTRAL_INFO_FILE, find_spectral_info, read_image_file
from tracking_runtime.io.video_description import TRUTH_FILE, VIDEO_FILE, VideoDescription, find_description
from tracking_runtime.spectral_info import SpectralInfo

_IMAGES = "img"
_AS_PNG = ("mono8", "mono16", "bgr8", "rgb8")


def write_folder(source: FrameSource, folder: Path) -> Iterator[int]:
    """Write a source as a folder of frames, one at a time.

    Yields:
        the stamp of each frame when it is written.

    Raises:
        SourceError: the folder exists, a frame cannot be read, or frames are of different encodings.
    """
    try:
        (folder / _IMAGES).mkdir(parents=True)
    except FileExistsError:
        raise SourceError(f"{folder} exists already: choose another name") from None
    truths: Spool[GroundTruth | None] = Spool()
    stamps: list[int] = []
    encoding = ""
    for number, frame in enumerate(source, start=1):
        if encoding and frame.encoding != encoding:
            raise SourceError(f"{source.name}: frame {number} is {frame.encoding} after frames of {encoding}")
        encoding = frame.encoding
        _write_image(folder / _IMAGES / f"{number:06d}", frame.image, encoding)
        truths.append(frame.truth)
        stamps.append(frame.stamp_ns)
        yield frame.stamp_ns
    write_tracks(folder / TRUTH_FILE, Made(len(truths), lambda index: _objects(truths[index])))
    if source.spectral_info is not None:
        _write_yaml(folder / SPECTRAL_INFO_FILE, _plain_info(source.spectral_info))
    unknown = tuple(number for number, truth in enumerate(truths, start=1) if truth is None)
    description = VideoDescription(source.rate_hz, encoding, source.class_names, unknown, tuple(stamps))
    _write_yaml(folder / VIDEO_FILE, _plain(asdict(description)))


def converted_video(name: str, folder: Path, images: tuple[Path, ...]) -> ImageSequence | None:
    """The video whose images ``write_folder`` has put into a folder; None if it was not that.

    Raises:
        SourceError: what is beside them does not belong to them.
    """
    described = find_description(folder, len(images))
    if described is None:
        return None
    return ImageSequence(
        name,
        images,
        partial(described.read_truth, folder.parent / TRUTH_FILE),
        partial(_read_image, described),
        class_names=described.class_names,
        spectral_info=find_spectral_info(folder),
        rate_hz=described.rate_hz,
        stamps_ns=described.stamps_ns,
    )


def _read_image(described: VideoDescription, path: Path) -> tuple[NDArray[Any], str]:
    image, _ = read_image_file(path)
    return described.decoded(image), described.encoding


def _write_image(stem: Path, image: NDArray[Any], encoding: str) -> None:
    if encoding in _AS_PNG:
        bgr = image[..., ::-1] if encoding == "rgb8" else image
        if not cv2.imwrite(f"{stem}.png", np.ascontiguousarray(bgr)):
            raise SourceError(f"{stem}.png cannot be written")
        return
    planar = "contig" if image.ndim == 3 else None
    pixels = np.ascontiguousarray(image)
    tifffile.imwrite(f"{stem}.tif", pixels, photometric="minisblack", planarconfig=planar)


def _objects(truth: GroundTruth | None) -> ScoredBoxes:
    if truth is None:
        return ScoredBoxes.none()
    return ScoredBoxes(truth.ids, truth.boxes, np.ones(len(truth.ids)), truth.class_ids.astype(np.int64))


def _plain_info(info: SpectralInfo) -> dict[str, Any]:
    known = {key: value for key, value in _plain(asdict(info)).items() if value is not None}
    return {**known, "calibration": int(info.calibration)}


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as YAML has them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")
