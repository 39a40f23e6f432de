"""Rows of numbers from text files. Invalid rows are reported with their line.

A file has one separator: semicolons, tabs, commas or white space, as in its first row of numbers. Numbers may
have a decimal comma if the separator is another one. An empty cell makes a row invalid. The text is UTF-8 or
UTF-16, with any line ends.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Generic, Literal, TypeVar, get_args

from tracking_runtime.errors import SourceError, TrackingError
from tracking_runtime.io.disk_list import sort_on_disk
from tracking_runtime.io.notes import add_note
from tracking_runtime.untrusted.files import open_file

OnInvalidRow = Literal["raise", "skip"]
"""Policy for invalid rows: raise an error, or leave them out."""
Value = TypeVar("Value")

TABLE_SUFFIXES = (".txt", ".csv")
"""Suffixes of text files with rows of numbers, in lower case. Files may have them in any letter case."""

MAX_FRAME_NUMBER = 10_000_000
"""Largest number of a frame. Larger numbers are taken for errors."""

MAX_WHOLE_NUMBER = 2**53
"""Largest id or class: whole numbers up to it are exact as floats."""

MAX_COORDINATE_PX = 10_000_000
"""Largest coordinate and size of a box in pixels. Larger numbers are taken for errors."""

_MAX_LINE_CHARACTERS = 1_000_000  # a line of a sparse file may have gigabytes of null characters
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class InvalidRowError(TrackingError, ValueError):
    """A row that cannot be used. The message is the reason, without file and line."""


@dataclass(frozen=True)
class Row:
    """A line of a text file.

    Attributes:
        line_number: number of the line in the file, from 1.
        words: texts between the separators; none for a blank line.
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
        if not self.words:
            raise InvalidRowError("the line is empty")
        if not all(_is_number(word) for word in self.words if word):
            raise InvalidRowError(f"not numbers: {' '.join(self.words)[:200]!r}")
        if len(self.words) != self.num_columns:
            raise InvalidRowError(f"{len(self.words)} columns, the first line has {self.num_columns}")
        if "" in self.words:
            raise InvalidRowError(f"column {self.words.index('') + 1} is empty")
        return tuple(float(word) for word in self.words)


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
        if self.reasons:
            line_number, reason = min(self.reasons)
            add_note(
                f"{self.path}: {len(self.reasons)} rows left out, the first in line {line_number}: {reason}"
            )


def check_on_invalid_row(on_invalid_row: str) -> None:
    """Raise ValueError if a policy for invalid rows is unknown."""
    if on_invalid_row not in get_args(OnInvalidRow):
        raise ValueError(
            f"on_invalid_row must be {' or '.join(get_args(OnInvalidRow))}: got {on_invalid_row!r}"
        )


def check_box(box: tuple[float, ...]) -> tuple[float, ...]:
    """Return the box x, y, width, height.

    Raises:
        InvalidRowError: a value is not finite or huge, or the area is not positive.
    """
    is_finite = all(abs(value) <= MAX_COORDINATE_PX for value in box)  # False for NaN
    if not is_finite or box[2] <= 0 or box[3] <= 0:
        values = ", ".join(f"{value:g}" for value in box)
        huge = f", up to {MAX_COORDINATE_PX} px" if all(map(math.isfinite, box)) and not is_finite else ""
        raise InvalidRowError(f"box must be finite with a positive width and height{huge}: got {values}")
    return box


def check_whole_number(value: float, name: str, minimum: int = 0) -> int:
    """Return a value as a whole number.

    Args:
        value: value to check.
        name: name for the message.
        minimum: smallest permitted value.

    Raises:
        InvalidRowError: the value is not whole, below the minimum or huge.
    """
    if not math.isfinite(value) or value != int(value) or not minimum <= value <= MAX_WHOLE_NUMBER:
        raise InvalidRowError(f"{name} {value:g} is not a whole number from {minimum}")
    return int(value)


def read_rows(path: Path, *, may_be_empty: bool = False, keep_blank: bool = False) -> Iterator[Row]:
    """Read the rows of a text file one by one.

    Args:
        path: text file. Lines that begin with `#` or `%` are comments.
        may_be_empty: False raises an error if the file has no rows.
        keep_blank: True yields blank lines between rows as rows without words. Blank lines at the end are
            always left out.

    Raises:
        SourceError: the file is not text, or is empty.
    """
    separator: str | None = None
    has_final_separator = False
    num_columns = 0
    blank_lines: list[int] = []
    try:
        with path.open(encoding=_find_text_encoding(path)) as file:
            lines = iter(lambda: file.readline(_MAX_LINE_CHARACTERS), "")
            for line_number, line in enumerate(lines, start=1):
                if len(line) == _MAX_LINE_CHARACTERS:
                    raise SourceError(
                        f"{path}:{line_number}: a line must have fewer than {_MAX_LINE_CHARACTERS} characters"
                    )
                text = line.strip().strip("\0")
                if text.startswith(("#", "%")):
                    continue
                if not text:
                    if keep_blank:
                        blank_lines.append(line_number)
                    continue
                if separator is None:
                    line_separator = _find_separator(text)
                    words = _split(text, line_separator)
                    if any(_is_number(word) for word in words):
                        separator = line_separator
                        has_final_separator = len(words) > 1 and words[-1] == ""
                else:
                    words = _split(text, separator)
                if has_final_separator and words[-1] == "":
                    words = words[:-1]
                num_columns = num_columns or len(words)
                yield from (Row(number, (), num_columns) for number in blank_lines)
                blank_lines.clear()
                yield Row(line_number, words, num_columns)
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{path} cannot be read as text: {error}") from error
    if not num_columns and not may_be_empty:
        raise SourceError(f"{path} must contain rows of numbers: the file is empty")


def read_frame_rows(path: Path, num_frames: int | None) -> Iterator[Row]:
    """Read the rows of a text file with one row for each frame.

    A blank line between rows stands for a frame, unless the other rows suffice for all frames.

    Args:
        path: text file.
        num_frames: number of frames; None: unknown.

    Raises:
        SourceError: the file is not text, or is empty.
    """
    num_rows = sum(any(map(_is_number, row.words)) for row in read_rows(path)) if num_frames else 0
    return read_rows(path, keep_blank=num_rows != num_frames)


def _find_text_encoding(path: Path) -> str:
    """Find the encoding of a text file by its byte order mark, or by its null bytes; UTF-8 without both."""
    with open_file(path) as file:
        start = file.read(64)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    if 0 in start[1::2]:
        return "utf-16-le"
    return "utf-16-be" if 0 in start[::2] else "utf-8"


def _find_separator(line: str) -> str:
    """Find the separator of a line: `;`, a tab, `,`, or a space for any white space."""
    if ";" in line:
        return ";"
    if "\t" in line and not re.search(r",\s*\t|\t\s*,", line):
        return "\t"
    words = line.split()
    if len(words) > 1 and all(_DECIMAL_COMMA.fullmatch(w) or _is_number(w) for w in words):
        return " "  # decimal commas, as in "10,5 20,5 30 40"
    return "," if "," in line else " "


def _split(line: str, separator: str) -> tuple[str, ...]:
    """Split a line into words. Decimal commas become points."""
    words = line.split() if separator == " " else [word.strip() for word in line.split(separator)]
    if separator == ",":
        return tuple(words)
    return tuple(word.replace(",", ".") if _DECIMAL_COMMA.fullmatch(word) else word for word in words)


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None
