"""Frames from a file of cubes, or from a folder of them as hyperspectral video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.array_files import open_array_file
from tracking_runtime.io.band_list import (
    find_wavelengths_in_names,
    make_spectral_info,
    parse_band_numbers,
    parse_wavelengths,
)
from tracking_runtime.io.cube_file import CubeFile
from tracking_runtime.io.envi import open_envi
from tracking_runtime.io.esri_raster import open_esri
from tracking_runtime.io.frame_numbers import read_image_numbers
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.io.ground_truth import (
    OnInvalidTruth,
    find_ground_truth,
    find_stated_truth,
    find_truth_file,
    read_source_truth,
)
from tracking_runtime.io.image_file import is_image, list_images, make_natural_sort_key, read_image_file
from tracking_runtime.io.image_folder import read_spectral_info_file
from tracking_runtime.io.raster import Pages, open_raster
from tracking_runtime.io.source_kinds import CubeFormat, find_cube_format
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.untrusted.limits import IMAGE_BYTES

_DEFAULT_RATE_HZ = 10.0
_ALL_BANDS = "all"
_BANDS_IN_FILES = "files"
_REFERENCE_PREFIXES = ("whiteref", "darkref", "white_ref", "dark_ref")  # names of references beside a capture
_TRUTH_SUFFIXES = ("_gt.txt", "_gt.csv", ".gt.txt", ".gt.csv")  # of ground truth, after the name of the file
_ARRAY_SUFFIXES = {".mat", ".npy", ".npz"}


@dataclass(frozen=True)
class CubeOptions:
    """Options of reading a file of cubes. The attributes are options of `CubeSource`."""

    variable: str = ""
    axes: str = ""
    pages: Pages = ""
    num_known_bands: int = 0


def open_cube_file(path: Path, options: CubeOptions | None = None) -> CubeFile:
    """Open a file of cubes of any format: ENVI, ESRI, NumPy, MATLAB, HDF5, TIFF, other rasters and images.

    Raises:
        SourceError: the file is not a cube, is damaged, or is larger than a limit.
    """
    options = options or CubeOptions()
    cube_format = find_cube_format(path)
    if cube_format is CubeFormat.ENVI:
        return open_envi(path)
    if cube_format is CubeFormat.ESRI:
        return open_esri(path)
    if cube_format is CubeFormat.ARRAY:
        return open_array_file(path, variable=options.variable, axes=options.axes)
    return open_raster(path, pages=options.pages, num_known_bands=options.num_known_bands)


class CubeSource:
    """Cubes as a camera: the frames of a file, or the files of a folder in natural order of their names.

    The option `wavelengths` describes the bands, else `spectral_info.yaml` in the folder, else the header of
    the file.

    Args:
        path: file or folder.
        rate: frames per second; stamps are multiples of its inverse.
        classes: names, separated by commas, of the classes that the ground truth numbers from 1.
        malformed: policy for invalid rows of the ground truth, as in `read_source_truth`.
        truth: path of the ground truth. Empty: found. `none`: no ground truth.
        bands: numbers of the bands to use, from 1, as `3-40,45`. `all`: also those that the header lists as
            bad. `files`: the images of a folder are the bands of one cube. Empty: all good bands.
        wavelengths: centers of the bands in nm: one for each, or the first and the last as `400-700`.
        variable: name of the array in a file with several.
        axes: axes of the array, of t (time), y, x and c (band), for example `cyx`.
        pages: meaning of the pages of a TIFF: `frames`, `bands`, `rows` or `cube`, see `open_raster`.

    Attributes:
        path: file or folder.
        attributes: empty, as the field of a benchmark's videos.

    Raises:
        SourceError: the cubes cannot be read, or an option is invalid.
    """

    attributes: tuple[str, ...] = ()

    def __init__(
        self,
        path: str | Path,
        *,
        rate: float | None = None,
        classes: str = "",
        malformed: OnInvalidTruth = "raise",
        truth: str = "",
        bands: str = "",
        wavelengths: str = "",
        variable: str = "",
        axes: str = "",
        pages: Pages = "",
    ) -> None:
        self._arguments = {
            "rate": rate, "classes": classes, "malformed": malformed, "truth": truth, "bands": bands,
            "wavelengths": wavelengths, "variable": variable, "axes": axes, "pages": pages,
        }  # fmt: skip
        self.path = Path(path)
        if rate is not None and not 0 < float(rate) < float("inf"):
            raise SourceError(f"rate {rate} of {path} must be above 0 frames per second")
        self._rate_hz = float(rate or _DEFAULT_RATE_HZ)
        self._class_names = tuple(name for name in str(classes).split(",") if name)
        self._malformed = malformed
        self._stated_truth = str(truth)
        if self._stated_truth:
            find_stated_truth(self._stated_truth)
        folder = self.path if self.path.is_dir() else self.path.parent
        described = read_spectral_info_file(folder)
        num_known_bands = len(described.wavelengths_nm) if described else 0
        self._options = CubeOptions(str(variable), str(axes), pages, num_known_bands)
        self._files = self._list_files(str(bands))
        first = self._open_file(0)
        self._bands = _choose_bands(first, str(bands))
        self._spectral_info = _find_spectral_info(first, described, str(wavelengths), self._bands)
        self._num_frames = first.num_frames if len(self._files) == 1 else len(self._files)
        if len(self._files) > 1 and first.num_frames > 1:
            raise SourceError(
                f"{first.path} has {first.num_frames} frames: a folder of cubes must have one in each file; "
                "give the path of the file"
            )
        self._first = first

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy the source to another process by opening it there."""
        return _reopen, (self.path, self._arguments)

    @property
    def name(self) -> str:
        """Name of the folder, or of the file without suffix."""
        path = self.path.resolve()
        return path.name if path.is_dir() else path.stem

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self._rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the ground truth."""
        return self._class_names or ("object",)

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of the frames; None if they are not described."""
        return self._spectral_info

    @property
    def georeference(self) -> GeoReference | None:
        """Position of the first frame on the Earth; None if unknown."""
        return self._first.georeference

    @property
    def options_text(self) -> str:
        """Options of the source as text."""
        return repr(self._arguments)

    @property
    def band_indices(self) -> tuple[int, ...]:
        """Indices of the used bands in the file, from 0."""
        return self._bands

    @property
    def remarks(self) -> tuple[str, ...]:
        """Statements about assumptions and oddities of the file, for users."""
        omitted = self._first.num_bands - len(self._first.good_bands)
        text = f"its header lists {omitted} of {self._first.num_bands} bands as bad"
        return (*self._first.remarks, *([text] if omitted else []))

    @cached_property
    def truth(self) -> Sequence[GroundTruth | None]:
        """Ground truth of each frame, read on first access; None where it is unknown.

        Raises:
            SourceError: the ground-truth file is invalid.
        """
        stated = self._stated_truth
        path = find_stated_truth(stated) if stated else _find_truth(self.path, len(self))
        if path is None:
            return [None] * len(self)
        return read_source_truth(
            path,
            len(self),
            class_names=self._class_names,
            policy=self._malformed,
            image_numbers=read_image_numbers([paths[0] for paths in self._files]) if len(self) > 1 else None,
        )

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._num_frames

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames. A frame is read when it is due."""
        return (self.read_frame(index) for index in range(len(self)))

    def read_frame(self, index: int) -> Frame:
        """Read one frame. The index counts from 0.

        Raises:
            SourceError: the frame cannot be read, or has other bands than the first.
        """
        is_single = len(self._files) == 1
        file = self._first if is_single or index == 0 else self._open_file(index)
        if (file.num_bands, file.height, file.width) != (
            self._first.num_bands,
            self._first.height,
            self._first.width,
        ):
            raise SourceError(
                f"{file.path} must have the size of the first cube: got {_describe_size(file)}, expected "
                f"{_describe_size(self._first)}; remove the file from the folder"
            )
        image, encoding = file.read_frame(index if is_single else 0, self._bands)
        return Frame(round((index + 1) * 1e9 / self._rate_hz), image, encoding, truth=self.truth[index])

    def _list_files(self, bands: str) -> list[list[Path]]:
        """Return the files of each frame: one, or the bands of the only frame."""
        if not self.path.is_dir():
            if bands == _BANDS_IN_FILES:
                raise SourceError(
                    f"bands=files needs a folder of images with one band each: got the file {self.path}"
                )
            return [[self.path]]
        if bands == _BANDS_IN_FILES:
            return [_list_images(self.path)]
        return [[path] for path in _list_cubes(self.path)]

    def _open_file(self, index: int) -> CubeFile:
        paths = self._files[index]
        return _stack_images(self.path, paths) if len(paths) > 1 else open_cube_file(paths[0], self._options)


def _reopen(path: Path, arguments: dict[str, Any]) -> CubeSource:
    return CubeSource(path, **arguments)


def _list_images(folder: Path) -> list[Path]:
    paths = list_images(folder)
    if len(paths) < 2:
        raise SourceError(f"{folder} must hold an image for each band: got {len(paths)}; give another folder")
    return paths


def _list_cubes(folder: Path) -> list[Path]:
    """Return the cubes of a folder in natural order: those of ENVI and ESRI, else arrays, else images."""
    files = [path for path in list_visible(folder) if path.is_file()]
    headers = [path for path in files if path.suffix.lower() == ".hdr"]
    arrays = [path for path in files if path.suffix.lower() in _ARRAY_SUFFIXES]
    images = [path for path in files if is_image(path)]
    cubes = headers or arrays or images
    cubes = [path for path in cubes if not path.name.lower().startswith(_REFERENCE_PREFIXES)]
    if not cubes:
        raise SourceError(
            f"{folder} holds no cubes (ENVI, ESRI, .mat, .npy, .npz or images); give another folder"
        )
    return sorted(cubes, key=make_natural_sort_key)


def _stack_images(folder: Path, paths: Sequence[Path]) -> CubeFile:
    """Return the images of a folder as the bands of one cube."""
    first, _ = read_image_file(paths[0])
    height, width = first.shape[:2]
    IMAGE_BYTES.check(first.nbytes * len(paths), folder)

    def read_band(path: Path) -> NDArray[Any]:
        band, _ = read_image_file(path)
        if band.shape != (height, width) or band.dtype != first.dtype:
            raise SourceError(
                f"{path} must be a band as the first: got {band.dtype.name} {band.shape}, expected "
                f"{first.dtype.name} {(height, width)}; remove the file from the folder"
            )
        return band

    found = find_wavelengths_in_names([path.stem.replace("_", " ") for path in paths])
    return CubeFile(
        folder,
        num_frames=1,
        height=height,
        width=width,
        num_bands=len(paths),
        view_frame=lambda _: np.stack([read_band(path) for path in paths], axis=2),
        spectral_info=make_spectral_info(found, (), "nm", folder) if found else None,
    )


def _choose_bands(file: CubeFile, bands: str) -> tuple[int, ...]:
    """Return the indices of the bands to use."""
    if bands == _ALL_BANDS:
        return tuple(range(file.num_bands))
    if bands and bands != _BANDS_IN_FILES:
        return parse_band_numbers(bands, file.num_bands)
    if not file.good_bands:
        raise SourceError(f"{file.path}: the header lists all bands as bad; state bands=all to use them")
    return file.good_bands


def _find_spectral_info(
    file: CubeFile, described: SpectralInfo | None, wavelengths: str, bands: Sequence[int]
) -> SpectralInfo | None:
    """Return the description of the bands to use."""
    if wavelengths:
        info: SpectralInfo | None = make_spectral_info(
            parse_wavelengths(wavelengths, file.num_bands), (), "nm", file.path
        )
    else:
        info = described or file.spectral_info
    if info is None or file.with_bands(info).num_bands == 1 or len(info.wavelengths_nm) != file.num_bands:
        return info
    return replace(
        info,
        wavelengths_nm=tuple(info.wavelengths_nm[band] for band in bands),
        fwhm_nm=tuple(info.fwhm_nm[band] for band in bands) if info.fwhm_nm else (),
    )


def _find_truth(path: Path, num_frames: int) -> Path | None:
    """Find the ground truth of a folder, or of a file: `NAME_gt.txt`, or that of a video's folder."""
    if path.is_dir():
        return find_ground_truth(path)
    named = next(
        (found for suffix in _TRUTH_SUFFIXES if (found := path.with_name(path.stem + suffix)).is_file()), None
    )
    return named or (find_truth_file(path.parent) if num_frames > 1 else None)


def _describe_size(file: CubeFile) -> str:
    return f"{file.width} x {file.height} pixels and {file.num_bands} bands"
