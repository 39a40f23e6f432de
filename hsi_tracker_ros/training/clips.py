"""Training clips of HA-Net on disk.

The clip NAME consists of two files. `NAME.npy` contains the cubes as 8-bit square roots of light, whose steps
are about as coarse as shot noise. `NAME.json` contains boxes, bands and statistics of the frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.files import read_file

SUBSAMPLING = 4
"""Step in pixels between the samples from which a frame's statistics are computed."""

_WHITE_PERCENTILE = 99.5


@dataclass(frozen=True)
class CubeClip:
    """A few frames with one target.

    Attributes:
        square_roots: square roots of light, (frames, height, width, bands) uint8; 255 is saturation.
        boxes: box of the target in each frame, (frames, 4): x, y, width, height; NaN if it is not visible.
        wavelengths_nm: center of each band in nm.
        band_means: mean light of each band in each frame, (frames, bands).
        white_levels: light that false color shows as white, of each frame.
    """

    square_roots: NDArray[np.uint8]
    boxes: Boxes
    wavelengths_nm: tuple[float, ...]
    band_means: NDArray[np.float32]
    white_levels: NDArray[np.float32]


def make_clip(
    cubes: Sequence[NDArray[np.float32]], boxes: Boxes, wavelengths_nm: Sequence[float]
) -> CubeClip:
    """Make a clip of cubes.

    Args:
        cubes: light of each frame, (height, width, bands); 1 is saturation.
        boxes: box of the target in each frame, (frames, 4); NaN if it is not visible.
        wavelengths_nm: center of each band in nm.
    """
    clipped = [np.clip(cube, 0, 1) for cube in cubes]
    samples = [cube[::SUBSAMPLING, ::SUBSAMPLING] for cube in clipped]
    return CubeClip(
        square_roots=np.stack([np.round(255 * np.sqrt(cube)).astype(np.uint8) for cube in clipped]),
        boxes=boxes,
        wavelengths_nm=tuple(float(wavelength) for wavelength in wavelengths_nm),
        band_means=np.stack([sample.mean(axis=(0, 1)) for sample in samples]),
        white_levels=np.array(
            [np.percentile(sample.max(axis=2), _WHITE_PERCENTILE) for sample in samples], np.float32
        ),
    )


def write_clip(folder: Path, name: str, clip: CubeClip) -> None:
    """Write `NAME.npy` and `NAME.json` of a clip into a folder, which is created.

    The description is written last, so that a clip with a description is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", clip.square_roots)
    description = {
        "boxes": clip.boxes.tolist(),
        "wavelengths_nm": clip.wavelengths_nm,
        "band_means": clip.band_means.tolist(),
        "white": clip.white_levels.tolist(),
    }
    (folder / f"{name}.json").write_text(json.dumps(description))


def read_clips(folder: Path) -> list[CubeClip]:
    """Open every clip of a folder. The cubes stay on disk until they are used.

    Raises:
        SourceError: the folder contains no clips, or a file of a clip is damaged.
    """
    clips = [_read_clip(path) for path in sorted(folder.glob("*.json"))]
    if not clips:
        raise SourceError(
            f"{folder} contains no training clips; render some with rstrack train hanet --count, or give "
            "--data with bands and ground truth"
        )
    return clips


def _read_clip(description_path: Path) -> CubeClip:
    try:
        description = json.loads(read_file(description_path))
        clip = CubeClip(
            square_roots=np.load(description_path.with_suffix(".npy"), mmap_mode="r"),
            boxes=np.array(description["boxes"], dtype=np.float64),
            wavelengths_nm=tuple(float(wavelength) for wavelength in description["wavelengths_nm"]),
            band_means=np.array(description["band_means"], dtype=np.float32),
            white_levels=np.array(description["white"], dtype=np.float32),
        )
        _check_shapes(clip)
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError, EOFError) as error:
        reason = f"{type(error).__name__} {error}"
        raise SourceError(
            f"{description_path} must be the description of a training clip: got {reason}; render it again"
        ) from error
    return clip


def _check_shapes(clip: CubeClip) -> None:
    """Raise ValueError if the arrays of a clip differ in the number of frames or bands."""
    num_frames, num_bands = len(clip.boxes), len(clip.wavelengths_nm)
    cubes = clip.square_roots
    shapes = {
        "boxes": (clip.boxes.shape, (num_frames, 4)),
        "band_means": (clip.band_means.shape, (num_frames, num_bands)),
        "white": (clip.white_levels.shape, (num_frames,)),
        "cubes": ((cubes.ndim, *cubes.shape[:1], *cubes.shape[-1:]), (4, num_frames, num_bands)),
    }
    for name, (shape, expected) in shapes.items():
        if shape != expected:
            raise ValueError(f"{name} of shape {shape}, expected {expected}")
