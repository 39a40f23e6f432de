"""Image files as cubes: GeoTIFF, multi-page TIFF as video, other rasters by rasterio, and plain images.

The library rasterio is optional. With it, the georeference has every coordinate reference system, and JPEG
2000 and ERDAS Imagine files can be read. Without it, TIFF keeps the georeference of its tags.
"""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, get_args
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.io.band_list import find_wavelengths_in_names, make_spectral_info
from tracking_runtime.io.cube_file import CubeFile
from tracking_runtime.io.georeference import GeoReference, find_georeference
from tracking_runtime.io.geotiff import read_gdal_bands, read_geotiff_georeference
from tracking_runtime.io.image_file import make_zero_black, read_image_file
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.untrusted.files import open_file
from tracking_runtime.untrusted.limits import IMAGE_BYTES, IMAGE_PIXELS

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

Pages = Literal["", "frames", "bands", "rows", "cube"]

# Damage is reported by errors. Without a handler, these libraries would also print it.
for _library in ("tifffile", "rasterio"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_2000_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
_IMAGINE_MAGIC = b"EHFA_HEADER_TAG"
_MAX_NAMED = 3  # kinds of pages that a remark names


def open_raster(path: Path, *, pages: Pages = "", num_known_bands: int = 0) -> CubeFile:
    """Open an image file as a cube, or a TIFF of many pages as a video.

    Args:
        path: image file.
        pages: meaning of the pages of a TIFF: `frames`, `bands` of one cube, or `rows` of a cube, whose
            columns and bands are the rows and columns of the page. `cube`: bands, or rows if the pages are
            narrow. Empty: bands if there are as many as known bands or if the file says so, rows if the
            pages are narrow, else frames.
        num_known_bands: number of bands that are described beside the file; 0: unknown.

    Raises:
        SourceError: the file is damaged, larger than a limit, or not an image.
    """
    if pages not in get_args(Pages):
        raise SourceError(f"pages must be frames, bands, rows or cube: got {pages!r}")
    try:
        with open_file(path) as file:
            start = file.read(16)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if start.startswith(_TIFF_MAGIC):
        return _open_tiff(path, pages, num_known_bands)
    for magic, driver in ((_IMAGINE_MAGIC, "HFA"), (_JPEG_2000_MAGIC, "JP2OpenJPEG")):
        if start.startswith(magic) and _import_rasterio() is not None:
            return _open_by_rasterio(path, driver)
    if start.startswith(_IMAGINE_MAGIC):
        raise SourceError(
            f"{path} is an ERDAS Imagine file, which needs the library rasterio: "
            "pip install 'remote_sensing_tracking[raster]', or pip install rasterio"
        )
    return _open_image(path, find_georeference(path))


def _open_image(path: Path, georeference: GeoReference | None) -> CubeFile:
    """Open a file with one image. The image is decoded to learn its size."""
    image, encoding = read_image_file(path)
    height, width = image.shape[:2]
    return CubeFile(
        path,
        num_frames=1,
        height=height,
        width=width,
        num_bands=image.shape[2] if image.ndim == 3 else 1,
        view_frame=lambda _: read_image_file(path)[0],
        georeference=georeference,
        is_color=encoding == "bgr8",
    )


@contextmanager
def _report_errors(path: Path) -> Iterator[None]:
    """Raise every error of a library as a SourceError: damaged files raise errors of many types."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise SourceError(
            f"{path} is damaged, cut short, or not supported: {reason}; copy it again"
        ) from error


@contextmanager
def _open_tiff_file(path: Path) -> Iterator[TiffFile]:
    import tifffile

    # Metadata of OME and other microscopes may name other files: they are not followed.
    options: dict[str, Any] = {"is_ome": False, "is_mmstack": False, "_multifile": False}
    with _report_errors(path), ExitStack() as stack:
        file = stack.enter_context(tifffile.TiffFile(path, **options))
        if len(file.series) > 1:  # several writes of one program: pages of the same size belong together
            file = stack.enter_context(tifffile.TiffFile(path, is_shaped=False, **options))
        _check_page_chain(file, path)
        yield file


def _check_page_chain(file: TiffFile, path: Path) -> None:
    """Raise SourceError if the last page that was found names a further page: the file was cut off."""
    file.filehandle.seek(file.pages.next_page_offset or 0)
    if file.filehandle.read(file.tiff.offsetsize).strip(b"\0"):
        raise SourceError(
            f"{path} is cut short or damaged: pages are missing after {len(file.pages)}; copy it again"
        )


@dataclass(frozen=True)
class _PageLayout:
    """Pages of a TIFF as frames.

    Attributes:
        num_pages: number of pages.
        pages_per_frame: number of successive pages whose samples are the bands of a frame.
        inner_axes: axes of a page: YX, YXS or SYX.
        inner_shape: lengths of these axes.
        are_rows: True if these pages are the rows of the frame instead.
        is_color: True if the samples of a page are red, green, blue, and perhaps alpha.
    """

    num_pages: int
    pages_per_frame: int
    are_rows: bool
    inner_axes: str
    inner_shape: tuple[int, ...]
    is_color: bool

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis of a page: Y, X and S."""
        return {"S": 1, **dict(zip(self.inner_axes, self.inner_shape, strict=True))}

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Height, width and number of bands of a frame."""
        sizes = self.sizes
        if self.are_rows:
            return self.pages_per_frame, sizes["Y"], sizes["X"]
        return sizes["Y"], sizes["X"], 3 if self.is_color else self.pages_per_frame * sizes["S"]

    @property
    def meaning(self) -> str:
        """Meaning of the pages, for users."""
        if self.pages_per_frame == 1:
            return "frames"
        num_frames = self.num_pages // self.pages_per_frame
        return f"the {'rows' if self.are_rows else 'bands'} of {num_frames} frames"


def _open_tiff(path: Path, pages: Pages, num_known_bands: int) -> CubeFile:
    with _open_tiff_file(path) as file:
        page, series = file.pages.first, file.series[0]
        georeference = _read_georeference(path, page)
        if math.prod(series.shape) == math.prod(page.shape):
            cube, bands = _open_image(path, georeference), read_gdal_bands(page, path)
            is_described = bands is not None and len(bands.wavelengths_nm) == cube.num_bands
            cube = cube.with_bands(bands) if is_described else cube
            return replace(cube, remarks=(*cube.remarks, *_describe_other_pages(file)))
        bands = _read_page_bands(file, path)
        layout = _arrange_pages(
            series, page, pages, num_known_bands or (len(bands.wavelengths_nm) if bands else 0)
        )
        height, width, num_bands = layout.frame_shape
        IMAGE_PIXELS.check(height * width, path)
        IMAGE_BYTES.check(height * width * num_bands * series.dtype.itemsize, path)
    remark = f"its {layout.num_pages} pages are taken as {layout.meaning}; state pages= if that is wrong"
    return CubeFile(
        path,
        num_frames=layout.num_pages // layout.pages_per_frame,
        height=height,
        width=width,
        num_bands=num_bands,
        view_frame=_PageReader(path, layout),
        spectral_info=bands if bands and len(bands.wavelengths_nm) == num_bands else None,
        georeference=georeference,
        is_color=layout.is_color,
        remarks=(*(() if pages else (remark,)), *_describe_other_pages(file)),
    )


def _describe_other_pages(file: TiffFile) -> list[str]:
    """Return a remark on pages that are not read because they differ; none on overviews and masks."""
    others = [series.keyframe for series in file.series[1:]]
    others = [page for page in others if not (page.is_reduced or page.is_mask)]
    if not others:
        return []
    first = file.series[0].keyframe
    names = ", ".join(f"{page.imagewidth} x {page.imagelength} {page.dtype}" for page in others[:_MAX_NAMED])
    return [
        f"its pages differ: those of {first.imagewidth} x {first.imagelength} {first.dtype} are read, "
        f"those of {names} are left out"
    ]


def read_tiff_bands(path: Path) -> SpectralInfo | None:
    """Return the bands that a TIFF describes, by GDAL's metadata or the descriptions of its pages.

    Raises:
        SourceError: the file is damaged, or not a TIFF.
    """
    with _open_tiff_file(path) as file:
        page = file.pages.first
        return read_gdal_bands(page, path) if page.samplesperpixel > 1 else _read_page_bands(file, path)


def _arrange_pages(series: TiffPageSeries, page: TiffPage, pages: Pages, num_known_bands: int) -> _PageLayout:
    """Conclude which pages are the bands of one frame, from the option, the known bands, or the axes."""
    from tifffile import PHOTOMETRIC

    inner_axes = page.axes.upper().replace("C", "S")
    outer = series.axes.upper()[: series.ndim - page.ndim]
    num_pages = math.prod(series.shape) // math.prod(page.shape)
    if {*inner_axes} - {*"YXS"} or not {*"YX"} <= {*inner_axes}:
        raise ValueError(f"the pages must have rows and columns: got the axes {page.axes}")
    are_narrow = inner_axes == "YX" and 2 * series.shape[-1] < min(series.shape[-3:-1])
    are_rows = pages == "rows" or (
        are_narrow and (pages == "cube" or (not pages and not {*outer} & {*"TCZ"}))
    )
    if are_rows:
        pages_per_frame = series.shape[-3]
    elif pages:
        pages_per_frame = 1 if pages == "frames" else num_pages
    elif outer == "TC":
        pages_per_frame = series.shape[1]
    elif outer == "C" or num_pages == num_known_bands:
        pages_per_frame = num_pages
    else:
        pages_per_frame = 1
    is_color = (
        page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
        and pages_per_frame == 1
        and series.dtype == np.uint8
    )
    return _PageLayout(num_pages, pages_per_frame, are_rows, inner_axes, tuple(page.shape), is_color)


def _read_page_bands(file: TiffFile, path: Path) -> SpectralInfo | None:
    """Return the bands if the description of each page states a wavelength, else None."""
    first = file.pages.first
    if not find_wavelengths_in_names([first.description]):
        return None
    count = len(file.pages)
    found = find_wavelengths_in_names([file.pages[index].aspage().description for index in range(count)])
    return make_spectral_info(found, (), "nm", path) if found else None


class _PageReader:
    """A function from the number of a frame to its samples, (H, W) or (H, W, bands). The file stays open.

    Args:
        path: the TIFF.
        layout: pages of the frames.
    """

    def __init__(self, path: Path, layout: _PageLayout) -> None:
        self._path = path
        self._layout = layout
        self._file: TiffFile | None = None
        self._lock = Lock()  # of the file, whose position all threads share

    def __call__(self, index: int) -> NDArray[Any]:
        layout = self._layout
        first = index * layout.pages_per_frame
        with self._lock, _report_errors(self._path):
            if self._file is None:
                stack = ExitStack()
                self._file = stack.enter_context(_open_tiff_file(self._path))
                finalize(self, stack.close)
            pages = self._read_pages(self._file, range(first, first + layout.pages_per_frame))
        if layout.are_rows:
            return np.stack([page[..., 0] for page in pages])
        frame = np.concatenate(pages, axis=2) if len(pages) > 1 else pages[0]
        if layout.is_color:
            return frame[..., 2::-1]
        return frame[..., 0] if frame.shape[2] == 1 else frame

    def _read_pages(self, file: TiffFile, numbers: range) -> list[NDArray[Any]]:
        """Read the samples of pages, (H, W, samples) each."""
        series, layout = file.series[0], self._layout
        if len(series.pages) == layout.num_pages:
            pages = [self._read_page(file, series.pages[number]) for number in numbers]
        else:  # the first page describes all
            IMAGE_BYTES.check(math.prod(series.shape) * series.dtype.itemsize, self._path)
            samples = series.asarray().reshape(layout.num_pages, *layout.inner_shape)
            pages = list(samples[numbers.start : numbers.stop])
        pages = [make_zero_black(page, file.pages.first) for page in pages]
        order = [layout.inner_axes.index(axis) for axis in "YXS" if axis in layout.inner_axes]
        ordered = [page.reshape(layout.inner_shape).transpose(order) for page in pages]
        return [page if page.ndim == 3 else page[..., None] for page in ordered]

    def _read_page(self, file: TiffFile, page: TiffPage | TiffFrame | None) -> NDArray[Any]:
        if page is None or not len(page.dataoffsets):
            raise SourceError(f"{self._path} is damaged: a page has no data; copy it again")
        ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends) > file.filehandle.size:
            raise SourceError(f"{self._path} is cut short: a page lies behind its end; copy it again")
        return page.asarray()


def _read_georeference(path: Path, page: TiffPage) -> GeoReference | None:
    """Return the georeference by rasterio if it is installed, else by the tags; None without both."""
    rasterio = _import_rasterio()
    if rasterio is None:
        return read_geotiff_georeference(page) or find_georeference(path)
    try:
        with _open_rasterio_file(rasterio, path, "GTiff") as dataset:
            found = _convert_georeference(dataset)
    except SourceError:  # GDAL refuses files with compressions that it was built without
        found = read_geotiff_georeference(page)
    return found or find_georeference(path)


def _import_rasterio() -> Any:
    """Return the module rasterio; None if it is not installed."""
    try:
        return importlib.import_module("rasterio")
    except ImportError:
        return None


@contextmanager
def _open_rasterio_file(rasterio: Any, path: Path, driver: str) -> Iterator[Any]:
    """Open a file by one driver only: others open further files that the file names."""
    with warnings.catch_warnings(), _report_errors(path):
        warnings.simplefilter("ignore")  # a file without a georeference is not worth a warning
        with rasterio.open(path, driver=driver) as dataset:
            yield dataset


def _convert_georeference(dataset: Any) -> GeoReference | None:
    transform = dataset.transform
    if transform.is_identity or transform.is_degenerate:
        return None
    code = dataset.crs.to_epsg() if dataset.crs else None
    crs = f"EPSG:{code}" if code else dataset.crs.to_wkt() if dataset.crs else ""
    a, b, c, d, e, f = (float(value) for value in tuple(transform)[:6])
    return GeoReference(((a, b, c), (d, e, f)), crs)


def _open_by_rasterio(path: Path, driver: str) -> CubeFile:
    with _open_rasterio_file(_import_rasterio(), path, driver) as dataset:
        names = [text or "" for text in dataset.descriptions]
        found = find_wavelengths_in_names(names)
        item_bytes = max(np.dtype(name).itemsize for name in dataset.dtypes)
        IMAGE_PIXELS.check(dataset.width * dataset.height, path)
        IMAGE_BYTES.check(dataset.width * dataset.height * dataset.count * item_bytes, path)
        interpretations = [interpretation.name for interpretation in dataset.colorinterp]
        is_color = interpretations[:3] == ["red", "green", "blue"] and {*dataset.dtypes} == {"uint8"}
        num_bands = 3 if is_color else dataset.count

        def view_frame(_index: int) -> NDArray[Any]:
            with _open_rasterio_file(_import_rasterio(), path, driver) as reopened:
                order = [3, 2, 1] if is_color else list(range(1, num_bands + 1))
                samples = np.moveaxis(reopened.read(order), 0, 2)
            return samples if num_bands > 1 else samples[..., 0]

        return CubeFile(
            path,
            num_frames=1,
            height=dataset.height,
            width=dataset.width,
            num_bands=num_bands,
            view_frame=view_frame,
            spectral_info=make_spectral_info(found, (), "nm", path) if found else None,
            georeference=_convert_georeference(dataset) or find_georeference(path),
            no_data=dataset.nodata,
            is_color=is_color,
        )
