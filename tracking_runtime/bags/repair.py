"""Repair of recordings: a new, finished recording of all intact messages. The original files are kept."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tracking_runtime.bags.metadata import METADATA, Damage
from tracking_runtime.bags.reader import BagReader
from tracking_runtime.bags.writer import BagWriter
from tracking_runtime.errors import SourceError

ORIGINAL = "original"
"""Folder in a repaired recording with the original files."""

_REPAIRED = ".repaired"


@dataclass(frozen=True)
class RepairResult:
    """Result of a repair: the messages that it wrote and the damage that it found.

    Attributes:
        message_count: number of messages in the repaired recording.
        damages: damaged parts that were skipped.
        original: folder with the original files; None if the bag needed no repair.
    """

    message_count: int
    damages: list[Damage]
    original: Path | None


def repair_bag(folder: str | Path) -> int:
    """Finish a bag whose recorder was killed, so that every reader opens it. Return its number of messages.

    See `restore_bag`.
    """
    return restore_bag(folder).message_count


def restore_bag(folder: str | Path) -> RepairResult:
    """Write the intact messages of a bag to a finished bag, and put it in place of the original files.

    The original files are moved to the folder `original` in the bag. Damaged chunks are skipped. If the
    repair fails (full disk), the bag is as before.

    Raises:
        SourceError: the folder is not a bag, or the repaired bag cannot be written.
    """
    folder = Path(folder)
    reader, has_metadata = _open(folder)
    temporary = folder / _REPAIRED
    try:
        if has_metadata and reader.is_complete and not reader.check():
            return RepairResult(reader.message_count, [], None)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        count = _copy_messages(reader, temporary / folder.resolve().name)
        original = _exchange(folder, temporary / folder.resolve().name)
    except OSError as error:
        raise SourceError(
            f"{folder} cannot be repaired: {error.strerror or error}; the recording is as before: free space "
            "for a second copy, and repeat"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return RepairResult(count, reader.damages, original)


def _open(folder: Path) -> tuple[BagReader, bool]:
    """Open a bag, and return whether its metadata can be used."""
    try:
        return BagReader(folder), (folder / METADATA).is_file()
    except SourceError:
        return BagReader(folder, ignore_metadata=True), False


def _copy_messages(reader: BagReader, folder: Path) -> int:
    with BagWriter(folder) as writer:
        for topic in reader.topics.values():
            writer.add_topic(topic)
        for record in reader.read_records():
            writer.write(*record)
    return writer.message_count


def _exchange(folder: Path, repaired: Path) -> Path:
    """Put the files of a repaired bag in place. At every moment, the original files exist under one name."""
    previous = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    original = _make_original_folder(folder)
    try:
        for path in previous:
            _link(path, original / path.name)
    except OSError:
        shutil.rmtree(original, ignore_errors=True)
        raise
    new = sorted(repaired.iterdir(), key=lambda path: path.name == METADATA)
    for path in new:
        path.replace(folder / path.name)
    for path in previous:
        if path.name not in {entry.name for entry in new} and path.suffix in (".mcap", ".db3", ".zstd"):
            path.unlink()
    return original


def _make_original_folder(folder: Path) -> Path:
    names = (ORIGINAL, *(f"{ORIGINAL}_{number}" for number in range(2, 1000)))
    path = next(folder / name for name in names if not (folder / name).exists())
    path.mkdir()
    return path


def _link(path: Path, target: Path) -> None:
    """Give a file a second name. Copy it where the file system has no second names."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)
