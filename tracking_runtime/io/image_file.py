"""One image or cube from a file: the only reader of image files, for frames, cubes and mosaics.

The size in the header is checked against the limits of `tracking_runtime.untrusted.limits` before anything is
decoded. A file that is cut short or damaged is refused. The content decides the format, not the suffix.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.files import describe_content, is_hidden, list_visible
from tracking_runtime.untrusted.files import open_file, read_file
from tracking_runtime.untrusted.limits import IMAGE_BYTES, IMAGE_PIXELS

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".pgm", ".ppm", ".pnm")
)
"""Suffixes of image files, in lower case. Files may have them in any letter case."""

IMAGE_FOLDER_NAMES = (
    "img", "img1", "hsi", "imgs", "image", "images", "frames", "color", "rgb", "hsi-falsecolor",
)  # fmt: skip
"""Usual names, in lower case, of the folder with a video's images in the video's folder, by preference."""

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # of PNG and JPEG
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_GDAL_NODATA_TAG = 42113
_PNM_HEADER = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_HEADER_BYTES = 64  # enough to name the format


def is_image(path: Path) -> bool:
    """Return whether a path has the suffix of an image and is not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)


def list_images(folder: Path) -> list[Path]:
    """Return the image files in a folder in natural order. Hidden files are left out."""
    images = (path for path in list_visible(folder) if is_image(path) and not path.is_dir())
    return sorted(images, key=make_natural_sort_key)


def find_image_folder(folder: Path) -> Path | None:
    """Find the folder with the images of a video: the folder itself, or one in it with a usual name."""
    if list_images(folder):
        return folder
    by_name = {path.name.casefold(): path for path in reversed(list_visible(folder)) if path.is_dir()}
    candidates = (by_name[name] for name in IMAGE_FOLDER_NAMES if name in by_name)
    return next((candidate for candidate in candidates if list_images(candidate)), None)


def find_video_folder(image_folder: Path) -> Path | None:
    """Return the parent of a folder of images with a usual name, as `img`; None for other names."""
    path = Path(os.path.abspath(image_folder))  # the path may be `.`
    return path.parent if path.name.casefold() in IMAGE_FOLDER_NAMES else None


def make_natural_sort_key(path: Path) -> list[tuple[int, str, str]]:
    """Make a sort key that orders digits in file names by their value and the rest by the alphabet."""
    return [_make_part_key(part) for part in re.split(r"(\d+)", path.name)]


def _make_part_key(part: str) -> tuple[int, str, str]:
    # isdecimal: int() cannot read every character that isdigit() accepts, for example ².
    if not part.isdecimal():
        return 0, "", part
    digits = "".join(str(int(digit)) for digit in part).lstrip("0")  # int() refuses thousands of digits
    return len(digits), digits, part


def read_image_file(path: Path) -> tuple[NDArray[Any], str]:
    """Read an image or cube.

    Color becomes blue, green, red; alpha is left out. A TIFF that declares RGB and has further bands keeps
    them behind. A TIFF may have its bands on any axis: if the file does not name it, the shortest axis is
    taken. Signed and wider integers and other floats become float32.

    Args:
        path: image file of any format in `IMAGE_SUFFIXES`.

    Returns:
        Image (H, W) or (H, W, C), and its encoding: mono8, mono16 or bgr8 for gray and color, 8UC<n>, 16UC<n>
        or 32FC<n> for bands and floats.

    Raises:
        SourceError: the file is not an image, is damaged, or unpacks to more than a limit.
    """
    try:
        with open_file(path) as file:
            start = file.read(_HEADER_BYTES)
        if start.startswith(_TIFF_MAGIC):
            return _read_tiff(path)
        data = read_file(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    return decode_image(data, path)


def decode_image(data: bytes, name: object) -> tuple[NDArray[Any], str]:
    """Decode a compressed image (PNG, JPEG, BMP, WebP, JPEG 2000, PNM), as `read_image_file` does.

    Args:
        data: content of the file or message.
        name: file or topic, for messages.

    Raises:
        SourceError: the data is not an image, is damaged, or unpacks to more than a limit.
    """
    import cv2

    size = _find_size(data)
    if size is None:
        if data.startswith(_SIGNATURES):
            raise SourceError(f"{name} is damaged or cut short: its header is incomplete; copy it again")
        expected = "a TIFF" if str(name).lower().endswith((".tif", ".tiff")) else "an image"
        raise SourceError(f"{name} is not {expected} that can be read: it is {describe_content(data)}")
    width, height = size
    if not width or not height:
        raise SourceError(f"{name} is not an image: its header names {width} x {height} pixels")
    IMAGE_PIXELS.check(width * height, name)
    if _is_damaged_png(data):
        raise SourceError(f"{name} is damaged or cut short: a checksum or the end is missing; copy it again")
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise SourceError(f"{name} cannot be decoded: {error}") from error
    if decoded is None:
        raise SourceError(f"{name} is damaged or cut short: it cannot be decoded; copy it again")
    image: NDArray[Any] = np.asarray(decoded)
    if image.ndim == 3:
        image = image[..., :3]  # the fourth channel of these formats is alpha
    return _finish(image, name, is_color=image.ndim == 3)


def _find_size(data: bytes) -> tuple[int, int] | None:
    """Find the width and height in the header; None if the format is unknown or the header incomplete."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(b"\xff\xd8"):
            return _find_jpeg_size(data)
        if data.startswith(b"BM"):
            (header_size,) = struct.unpack_from("<I", data, 14)
            width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
            return abs(width), abs(height)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _find_webp_size(data)
        if data[4:12] == b"jP  \r\n\x87\n" and (start := data.find(b"ihdr", 12, 512)) > 0:
            height, width = struct.unpack_from(">II", data, start + 4)
            return width, height
        if data.startswith(b"\xff\x4f\xff\x51"):
            return struct.unpack_from(">II", data, 8)
    except struct.error:
        return None
    header = _PNM_HEADER.match(data)
    return (int(header[1]), int(header[2])) if header else None


def _find_jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _JPEG_BARE_MARKERS:
            position += 2
        elif marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _find_webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        (width,), (height,) = (struct.unpack("<I", data[at : at + 3] + b"\0") for at in (24, 27))
        return width + 1, height + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _is_damaged_png(data: bytes) -> bool:
    """Return whether a PNG lacks its end, or a chunk differs from its checksum."""
    if not data.startswith(b"\x89PNG"):
        return False
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data) or zlib.crc32(data[position + 4 : end]) != int.from_bytes(
            data[end : end + 4], "big"
        ):
            return True
        if data[position + 4 : position + 8] == b"IEND":
            return False
        position = end + 4
    return True


def _read_tiff(path: Path) -> tuple[NDArray[Any], str]:
    import tifffile

    _check_tiff_pages(path)
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            _check_tiff(file, path)
            bands_last = page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
            image = file.asarray() if bands_last else _squeeze(file.asarray(), file.series[0].axes)
            if image.ndim == 3 and not bands_last:
                image = np.moveaxis(image, int(np.argmin(image.shape)), 2)
            no_data = _find_no_data(page)
            image, is_color = _convert_tiff_colors(image, page, path)
    except SourceError:
        raise
    except Exception as error:  # damaged files raise errors of many types
        reason = str(error) or type(error).__name__
        raise SourceError(f"{path} is damaged or not a TIFF that can be read: {reason}") from error
    return _finish(image, path, is_color=is_color, no_data=no_data)


def _check_tiff_pages(path: Path) -> None:
    """Check that the chain of a TIFF's pages ends inside the file. tifffile reads the pages before a break.

    Raises:
        SourceError: the chain is broken.
    """
    cut_short = SourceError(f"{path} is damaged or cut short: its list of pages is broken; copy it again")
    with open_file(path) as file:
        header = file.read(16)
        order = "<" if header[:1] == b"I" else ">"
        is_big = header[2:4] in (b"+\0", b"\0+")
        count_format, tag_size, offset_format = (
            (f"{order}Q", 20, f"{order}Q") if is_big else (f"{order}H", 12, f"{order}I")
        )
        count_size, offset_size = struct.calcsize(count_format), struct.calcsize(offset_format)
        file_size = file.seek(0, 2)
        try:
            (offset,) = struct.unpack_from(offset_format, header, offset_size)
            seen: set[int] = set()
            while offset:
                if offset in seen:
                    raise cut_short
                seen.add(offset)
                file.seek(offset)
                (num_tags,) = struct.unpack(count_format, file.read(count_size))
                next_offset_at = offset + count_size + num_tags * tag_size
                if not num_tags or next_offset_at + offset_size > file_size:
                    raise cut_short
                file.seek(next_offset_at)
                (offset,) = struct.unpack(offset_format, file.read(offset_size))
        except (struct.error, OSError, OverflowError, ValueError) as error:
            raise cut_short from error
    if not seen:
        raise cut_short


def _check_tiff(file: TiffFile, path: Path) -> None:
    """Check the decoded size, and that the file contains all the data that its header names.

    Raises:
        SourceError: the image is too large, or the file is cut short.
    """
    series = file.series[0]
    sides = sorted(series.shape)[-2:]
    IMAGE_PIXELS.check(math.prod(sides), path)
    IMAGE_BYTES.check(math.prod(series.shape) * series.dtype.itemsize, path)
    file_size = file.filehandle.size
    for page in series.pages:
        if page is None or not len(page.dataoffsets):
            raise SourceError(f"{path} is damaged: a page has no data; copy it again")
        if len(page.dataoffsets) < math.prod(page.chunked):
            raise SourceError(f"{path} is damaged: the places of some parts are missing; copy it again")
        if max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))) > file_size:
            raise SourceError(
                f"{path} is cut short: it has {file_size} bytes, its header names more; copy it again"
            )
        if 0 in page.databytecounts and not _is_sparse(page):
            raise SourceError(f"{path} is damaged: a part of the image has no bytes; copy it again")


def _is_sparse(page: TiffPage | TiffFrame) -> bool:
    """Return whether GDAL wrote a page without its empty blocks: they have the offset 0."""
    return all(bool(size) == bool(at) for at, size in zip(page.dataoffsets, page.databytecounts, strict=True))


def _squeeze(image: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return an image without axes of length 1, but with its rows and columns: a line is an image, too."""
    if len(axes) != image.ndim:
        return np.squeeze(image)
    single = (axis for axis, length in enumerate(image.shape) if length == 1 and axes[axis] not in "YX")
    return np.squeeze(image, tuple(single))


def make_zero_black(image: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    """Return gray samples of a TIFF with zero as black, whatever the file states; signed ones unchanged.

    Args:
        image: samples.
        page: page of the samples, or one like it.
    """
    from tifffile import PHOTOMETRIC

    if page.photometric != PHOTOMETRIC.MINISWHITE or image.dtype.kind not in ("b", "u"):
        return image
    return ~image if image.dtype == bool else (1 << page.bitspersample) - 1 - image


def _convert_tiff_colors(image: NDArray[Any], page: TiffPage, path: Path) -> tuple[NDArray[Any], bool]:
    """Return a TIFF's pixels as gray, BGR or bands, and whether they are color.

    Raises:
        SourceError: the color space is neither gray, palette nor RGB.
    """
    from tifffile import EXTRASAMPLE, PHOTOMETRIC

    photometric = page.photometric
    if photometric == PHOTOMETRIC.MINISWHITE:
        return make_zero_black(image, page), False
    if photometric == PHOTOMETRIC.PALETTE and page.colormap is not None and image.ndim == 2:
        colors = page.colormap[::-1] >> 8 if page.colormap.max() > 255 else page.colormap[::-1]
        indices = image.astype(np.uint8) if image.dtype == bool else image
        return np.moveaxis(colors.astype(np.uint8)[:, indices], 0, 2), True
    if photometric in (PHOTOMETRIC.SEPARATED, PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB, PHOTOMETRIC.ITULAB):
        name = PHOTOMETRIC(photometric).name
        raise SourceError(
            f"colors of {path} must be gray, a palette or RGB: got {name}; convert the file to RGB"
        )
    has_alpha_type = bool({EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA} & {*page.extrasamples})
    if photometric == PHOTOMETRIC.MINISBLACK and has_alpha_type and image.shape[2:] == (2,):
        return image[..., 0], False
    is_rgb = photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and image.ndim == 3 and image.shape[2] >= 3
    if not is_rgb:
        return image, False
    has_alpha = image.shape[2] == 4 and (image.dtype == np.uint8 or has_alpha_type)
    bgr, further_bands = image[..., 2::-1], image[..., 3:]
    if image.shape[2] == 3 or has_alpha:
        return bgr, True
    return np.concatenate([bgr, further_bands], axis=2), False


def _find_no_data(page: TiffPage) -> float | None:
    """Find the value by which GDAL marks pixels without data; None if the file names none."""
    tag = page.tags.get(_GDAL_NODATA_TAG)
    try:
        return None if tag is None else float(str(tag.value).strip("\0 "))
    except ValueError:
        return None


def _finish(
    image: NDArray[Any], name: object, *, is_color: bool, no_data: float | None = None
) -> tuple[NDArray[Any], str]:
    """Return the image with samples of a supported type, and its encoding."""
    if image.ndim not in (2, 3) or not image.size or image.dtype.kind not in "buif":
        raise SourceError(
            f"{name} must be an image with 2 or 3 axes of real numbers: got {image.dtype.name} "
            f"{image.shape}; convert it"
        )
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    elif image.dtype not in (np.uint8, np.uint16):
        with np.errstate(over="ignore"):
            image = image.astype(np.float32)
        image = _fill_no_data(image, no_data)
    elif not image.dtype.isnative:
        image = image.astype(image.dtype.newbyteorder("="))
    return np.ascontiguousarray(image), _name_encoding(image, is_color=is_color)


def _fill_no_data(image: NDArray[np.float32], no_data: float | None) -> NDArray[np.float32]:
    """Return the image with the smallest value in the pixels that the file marks as without data."""
    if no_data is None:
        return image
    is_missing = np.isnan(image) if math.isnan(no_data) else image == np.float32(no_data)
    if is_missing.any() and not is_missing.all():
        image[is_missing] = image[~is_missing].min()
    return image


def _name_encoding(image: NDArray[Any], *, is_color: bool) -> str:
    """Return the name of an image's encoding as in sensor_msgs/Image."""
    if image.dtype == np.uint8 and is_color:
        return "bgr8"
    if image.ndim == 2 and image.dtype != np.float32:
        return f"mono{8 * image.dtype.itemsize}"
    prefix = {"uint8": "8U", "uint16": "16U", "float32": "32F"}[image.dtype.name]
    return f"{prefix}C{image.shape[2] if image.ndim == 3 else 1}"
