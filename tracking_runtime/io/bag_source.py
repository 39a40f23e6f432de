"""Frames from a recording, with their ground truth and the bands of the camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.bags import BagReader
from tracking_runtime.errors import FrameRefusedError, SourceError, TrackingError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.image_file import decode_image
from tracking_runtime.io.notes import add_note, is_collecting
from tracking_runtime.messages.conversion import (
    COMPRESSED_IMAGE,
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    read_image,
    read_serialized_stamp_ns,
    read_spectral_info,
    read_stamp_ns,
    read_truth,
)
from tracking_runtime.spectral_info import SpectralInfo

_DEFAULT_RATE_HZ = 10.0
_NUM_RATE_FRAMES = 11  # first frames whose periods give the rate
_MAX_PENDING_FRAMES = 16  # frames, in the order of the recording, that wait for their ground truth
_MAX_STAMP_NS = (1 << 31) * 1_000_000_000  # end of the seconds in a message's header, the year 2038
_IMAGE_NAME = "image"


class BagSource:
    """The images of one camera in a recording.

    Args:
        path: recording, a folder or one file.
        topic: topic of the images, sensor_msgs/Image or CompressedImage. Empty: the only image topic, or the
            only one named `image`. Compressed topics count only if no topic has raw images.

    Attributes:
        image_topic: topic of the images.
        truth_topic: topic of their ground truth; empty if it was not recorded.

    Raises:
        SourceError: the recording does not exist, or does not have the topic.
    """

    def __init__(self, path: str | Path, *, topic: str = "") -> None:
        self._reader = BagReader(path)
        self._compressed_topics = set(self._reader.find_topics(COMPRESSED_IMAGE))
        self.image_topic = self._choose_image_topic(topic)
        self.truth_topic = self._find_sibling_topic("ground_truth", TRACKS)
        self._info_topic = self._find_sibling_topic("spectral_info", SPECTRAL_INFO)

    @property
    def name(self) -> str:
        """Name of the recording's folder or file."""
        return self._reader.path.resolve().stem

    @cached_property
    def rate_hz(self) -> float:
        """Frames per second, from the stamps of the first frames."""
        records = islice(self._reader.read_records([self.image_topic]), _NUM_RATE_FRAMES)
        with self._convert_errors(self.image_topic):
            periods_ns = np.diff([read_serialized_stamp_ns(record.data) for record in records])
        if not len(periods_ns) or np.median(periods_ns) <= 0:
            return _DEFAULT_RATE_HZ
        return float(1e9 / np.median(periods_ns))

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the ground truth."""
        message = self._read_first(self.truth_topic)
        with self._convert_errors(self.truth_topic):
            return tuple(message.class_names) if message else ()

    @cached_property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of the camera; None if they were not recorded."""
        message = self._read_first(self._info_topic)
        with self._convert_errors(self._info_topic):
            return read_spectral_info(message) if message else None

    def __len__(self) -> int:
        """Return the number of images."""
        return self._reader.counts[self.image_topic]

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames in the order of the recording, each with the ground truth of its stamp."""
        pending: deque[Frame] = deque()
        truths: dict[int, GroundTruth] = {}
        topics = [topic for topic in (self.image_topic, self.truth_topic) if topic]
        for record, message in self._reader.read_messages(topics):
            if record.topic == self.image_topic:
                pending.append(self._read_frame(message))
            else:
                with self._convert_errors(self.truth_topic):
                    truths[read_stamp_ns(message)] = read_truth(message)
            newest_stamp_ns = next(reversed(truths), None)
            while pending and (
                not self.truth_topic
                or (newest_stamp_ns is not None and newest_stamp_ns >= pending[0].stamp_ns)
                or len(pending) > _MAX_PENDING_FRAMES
            ):
                yield _add_truth(pending.popleft(), truths)
        for frame in pending:
            yield _add_truth(frame, truths)
        self._add_damage_notes()

    def _add_damage_notes(self) -> None:
        """Tell a caller that collects notes which parts were skipped. The reader has logged them already."""
        if is_collecting():
            for damage in self._reader.damages:
                add_note(str(damage))

    def read_truths(self) -> Iterator[tuple[int, GroundTruth]]:
        """Yield the stamp in nanoseconds and the ground truth of each frame that has one.

        Raises:
            SourceError: a message is not ground truth.
        """
        for _, message in self._reader.read_messages([self.truth_topic]) if self.truth_topic else ():
            with self._convert_errors(self.truth_topic):
                item = read_stamp_ns(message), read_truth(message)
            yield item

    def _read_frame(self, message: Any) -> Frame:
        with self._convert_errors(self.image_topic):
            frame = self._decode(message)
            if not 0 <= frame.stamp_ns < _MAX_STAMP_NS:
                raise FrameRefusedError(f"stamp must be between 1970 and 2038: got {frame.stamp_ns} ns")
            return frame

    def _decode(self, message: Any) -> Frame:
        if self.image_topic not in self._compressed_topics:
            return read_image(message)
        pixels, encoding = decode_image(bytes(message.data), f"image of format {message.format[:80]!r}")
        return Frame(read_stamp_ns(message), pixels, encoding, message.header.frame_id)

    @contextmanager
    def _convert_errors(self, topic: str) -> Iterator[None]:
        """Raise the error of an unusable message as a SourceError that names the recording and the topic.

        A definition in the recording decides which fields a message has, and of which types.
        """
        try:
            yield
        except (TrackingError, ValueError) as error:
            raise SourceError(f"{self._reader.path}, topic {topic}: {error}") from error
        except (AttributeError, TypeError, LookupError, OverflowError) as error:
            raise SourceError(
                f"{self._reader.path}, topic {topic}: a message lacks the fields of its type: {error}"
            ) from error

    def _read_first(self, topic: str) -> Any:
        return next((message for _, message in self._reader.read_messages([topic])), None) if topic else None

    def _choose_image_topic(self, topic: str) -> str:
        raw_topics = self._reader.find_topics(IMAGE)
        topics = raw_topics + self._reader.find_topics(COMPRESSED_IMAGE)
        preferred = raw_topics or topics
        named = [name for name in preferred if _remove_transport(name).rpartition("/")[2] == _IMAGE_NAME]
        candidates = [topic] if topic else named or preferred
        if len(candidates) != 1 or candidates[0] not in topics:
            available = ", ".join(topics) or f"none, only {', '.join(self._reader.topics) or 'nothing'}"
            raise SourceError(
                f"{self._reader.path}: choose the topic of the images by --topic, or in the address "
                f"bag:{self._reader.path}?topic=…; available: {available}"
            )
        return candidates[0]

    def _find_sibling_topic(self, name: str, type_name: str) -> str:
        """Find a topic in the namespace of the images; empty if it does not exist with this type."""
        topic = f"{_remove_transport(self.image_topic).rpartition('/')[0]}/{name}"
        return topic if topic in self._reader.find_topics(type_name) else ""


def _remove_transport(topic: str) -> str:
    """Return the topic of the raw images beside which image_transport publishes `TOPIC/compressed`."""
    return topic.removesuffix("/compressed")


def _add_truth(frame: Frame, truths: dict[int, GroundTruth]) -> Frame:
    """Return the frame with the ground truth of its stamp. Remove older ground truth from `truths`."""
    truth = truths.get(frame.stamp_ns)
    for stamp_ns in [stamp_ns for stamp_ns in truths if stamp_ns < frame.stamp_ns]:
        del truths[stamp_ns]
    return replace(frame, truth=truth)
