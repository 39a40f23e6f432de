"""Text files of numbers, a row a line, whatever separates the columns; doubtful rows are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Generic, Literal, TypeVar, get_args

from tracking_runtime.errors import SourceError
from tracking_runtime.io.disk_list import sorted_on_disk

Malformed = Literal["raise", "skip"]
Read = TypeVar("Read")


class Doubtful(ValueError):
    """Why a row cannot be believed."""


@dataclass(frozen=True)
class Row:
    """One line: its number in the file, its words, and how many the file's first row has."""

    number: int
    words: tuple[str, ...]
    columns: int

    @property
    def values(self) -> tuple[float, ...]:
        """The row's numbers.

        Raises:
            Doubtful: they are more or fewer than in the first row, or none.
        """
        if len(self.words) != self.columns:
            raise Doubtful(f"{len(self.words)} columns, the first line has {self.columns}")
        try:
            return tuple(float(word) for word in self.words)
        except ValueError:
            raise Doubtful(f"not numbers: {' '.join(self.words)!r}") from None


@dataclass(frozen=True)
class ObjectRow(Generic[Read]):
    """What the line of an object in a frame says, numbers as in the file."""

    frame: int
    id: int
    line: int
    content: Read


@dataclass
class Doubts:
    """The rows of a file that cannot be believed, and why."""

    path: Path
    reasons: list[tuple[int, str]] = field(default_factory=list)

    def note(self, line: int, reason: str) -> None:
        """Doubt a line, by its number."""
        self.reasons.append((line, reason))

    def believed(self, row: Row, read: Callable[[tuple[float, ...]], Read]) -> Read | None:
        """What a row says, or None where it cannot be believed."""
        try:
            return read(row.values)
        except Doubtful as doubt:
            self.note(row.number, str(doubt))
            return None

    def by_frame(self, rows: Iterable[ObjectRow[Read]]) -> Iterator[tuple[int, list[Read], bool]]:
        """Rows in any order as frames in theirs, sorted on disk; an object's second row in one is doubted.

        Yields:
            frame, its objects as they came, and whether any of them is there twice.
        """
        ranked = sorted_on_disk(rows, key=lambda row: row.frame)
        for frame, group in groupby(ranked, key=lambda row: row.frame):
            found: dict[int, Read] = {}
            twice = False
            for row in group:
                if row.id in found:
                    twice = True
                    self.note(row.line, f"object {row.id} is in frame {frame} twice")
                found.setdefault(row.id, row.content)
            yield frame, list(found.values()), twice

    def without_heading(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows of frames: a first line without any number is doubted, and is no row of a frame."""
        remaining = iter(rows)
        first = next(remaining, None)
        if first is None:
            return
        if any(_is_number(word) for word in first.words):
            yield first
            yield from remaining
            return
        heading = " ".join(first.words)
        self.note(first.number, f"a heading, where a row of numbers is expected: {heading!r}")
        columns = 0
        for row in remaining:
            columns = columns or len(row.words)
            yield replace(row, columns=columns)

    def settle(self, malformed: Malformed) -> None:
        """Accept the doubts with ``skip``, or raise SourceError for the first of them."""
        if self.reasons and malformed == "raise":
            line, reason = min(self.reasons)
            more = f" (and {len(self.reasons) - 1} more lines)" if len(self.reasons) > 1 else ""
            raise SourceError(f"{self.path}:{line}: {reason}{more}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def check_malformed(malformed: str) -> None:
    """Raise ValueError unless it is a known way with doubtful rows."""
    if malformed not in get_args(Malformed):
        raise ValueError(f"malformed is {malformed!r}, known are {', '.join(get_args(Malformed))}")


def read_rows(path: Path, *, may_be_empty: bool = False) -> Iterator[Row]:
    """The rows of a file, without blank lines, each read when it is asked for.

    Raises:
        SourceError: it is no text, or empty.
    """
    columns = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                words = tuple(re.findall(r"[^,;\s]+", line))
                columns = columns or len(words)
                if words:
                    yield Row(number, words, columns)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as text: {error}") from error
    if not columns and not may_be_empty:
        raise SourceError(f"{path}: no numbers in it, the file is empty")
