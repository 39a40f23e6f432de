"""What the demo has to know of each tracker: its node, its scene, how to begin, and how to score.

A tracker's package offers its flight under the entry point group ``remote_sensing_tracking.flights``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from tracking_runtime.bags import BagReader
from tracking_runtime.boxes import Boxes
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import read_truth, stamp_ns
from tracking_runtime.reports.report_data import Scoring

FLIGHTS = "remote_sensing_tracking.flights"
TRUTH_TOPIC = "/ground_truth"


@dataclass(frozen=True)
class Wishes:
    """What a user asks of a flight.

    Attributes:
        seed: of the simulated scene, or of the movement over a real cube; None: the flight's own.
        frames: of a simulated or panned scene; None: the flight's own.
        input: real frames instead of a simulation.
        mosaic: filter rows and columns of a raw mosaic, as in ``3x3``; empty: to be found out.
        model: name or path; empty: the flight's own.
        rate_hz: at which to play; 0: each frame when the tracker is done with the one before; None: the
            flight's own.
    """

    seed: int | None = None
    frames: int | None = None
    input: Path | None = None
    mosaic: str = ""
    model: str = ""
    rate_hz: float | None = None


@dataclass(frozen=True)
class Plan:
    """One flight, decided.

    Attributes:
        source: address that the player takes.
        frames: that it will play.
        rate_hz: at which; 0: each frame when the tracker is done with the one before.
        model: for the tracker.
    """

    source: str
    frames: int
    rate_hz: float
    model: str


class Pilot(Protocol):
    """What can be done while a flight is under way."""

    def first_seen(self) -> tuple[int, GroundTruth]:
        """Stamp and truth of the first frame with an object in it that the tracker has processed."""

    def set_target(self, box: Boxes, stamp_ns: int) -> None:
        """Have the tracker follow what a box holds in the frame of that stamp."""


class Recording:
    """The bag of a flight, as scoring reads it."""

    def __init__(self, bag: Path, tracks_topic: str) -> None:
        self._reader = BagReader(bag)
        self._tracks_topic = tracks_topic

    @cached_property
    def truth(self) -> dict[int, GroundTruth]:
        """What is known of each frame played, by stamp; empty if nothing is."""
        return {stamp_ns(message): read_truth(message) for message in self._messages(TRUTH_TOPIC)}

    @cached_property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the images that the truth is of; None without truth."""
        first = next(self._messages(TRUTH_TOPIC), None)
        return (int(first.image_width), int(first.image_height)) if first else None

    @cached_property
    def tracks(self) -> list[Any]:
        """The tracker's messages, in the order in which they came."""
        return list(self._messages(self._tracks_topic))

    def _messages(self, topic: str) -> Iterator[Any]:
        return (message for _, message in self._reader.messages([topic]))


def _nothing_to_do(pilot: Pilot) -> None:
    """Begin without a word."""


def _at_once(tracker: Mapping[str, str]) -> bool:
    """Ready as soon as it is configured."""
    return True


@dataclass(frozen=True)
class Flight:
    """One tracker's flight.

    Attributes:
        name: on the command line.
        title: for people.
        module: of the tracker's node, run as ``python -m module``.
        node: its name.
        view: the visualizer's parameter ``tracker``.
        picture_topic: what the visualizer draws on.
        picture_scale: how many times it enlarges that.
        plan: decides on source and model. Raises SourceError.
        is_ready: whether the tracker, by its diagnosis, can take frames, once it is configured and the player
            has said what the camera's bands are.
        begin: done as soon as frames are played.
        score: how well a recorded flight was tracked.
        parameters: of the tracker's node, beside the model.
    """

    name: str
    title: str
    module: str
    node: str
    view: str
    plan: Callable[[Wishes], Plan]
    score: Callable[[Recording], Scoring]
    is_ready: Callable[[Mapping[str, str]], bool] = _at_once
    begin: Callable[[Pilot], None] = _nothing_to_do
    picture_topic: str = "/image"
    picture_scale: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tracks_topic(self) -> str:
        """Where the tracker publishes."""
        return f"/{self.node}/tracks"


def load_flights() -> dict[str, Flight]:
    """The flights of all installed trackers by name, in the order of their names."""
    return {point.name: point.load() for point in sorted(entry_points(group=FLIGHTS), key=lambda p: p.name)}
