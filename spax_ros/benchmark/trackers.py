"""Who runs over the clips: the same tracker with one part exchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, Tracks
from spax_ros.association.cost import iou_cost, scored_iou_cost
from spax_ros.benchmark.classical import ClassicalTracker, FrameDifference, MixtureOfGaussians
from spax_ros.benchmark.dense_tracker import DenseTracker
from spax_ros.tracker import SpaxTracker, TrackerSettings
from spax_ros.weights import SpaxModel

REFERENCE = "SPAX"


class Tracker(Protocol):
    """Makes tracks of frames."""

    def track(self, image: NDArray[Any], stamp_ns: int) -> Tracks:
        """Every track after this frame."""


@dataclass(frozen=True)
class Contender:
    """A tracker to measure.

    Attributes:
        name: in tables and plots.
        exchanged: which part of ``REFERENCE`` is another here.
        start: a fresh tracker, for each clip.
    """

    name: str
    exchanged: str
    start: Callable[[], Tracker]


def association_contenders() -> dict[str, AssociationSettings]:
    """How the same detections are associated, by name: costs with the limits that belong to them.

    SORT is as published (overlaps from 0.3, forgotten after a frame, one round), but for our compensation of
    the platform's motion; SORT's cost has our life cycle.
    """
    ours = TrackerSettings().association
    return {
        "GTA as published": AssociationSettings(),
        "ByteTrack's cost": replace(ours, cost=scored_iou_cost, first_limit=0.8),
        "SORT": replace(
            ours,
            cost=iou_cost,
            first_limit=0.7,
            tentative_limit=0.7,
            buffer=1,
            low_score=ours.high_score,
            new_score=ours.high_score,
            certain_score=float("inf"),
        ),
        "SORT's cost": replace(ours, cost=iou_cost, first_limit=0.9, low_score=ours.high_score),
    }


def contenders(model: SpaxModel) -> list[Contender]:
    """Everyone who sees the frames; the first is ``REFERENCE``."""
    carried = model.network.config.memory == "carried"
    other = with_memory(model, "window" if carried else "carried")
    return [
        Contender(REFERENCE, "", lambda: SpaxTracker(model)),
        Contender("masked dense network", "execution", lambda: DenseTracker(model, masked=True)),
        Contender("whole dense network", "execution", lambda: DenseTracker(model, masked=False)),
        Contender(
            "window, as published" if carried else "carried state", "memory", lambda: SpaxTracker(other)
        ),
        Contender("frame differencing", "detector", lambda: ClassicalTracker(FrameDifference())),
        Contender("MOG2", "detector", lambda: ClassicalTracker(MixtureOfGaussians())),
    ]


def with_memory(model: SpaxModel, memory: str) -> SpaxModel:
    """A model of the same weights that remembers in another way."""
    network = copy.copy(model.network)
    network.config = replace(network.config, memory=memory)  # type: ignore[arg-type]
    return replace(model, network=network)
