"""Kind of source at a path: by the content first, by the suffix second."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import islice
from pathlib import Path

from tracking_runtime.errors import SourceError
from tracking_runtime.files import is_hidden
from tracking_runtime.io.esri_header import is_esri_header
from tracking_runtime.io.image_file import IMAGE_SUFFIXES, find_image_folder
from tracking_runtime.untrusted.files import open_file

FOLDER = "folder"
BAG = "bag"
VIDEO = "video"
CUBE = "cube"

_HEAD_BYTES = 1024  # bytes at the start of a file that identify its format
_MAX_ENTRIES = 100_000  # entries of a folder that are looked at
_MAX_NAMED = 5  # folders that a message names
_BAG_METADATA = "metadata.yaml"

_BAG_SUFFIXES = {".mcap", ".db3", ".bag"}
_VIDEO_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".mxf",
    ".wmv", ".asf", ".flv", ".ogv", ".ogg", ".3gp", ".y4m", ".h264", ".264", ".h265", ".265", ".hevc", ".gif",
}  # fmt: skip
_CUBE_SUFFIXES = {".hdr", ".mat", ".npy", ".npz"}
ENVI_DATA_SUFFIXES = {".dat", ".img", ".raw", ".bin", ".bsq", ".bil", ".bip", ".cue", ""}
_ESRI_DATA_SUFFIXES = (".bil", ".bip", ".bsq")
_OTHER_RASTER_SUFFIXES = {".vrt", ".nc", ".ntf", ".nitf", ".hgt", ".ecw", ".sid", ".lan", ".pix", ".flt"}
_TEXT_SUFFIXES = {".txt", ".csv", ".json", ".yaml", ".yml", ".xml", ".md", ".log", ".kml", ".pdf", ".html"}
NO_ENVI_DATA_SUFFIXES = {*IMAGE_SUFFIXES, *_VIDEO_SUFFIXES, *_CUBE_SUFFIXES, *_TEXT_SUFFIXES}
"""Suffixes of files that may stand beside an ENVI header without being its data."""


def find_source_kind(path: Path) -> str:
    """Return the kind of the source at a path: `folder`, `bag`, `video` or `cube`.

    Hidden files never count. The suffix decides only if the content is not known.

    Raises:
        SourceError: nothing is at the path, or its content is not a source of frames.
    """
    try:
        if path.is_dir():
            return _find_kind_of_folder(path)
        if path.is_file():
            return _find_kind_of_file(path)
        if path.exists():
            raise SourceError(
                f"{path} must be a file or folder: got a device or pipe; use the address of a camera"
            )
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    raise SourceError(f"nothing at {path}: check the path")


class CubeFormat(Enum):
    """Format of a file of cubes."""

    ENVI = "ENVI"
    ESRI = "ESRI"
    ARRAY = "array"
    IMAGE = "image"


def find_cube_format(path: Path) -> CubeFormat:
    """Return the format of a file of cubes: by its content, else by a header beside it, else by the suffix.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
    """
    head = _read_head(path)
    if head.startswith(_ARRAY_MAGIC) or path.suffix.lower() == ".mat":
        return CubeFormat.ARRAY
    if _is_image_head(head):
        return CubeFormat.IMAGE
    if head.startswith(_ENVI_MAGIC):
        return CubeFormat.ENVI
    header = path if path.suffix.lower() == ".hdr" else _find_header_of_data(path)
    if header is None:
        return CubeFormat.IMAGE
    if _is_envi_header(header) or not is_esri_header(header):
        return CubeFormat.ENVI
    return CubeFormat.ESRI


def find_raster_header(path: Path) -> Path | None:
    """Return the header of a file of raw samples, `NAME.SUFFIX.hdr` or `NAME.hdr`; None without a header."""
    candidates = [
        candidate.with_name(candidate.name + suffix)
        for candidate in (path, path.with_suffix(""))
        for suffix in (".hdr", ".HDR")
    ]
    return next((header for header in candidates if header != path and header.is_file()), None)


def find_esri_data(header: Path) -> Path:
    """Return the data file of an ESRI header: of the same name, with the suffix `.bil`, `.bip` or `.bsq`.

    Raises:
        SourceError: no file, or several, are named like the header.
    """
    found = _list_esri_data(header)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise SourceError(
            f"{header} needs one data file beside it, as {header.stem}.bil, .bip or .bsq: got {names}; give "
            "the path of the data file"
        )
    return found[0]


def _list_esri_data(header: Path) -> list[Path]:
    candidates = (
        header.with_suffix(case) for suffix in _ESRI_DATA_SUFFIXES for case in (suffix, suffix.upper())
    )
    return [path for path in candidates if path.is_file()]


def _read_head(path: Path) -> bytes:
    """Read the first bytes of a file. Raise SourceError if the file is missing, empty or cannot be read."""
    try:
        with open_file(path) as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if not head:
        raise SourceError(f"{path} is empty: copy or record the file again")
    return head


def _find_header_of_data(path: Path) -> Path | None:
    """Return the ENVI header of a file that can be its data, by the suffix, or its ESRI header, else None."""
    suffix = path.suffix.lower()
    header = None if suffix in NO_ENVI_DATA_SUFFIXES else find_raster_header(path)
    if header is None or _is_envi_header(header):
        return header
    return header if suffix in ENVI_DATA_SUFFIXES and is_esri_header(header) else None


def _find_kind_of_file(path: Path) -> str:
    head = _read_head(path)
    kind = next((kind for matches, kind in _SIGNATURES if matches(head)), None)
    if kind is not None:
        return kind
    suffix = path.suffix.lower()
    if zipfile.is_zipfile(path) and suffix != ".npz":
        raise SourceError(f"{path} is an archive: unpack it, and give the folder or file in it")
    if _find_header_of_data(path) is not None:
        return CUBE
    if suffix in ENVI_DATA_SUFFIXES and (header := find_raster_header(path)) is not None:
        raise SourceError(
            f"{header} must be a header of ENVI or ESRI to describe {path.name}: its first line must be "
            "ENVI, or it must state NROWS and NCOLS; convert the raster to GeoTIFF, for example with "
            "gdal_translate"
        )
    for suffixes, kind in (
        (_BAG_SUFFIXES, BAG),
        (_VIDEO_SUFFIXES, VIDEO),
        (IMAGE_SUFFIXES, CUBE),
        (_CUBE_SUFFIXES, CUBE),
    ):
        if suffix in suffixes:
            return kind
    hint = "give a video, cube, image or recording"
    if suffix in _OTHER_RASTER_SUFFIXES:
        hint = "convert the raster to GeoTIFF, for example with gdal_translate"
    elif suffix in ENVI_DATA_SUFFIXES and (suffix or b"\0" in head):
        hint = "add its header NAME.hdr"
    raise SourceError(f"{path} is not a source of frames, by its content and suffix; {hint}")


def _find_kind_of_folder(folder: Path) -> str:
    suffixes = {path.suffix.lower() for path in _list_visible_files(folder)}
    if suffixes & {".mcap", ".db3"}:
        return BAG
    if (folder / _BAG_METADATA).is_file() and not suffixes & IMAGE_SUFFIXES:
        return BAG
    cubes = list_cube_files(folder)
    if any(path.suffix.lower() == ".hdr" for path in cubes):
        return CUBE  # images beside ENVI cubes are previews
    if suffixes & IMAGE_SUFFIXES:
        return FOLDER
    if cubes:
        return CUBE
    if find_image_folder(folder) is not None:
        return FOLDER
    raise SourceError(_explain_folder(folder, suffixes))


def _explain_folder(folder: Path, suffixes: set[str]) -> str:
    """Return why a folder is no source of frames, and what to give instead."""
    videos = list_video_files(folder)
    if videos:
        count = "a video" if len(videos) == 1 else f"{len(videos)} videos"
        return f"{folder} must be a folder of frames: got {count}; give a file, as {videos[0]}"
    folders = sorted(path.name for path in islice(folder.iterdir(), _MAX_ENTRIES) if _is_visible_folder(path))
    if folders:
        named = ", ".join(folders[:_MAX_NAMED]) + (", …" if len(folders) > _MAX_NAMED else "")
        return f"{folder} holds no frames: got the folders {named}; give one that holds frames"
    found = ", ".join(sorted(suffix for suffix in suffixes if suffix)) or "no files"
    return f"{folder} holds no frames: got {found}; give a folder of images or cubes, a recording, or a file"


def _is_visible_folder(path: Path) -> bool:
    return not is_hidden(path) and path.is_dir()


def list_video_files(folder: Path) -> list[Path]:
    """Return the visible video files in a folder, by their suffix, in alphabetical order; none of a file."""
    if not folder.is_dir():
        return []
    return sorted(path for path in _list_visible_files(folder) if path.suffix.lower() in _VIDEO_SUFFIXES)


def list_cube_files(folder: Path) -> list[Path]:
    """Return the headers of ENVI and ESRI and the array files in a folder. Hidden files are left out."""
    return [
        path
        for path in _list_visible_files(folder)
        if path.suffix.lower() in _CUBE_SUFFIXES and (path.suffix.lower() != ".hdr" or _is_cube_header(path))
    ]


def _list_visible_files(folder: Path) -> Iterator[Path]:
    for index, path in enumerate(folder.iterdir()):
        if index >= _MAX_ENTRIES:
            return
        if not is_hidden(path) and path.is_file():
            yield path


def _is_cube_header(path: Path) -> bool:
    return _is_envi_header(path) or (bool(_list_esri_data(path)) and is_esri_header(path))


def _is_envi_header(path: Path) -> bool:
    with open_file(path) as file:
        return file.read(4) == b"ENVI"


def _starts_with(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _is_transport_stream(head: bytes) -> bool:
    packet_bytes = 188
    return len(head) > 2 * packet_bytes and {head[0], head[packet_bytes], head[2 * packet_bytes]} == {0x47}


def _is_image_head(head: bytes) -> bool:
    return head.startswith(_IMAGE_MAGIC) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


# First bytes of files.
_ARRAY_MAGIC = (
    b"\x93NUMPY",
    b"MATLAB 5.0 MAT-file",
    b"MATLAB 7.3 MAT-file",
    b"\x89HDF\r\n\x1a\n",
    b"PK\x03\x04",
)
_ENVI_MAGIC = (b"ENVI\n", b"ENVI\r", b"ENVI ")
_IMAGE_MAGIC = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"EHFA_HEADER_TAG", b"\0\0\0\x0cjP  \r\n"),
)

# Test of the first bytes of a file, and the kind of source.
_SIGNATURES: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_starts_with(b"\x89MCAP0\r\n", b"SQLite format 3\0", b"#ROSBAG V"), BAG),
    (_starts_with(*_ENVI_MAGIC, *_ARRAY_MAGIC[:-1]), CUBE),
    (_is_image_head, CUBE),
    (lambda head: head.startswith(b"RIFF") and head[8:12] == b"AVI ", VIDEO),
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat") or head[4:8] == b"wide", VIDEO),
    (_starts_with(b"\x1a\x45\xdf\xa3", b"FLV\x01", b"OggS", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), VIDEO),
    (_starts_with(b"\0\0\x01\xba", b"\0\0\x01\xb3", b"YUV4MPEG2 ", b"GIF8", b"\x06\x0e\x2b\x34"), VIDEO),
    (_is_transport_stream, VIDEO),
)
