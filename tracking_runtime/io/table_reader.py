"""Rows of numbers from text files. Invalid rows are reported with their line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Generic, Literal, TypeVar, get_args

from tracking_runtime.errors import SourceError, TrackingError
from tracking_runtime.io.disk_list import sort_on_disk

OnInvalidRow = Literal["raise", "skip"]
"""Policy for invalid rows: raise an error, or leave them out."""
Value = TypeVar("Value")


class InvalidRowError(TrackingError, ValueError):
    """A row that cannot be used. The message is the reason, without file and line."""


@dataclass(frozen=True)
class Row:
    """A line of a text file.

    Attributes:
        line_number: number of the line in the file, from 1.
        words: texts between the separators.
        num_columns: number of words in the file's first row.
    """

    line_number: int
    words: tuple[str, ...]
    num_columns: int

    @property
    def values(self) -> tuple[float, ...]:
        """Numbers of the row.

        Raises:
            InvalidRowError: the number of columns differs from the first row's, or a word is not a number.
        """
        if len(self.words) != self.num_columns:
            raise InvalidRowError(f"{len(self.words)} columns, the first line has {self.num_columns}")
        try:
            return tuple(float(word) for word in self.words)
        except ValueError:
            raise InvalidRowError(f"not numbers: {' '.join(self.words)!r}") from None


@dataclass(frozen=True)
class ObjectRow(Generic[Value]):
    """A row that describes one object in one frame.

    Attributes:
        frame: number of the frame, as in the file.
        id: id of the object.
        line_number: number of the line in the file, from 1.
        value: parsed content of the row.
    """

    frame: int
    id: int
    line_number: int
    value: Value


@dataclass
class RowErrors:
    """Invalid rows of a file.

    Attributes:
        path: text file.
        reasons: line number and reason of each error.
    """

    path: Path
    reasons: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line_number: int, reason: str) -> None:
        """Add an error of a line."""
        self.reasons.append((line_number, reason))

    def parse(self, row: Row, read: Callable[[tuple[float, ...]], Value]) -> Value | None:
        """Parse a row. Return None, and add the error, if the row is invalid.

        Args:
            row: row to parse.
            read: function from the row's numbers to a value; raises InvalidRowError.
        """
        try:
            return read(row.values)
        except InvalidRowError as error:
            self.add(row.line_number, str(error))
            return None

    def group_by_frame(self, rows: Iterable[ObjectRow[Value]]) -> Iterator[tuple[int, list[Value], bool]]:
        """Sort rows by frame, on disk. Add an error for each further row of an object in a frame.

        Args:
            rows: rows in any order.

        Yields:
            Number of a frame, values of its objects in the order of the file, and True if an object has
            several rows in the frame. The first row of an object counts.
        """
        sorted_rows = sort_on_disk(rows, key=lambda row: row.frame)
        for frame, frame_rows in groupby(sorted_rows, key=lambda row: row.frame):
            values: dict[int, Value] = {}
            has_duplicates = False
            for row in frame_rows:
                if row.id in values:
                    has_duplicates = True
                    self.add(row.line_number, f"object {row.id} is in frame {frame} twice")
                values.setdefault(row.id, row.value)
            yield frame, list(values.values()), has_duplicates

    def skip_header(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows after a header (a first row without any number). Add an error for a header."""
        remaining = iter(rows)
        first = next(remaining, None)
        if first is None:
            return
        if any(_is_number(word) for word in first.words):
            yield first
            yield from remaining
            return
        header = " ".join(first.words)
        self.add(first.line_number, f"a row of numbers is expected: got the header {header!r}")
        num_columns = 0
        for row in remaining:
            num_columns = num_columns or len(row.words)
            yield replace(row, num_columns=num_columns)

    def raise_if_any(self, on_invalid_row: OnInvalidRow) -> None:
        """Raise an error that names the first invalid row, unless invalid rows are skipped.

        Args:
            on_invalid_row: `raise`, or `skip` to accept the errors.

        Raises:
            SourceError: a row is invalid.
        """
        if self.reasons and on_invalid_row == "raise":
            line_number, reason = min(self.reasons)
            more = f" (and {len(self.reasons) - 1} more lines)" if len(self.reasons) > 1 else ""
            raise SourceError(f"{self.path}:{line_number}: {reason}{more}")


def check_on_invalid_row(on_invalid_row: str) -> None:
    """Raise ValueError if a policy for invalid rows is unknown."""
    if on_invalid_row not in get_args(OnInvalidRow):
        raise ValueError(
            f"on_invalid_row must be {' or '.join(get_args(OnInvalidRow))}: got {on_invalid_row!r}"
        )


def read_rows(path: Path, *, may_be_empty: bool = False) -> Iterator[Row]:
    """Read the rows of a text file one by one. Commas, semicolons and white space separate words.

    Args:
        path: text file in UTF-8. Blank lines are left out.
        may_be_empty: False raises an error if the file has no rows.

    Raises:
        SourceError: the file is not text, or is empty.
    """
    num_columns = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line_number, line in enumerate(file, start=1):
                words = tuple(re.findall(r"[^,;\s]+", line))
                num_columns = num_columns or len(words)
                if words:
                    yield Row(line_number, words, num_columns)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read as text: {error}") from error
    if not num_columns and not may_be_empty:
        raise SourceError(f"{path} must contain rows of numbers: the file is empty")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
