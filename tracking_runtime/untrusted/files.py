"""Opening of files of unknown origin."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from tracking_runtime.untrusted.limits import FILE_BYTES

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class SpecialFileError(OSError):
    """A pipe, device or socket in the place of a file, or a file that is too large for the memory."""


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes. The opening of a pipe does not wait for its other end.

    Raises:
        SpecialFileError: the path is a pipe, a device or a socket.
        OSError: the file cannot be read.
    """
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - the caller closes it
    kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
    if kind in _KINDS:
        file.close()
        reason = f"got {_KINDS[kind]}, expected a file"
        raise SpecialFileError(None, reason)
    return file


def read_file(path: Path) -> bytes:
    """Read a regular file. A file with holes may be far larger than the space that it takes on the disk.

    Raises:
        SpecialFileError: the path is a pipe, a device or a socket, or the file is larger than `FILE_BYTES`.
        OSError: the file cannot be read.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > FILE_BYTES.value:
            reason = f"{size} bytes are more than the limit of {FILE_BYTES.value}"
            raise SpecialFileError(
                None, f"{reason}; if they are real, set {FILE_BYTES.variable}={size} or more"
            )
        return file.read()


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
