"""What a fuzzed reader is, and the run of a reader on one content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tracking_runtime.errors import SourceError

MAX_ITEMS = 50
"""Frames or records that are read of one file."""


@dataclass(frozen=True)
class Reader:
    """A reader and its seeds.

    Attributes:
        name: name for the command line and the folder of regression files.
        file_name: name of the file that is read.
        make_seeds: function that returns valid files.
        read: function that reads a file as a user's program would.
        errors: types of the documented errors.
    """

    name: str
    file_name: str
    make_seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (SourceError,)


def run_reader(reader: Reader, content: bytes, folder: Path) -> None:
    """Write a content to a file, and read it. Errors that are not documented are raised."""
    path = folder / reader.file_name
    path.write_bytes(content)
    try:
        reader.read(path)
    except reader.errors as error:
        if not str(error):
            raise AssertionError(f"{type(error).__name__} without a message") from error


def consume(items: Iterable[object]) -> None:
    """Take the first items of an iterable."""
    for _ in islice(items, MAX_ITEMS):
        pass


def iterate_regressions(reader: Reader) -> Iterator[Path]:
    """Yield the files that once gave another error."""
    yield from sorted((Path(__file__).parent / "regressions" / reader.name).glob("*"))
