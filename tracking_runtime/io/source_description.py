"""Description of a source for users: its content and its peculiarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, FrameSource, GroundTruth, compute_box_image_size
from tracking_runtime.io.notes import collect_notes

_NS_PER_SECOND = 1e9
_MAX_CLIPPED = 0.05  # fraction of samples at the largest value that is told


@dataclass(frozen=True)
class TruthDescription:
    """Ground truth of a source.

    Attributes:
        num_frames: number of frames with known ground truth.
        num_objects: number of boxes in all frames.
        num_identities: number of different objects.
        class_names: names of the classes.
    """

    num_frames: int
    num_objects: int
    num_identities: int
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class SourceDescription:
    """Content of a source.

    Attributes:
        address: address of the source.
        kind: kind of the source, as in its address.
        name: name of the source.
        num_frames: number of frames; None for a live stream.
        rate_hz: frames per second.
        duration_s: number of frames divided by the rate, in seconds; None for a live stream.
        image_size: width and height of the first image in pixels.
        box_image_size: width and height in pixels of boxes; smaller than the image for a raw mosaic.
        encoding: encoding of the first image.
        num_channels: samples of a pixel.
        bits: significant bits of a sample: as stated by the source, else as the first image uses.
        details: further facts by their name: codec, container.
        wavelengths_nm: center of each band in nanometers; empty if unknown.
        fwhm_nm: full width at half maximum of each band; empty if unknown.
        mosaic: rows and columns of a raw mosaic; None for other images.
        truth: ground truth; None if the source has none.
        geography: position on the Earth as text; empty if unknown.
        remarks: peculiarities of the source, for people.
    """

    address: str
    kind: str
    name: str
    num_frames: int | None
    rate_hz: float
    duration_s: float | None
    image_size: tuple[int, int]
    box_image_size: tuple[int, int]
    encoding: str
    num_channels: int
    bits: int
    details: dict[str, str]
    wavelengths_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...]
    mosaic: tuple[int, int] | None
    truth: TruthDescription | None
    geography: str
    remarks: tuple[str, ...]


def describe_source(
    source: FrameSource, address: str, kind: str, *, is_live: bool = False
) -> SourceDescription:
    """Read the first frame and the ground truth of a source, and describe the source.

    Args:
        source: source.
        address: address of the source.
        kind: kind of the source.
        is_live: True for a live stream.

    Raises:
        SourceError: the source has no frames, or a file of it cannot be read.
    """
    with collect_notes() as notes:
        frame = next(iter(source), None)
        if frame is None:
            raise SourceError(f"{address} has no frames; check the source")
        truth, truth_remarks = (None, []) if is_live else _describe_truth(source, frame)
    num_frames = None if is_live else len(source)
    bands = source.spectral_info
    height, width = frame.image.shape[:2]
    facts = getattr(source, "facts", None)
    return SourceDescription(
        address=address,
        kind=kind,
        name=source.name,
        num_frames=num_frames,
        rate_hz=source.rate_hz,
        duration_s=None if num_frames is None else num_frames / source.rate_hz,
        image_size=(width, height),
        box_image_size=compute_box_image_size(frame, bands),
        encoding=frame.encoding,
        num_channels=1 if frame.image.ndim == 2 else frame.image.shape[2],
        bits=_count_bits(source, frame),
        details={} if facts is None else _describe_video(facts),
        wavelengths_nm=() if bands is None else bands.wavelengths_nm,
        fwhm_nm=() if bands is None else bands.fwhm_nm,
        mosaic=None if bands is None else bands.mosaic,
        truth=truth,
        geography=_describe_geography(source),
        remarks=(
            *getattr(source, "remarks", ()),
            *_find_rate_remarks(source),
            *_find_image_remarks(frame),
            *truth_remarks,
            *notes,
        ),
    )


def _describe_video(facts: Any) -> dict[str, str]:
    return {"container": facts.container, "codec": facts.codec, "pixel format": facts.pixel_format}


def _count_bits(source: FrameSource, frame: Frame) -> int:
    """Return the bits of a sample that the source states, else those that the image uses."""
    facts = getattr(source, "facts", None)
    if facts is not None:
        return int(facts.bits)
    bands = source.spectral_info
    if bands is not None and bands.bit_depth:
        return bands.bit_depth
    if frame.image.dtype == np.uint16:
        return max(8, int(frame.image.max()).bit_length())
    return 8 * frame.image.dtype.itemsize


def _describe_geography(source: FrameSource) -> str:
    georeference = getattr(source, "georeference", None)
    if georeference is None:
        return ""
    crs = " ".join(georeference.crs.split()) or "unknown coordinate reference system"
    return f"{crs}, map {georeference.transform}"


def _find_rate_remarks(source: FrameSource) -> list[str]:
    has_variable_rate = getattr(source, "has_variable_rate", None)
    if has_variable_rate is not None and has_variable_rate():
        return ["its frame rate varies: the frames have the times of the file"]
    return []


def _find_image_remarks(frame: Frame) -> list[str]:
    image = frame.image
    if image.size and (image == image.flat[0]).all():
        return [f"all samples of the first frame are {image.flat[0]}"]
    if image.dtype.kind != "u":
        return []
    largest = int(image.max())
    clipped = float((image == largest).mean())
    is_full = largest + 1 & largest == 0  # 255, 1023, 4095, ...
    if is_full and clipped > _MAX_CLIPPED:
        return [f"{clipped:.0%} of the samples of the first frame are {largest}"]
    return []


def _describe_truth(source: FrameSource, frame: Frame) -> tuple[TruthDescription | None, list[str]]:
    """Return the ground truth and its peculiarities; None if no frame has any."""
    truths: Sequence[GroundTruth | None] | None = getattr(source, "truth", None)
    if truths is None:
        truths = [] if frame.truth is None else [each.truth for each in source]
    width, height = compute_box_image_size(frame, source.spectral_info)
    num_frames = num_objects = num_outside = 0
    identities: set[int] = set()
    for truth in truths:
        if truth is None:
            continue
        num_frames += 1
        num_objects += len(truth.ids)
        identities.update(truth.ids.tolist())
        corners = truth.boxes[:, :2] + truth.boxes[:, 2:]
        is_outside = (corners <= 0).any(axis=1) | (truth.boxes[:, 0] >= width) | (truth.boxes[:, 1] >= height)
        num_outside += int(is_outside.sum())
    if not num_frames:
        return None, []
    remarks = [f"{num_outside} boxes of its ground truth are outside of the image"] if num_outside else []
    if num_frames < len(truths):
        remarks.append(f"{len(truths) - num_frames} of {len(truths)} frames have no ground truth")
    return TruthDescription(num_frames, num_objects, len(identities), source.class_names), remarks
