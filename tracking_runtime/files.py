"""Files: installed models and configuration, atomic writes, hidden files, and paths that stay in a folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracking_runtime.errors import UnsafePathError

PACKAGE = "remote_sensing_tracking"

_CONTENT_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/", "a pointer of Git LFS, not the file itself; run git lfs pull"),
    (b"<!doctype html", "a web page; download the file itself, not the page about it"),
    (b"<html", "a web page; download the file itself, not the page about it"),
    (b"<?xml", "an XML file"),
    (b"pk\x03\x04", "a zip archive"),
    (b"pk\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"bzh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zxz", "an xz archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"rar!", "a rar archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
    (b"\x89hdf", "an HDF5 file"),
    (b"cdf", "a NetCDF file"),
    (b"%pdf", "a PDF document"),
    (b"\x89mcap", "a recording (MCAP)"),
    (b"sqlite format 3", "an SQLite database"),
    (b"#rosbag", "a ROS 1 recording"),
    (b"\x89png", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"ii*\0", "a TIFF image"),
    (b"mm\0*", "a TIFF image"),
    (b"gif8", "a GIF image; convert it to PNG"),
    (b"\x93numpy", "a NumPy array (.npy)"),
    (b"matlab", "a MATLAB file"),
    (b"\x7felf", "a program"),
)
"""First bytes of files, in lower case, and what such a file is."""

_MAX_PREFIX_DEPTH = 7  # folders from this file up to the prefix, as PREFIX/local/lib/python3.10/dist-packages
_CONTENT_BYTES = 1024  # first bytes that tell what a file is

_SYSTEM_FILES = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "#recycle", "lost+found",
    "system volume information",
}  # fmt: skip
"""Names, in lower case, of files and folders that operating systems put beside a user's files."""


def list_data_folders(name: str) -> list[Path]:
    """Return the folders that may contain the package's data of one kind, in the order of the search.

    Args:
        name: name of a folder at the top of the repository: `models` or `config`.
    """
    repository = Path(__file__).resolve().parent.parent
    return [folder / name for folder in (repository, *list_share_folders(PACKAGE))]


def list_share_folders(package: str) -> list[Path]:
    """Return the folders of installed data that a package may have, in the order of the search.

    They are in the prefixes of the sourced workspaces, of Python, and of the installation of this package,
    which is found by its path: a workspace need not be sourced.
    """
    sourced = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    prefixes = [Path(prefix) for prefix in (*sourced, sys.prefix) if prefix]
    parents = Path(__file__).resolve().parents[1:_MAX_PREFIX_DEPTH]
    own = next((parent for parent in parents if (parent / "share" / PACKAGE).is_dir()), None)
    return [prefix / "share" / package for prefix in (*prefixes, *([own] if own else []))]


def find_data_file(folder: str, name: str) -> Path:
    """Find a file of the package's data.

    Args:
        folder: `models` or `config`.
        name: name of the file.

    Raises:
        FileNotFoundError: no folder contains the file.
    """
    candidates = [data_folder / name for data_folder in list_data_folders(folder)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"{folder}/{name} is not installed: none of {', '.join(map(str, candidates))} exists; "
        "install the package"
    )


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path`; rename it to `path` if the block succeeds, else delete it.

    Readers see the previous file or the complete new file, also if the process is killed.

    Args:
        path: file to write. Its folder must exist.

    Yields:
        Path that the block must write.
    """
    partial_path = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial_path
        os.replace(partial_path, path)
    finally:
        partial_path.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield the path of a folder to create; rename it to `path` if the block succeeds, else delete it.

    The new folder has the same name, in a hidden folder beside `path`. What a killed process left there is
    deleted.

    Args:
        path: folder to create. Its parent must exist.

    Yields:
        Path that the block must create.

    Raises:
        FileExistsError: something is at the path.
    """
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists already")
    staging_folder = path.with_name(f".{path.name}.partial")
    if staging_folder.is_symlink():
        staging_folder.unlink()
    elif staging_folder.exists():
        shutil.rmtree(staging_folder)
    staging_folder.mkdir()
    try:
        yield staging_folder / path.name
        os.rename(staging_folder / path.name, path)
    finally:
        shutil.rmtree(staging_folder, ignore_errors=True)


def is_hidden(path: Path) -> bool:
    """Return whether a path is never input: `.name`, `._name`, `__MACOSX`, `Thumbs.db` and similar names."""
    return path.name.startswith(".") or path.name.casefold() in _SYSTEM_FILES


def list_visible(folder: Path) -> list[Path]:
    """Return the files and folders in a folder that are not hidden, in alphabetical order.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(path for path in folder.iterdir() if not is_hidden(path))


def make_unique_name(stem: str, names: set[str]) -> str:
    """Return a name that is not taken yet, and add the name to the taken ones.

    Args:
        stem: wanted name; a taken one gets `_2`, `_3`, ...
        names: taken names, which are changed.
    """
    number = 1
    name = stem
    while name in names:
        number += 1
        name = f"{stem}_{number}"
    names.add(name)
    return name


def resolve_inside(folder: Path, name: str) -> Path:
    """Resolve a path that a file names, with its links, and check that it stays inside a folder.

    Args:
        folder: folder that must contain the path.
        name: path relative to the folder, from a file that is not trusted.

    Returns:
        Absolute path without links. It need not exist.

    Raises:
        UnsafePathError: the path is absolute, contains `..` or a null byte, or a link in it leads out of the
            folder.
    """
    rule = f"{name[:200]!r} must be a path inside {folder}"
    root = folder.resolve()
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UnsafePathError(f"{rule}: got nothing, a null byte, an absolute path or '..'")
    try:
        path = (root / name).resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a circle of links, or not a file's name
        raise UnsafePathError(f"{rule}: {type(error).__name__}") from error
    if not path.is_relative_to(root):
        raise UnsafePathError(f"{rule}: a link leads to {path}; copy the files into the folder")
    return path


def describe_content(data: bytes) -> str:
    """Return what a file seems to be by its first bytes, for messages about files of another kind.

    Args:
        data: content of the file, or its first kilobyte.
    """
    start = data[:_CONTENT_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    if not data:
        return "an empty file; was the download interrupted, or the disk full?"
    if data[4:8] == b"ftyp":
        return "a video (MP4)"
    if not data[:_CONTENT_BYTES].strip(b"\0"):
        return "a file of null bytes; copy it again"
    for magic, kind in _CONTENT_KINDS:
        if start.startswith(magic):
            return kind
    text = data[:60]
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in text):
        return f"a text that begins with {text.decode().strip()[:40]!r}"
    return f"{len(data)} bytes of an unknown format"
