"""Pairing of images and ground truth by the numbers that both carry."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from tracking_runtime.errors import SourceError
from tracking_runtime.io.table_reader import MAX_FRAME_NUMBER, Row

_LAST_NUMBER = re.compile(r"(.*?)(\d{1,18})(\D*)", re.ASCII | re.DOTALL)
COUNTS_FROM_ZERO = "has an object in frame 0, so its frames are counted from 0"
"""Text of the note on a file whose frames count from 0."""
_MAX_NAMED = 5  # missing numbers that a message names


@dataclass(frozen=True)
class FrameNumbers:
    """Number of each frame of a video, by which text files name it.

    Attributes:
        numbers: number of each frame, ascending without repetition.
    """

    numbers: Sequence[int]

    @cached_property
    def _index_by_number(self) -> dict[int, int]:
        return {number: index for index, number in enumerate(self.numbers)}

    def find_index(self, number: int) -> int | None:
        """Find the index of the frame with a number; None if there is none."""
        return self._index_by_number.get(number)

    def is_in_gap(self, number: int) -> bool:
        """Return whether a number lies between those of two frames, but no frame has it."""
        return self.numbers[0] < number < self.numbers[-1] and self.find_index(number) is None


def read_image_numbers(paths: Sequence[Path]) -> Sequence[int] | None:
    """Read the number in the name of each image; None if the names do not number the images.

    The number is the last one in the name. The rest of the names must be the same, and the numbers must
    ascend.

    Args:
        paths: image files in natural order.
    """
    matches = [_LAST_NUMBER.fullmatch(path.stem) for path in paths]
    if not matches or not all(matches):
        return None
    parts = [(match[1], int(match[2]), match[3]) for match in matches if match]
    if len({(before, after) for before, _, after in parts}) > 1:
        return None
    numbers = [number for _, number, _ in parts]
    return numbers if all(a < b for a, b in pairwise(numbers)) else None


def choose_frame_numbers(
    image_numbers: Sequence[int] | None, num_images: int, used: Collection[int], subject: object
) -> FrameNumbers:
    """Choose what the frame numbers of a text file mean: the numbers of the images, or their order from 1.

    Args:
        image_numbers: number of each image, as from `read_image_numbers`.
        num_images: number of images.
        used: frame numbers in the text file.
        subject: text file, for the message.

    Raises:
        SourceError: images are missing, and the numbers may have both meanings.
    """
    in_order = FrameNumbers(range(1, num_images + 1))
    if not image_numbers or not used:
        return in_order
    by_image = FrameNumbers(image_numbers)
    num_by_image = sum(by_image.find_index(number) is not None for number in used)
    num_in_order = sum(1 <= number <= num_images for number in used)
    first, last = image_numbers[0], image_numbers[-1]
    if num_by_image == len(used):
        # Images from 0 with frames from 1 is what CVAT writes. Frames from 0 would use the number 0.
        counts_from_one = first == 0 and last == num_images - 1 and 0 not in used
        return in_order if counts_from_one else by_image
    steps = {after - before for before, after in pairwise(image_numbers)}
    if num_in_order == len(used):
        if num_by_image and len(steps) > 1:
            missing = _list_missing(by_image)
            raise SourceError(
                f"{subject} has frame numbers that may be those of the images or their order: got "
                f"{num_images} images from {first} to {last} without {missing}; add the missing images, or "
                "number the images from 1"
            )
        return in_order
    return by_image if num_by_image >= num_in_order else in_order


def find_last_frame_from_zero(rows: Iterable[Row], num_frames: int | None) -> int | None:
    """Return the largest frame number of a file that counts its frames from 0; None if it counts from 1.

    It counts from 0 if an object with a size is in frame 0, and no row is beyond the last frame. Some
    benchmarks have rows of zeros, which have no size.

    Args:
        rows: rows `frame, id, x, y, width, height, ...` of the file; rows of other shape are left out.
        num_frames: number of frames of the video; None: unknown.
    """
    last, has_object_in_zero = 0, False
    for row in rows:
        try:
            frame, _, _, _, width, height = (float(word) for word in row.words[:6])
        except ValueError:
            continue
        if 0 <= frame <= MAX_FRAME_NUMBER:
            last = max(last, int(frame))
            has_object_in_zero |= frame == 0 and width > 0 and height > 0
    is_in_video = num_frames is None or last < num_frames
    return last if has_object_in_zero and is_in_video else None


def describe_gaps(paths: Sequence[Path]) -> str:
    """Return the numbers that the images of a folder skip, as text; empty if they skip none.

    Numbers at even steps, as `010`, `020`, `030`, skip none.

    Args:
        paths: image files in natural order.
    """
    numbers = read_image_numbers(paths)
    if not numbers or len({after - before for before, after in pairwise(numbers)}) < 2:
        return ""
    return _list_missing(FrameNumbers(numbers))


def _list_missing(numbers: FrameNumbers) -> str:
    """Return the first numbers between the first and the last that no image has, for a message."""
    missing: list[int] = []
    for before, after in pairwise(numbers.numbers):
        missing += range(before + 1, min(after, before + 2 + _MAX_NAMED))
        if len(missing) > _MAX_NAMED:
            return ", ".join(map(str, missing[:_MAX_NAMED])) + ", …"
    return ", ".join(map(str, missing))
