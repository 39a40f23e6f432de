"""Text files of numbers, a row a line, whatever separates the columns; doubtful rows are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from tracking_runtime.errors import SourceError

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


@dataclass
class Doubts:
    """The rows of a file that cannot be believed, and why."""

    path: Path
    reasons: list[tuple[int, str]] = field(default_factory=list)

    def note(self, row: Row, reason: str) -> None:
        """Doubt a row."""
        self.reasons.append((row.number, reason))

    def believed(self, row: Row, read: Callable[[tuple[float, ...]], Read]) -> Read | None:
        """What a row says, or None where it cannot be believed."""
        try:
            return read(row.values)
        except Doubtful as doubt:
            self.note(row, str(doubt))
            return None

    def without_heading(self, rows: list[Row]) -> list[Row]:
        """The rows of frames: a first line without any number is doubted, and is no row of a frame."""
        if rows and not any(_is_number(word) for word in rows[0].words):
            self.note(rows[0], f"a heading, where a row of numbers is expected: {' '.join(rows[0].words)!r}")
            columns = len(rows[1].words) if len(rows) > 1 else 0
            return [replace(row, columns=columns) for row in rows[1:]]
        return rows

    def settle(self, malformed: Malformed) -> None:
        """Accept the doubts with ``skip``, or raise SourceError for the first of them."""
        if self.reasons and malformed == "raise":
            line, reason = self.reasons[0]
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


def read_rows(path: Path, *, may_be_empty: bool = False) -> list[Row]:
    """The rows of a file, without blank lines.

    Raises:
        SourceError: it is no text, or empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as text: {error}") from error
    words = [re.findall(r"[^,;\s]+", line) for line in text.splitlines()]
    columns = next((len(found) for found in words if found), 0)
    if not columns and not may_be_empty:
        raise SourceError(f"{path}: no numbers in it, the file is empty")
    return [Row(number, tuple(found), columns) for number, found in enumerate(words, start=1) if found]
