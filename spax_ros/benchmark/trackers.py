"""Trackers that the benchmark compares: SPAX with one part exchanged at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, Tracks
from spax_ros.association.cost import compute_distance_cost, compute_iou_cost, compute_scored_iou_cost
from spax_ros.benchmark.classical import ClassicalTracker, FrameDifference, MixtureOfGaussians
from spax_ros.benchmark.dense_tracker import DenseTracker
from spax_ros.tracker import SpaxTracker, TrackerSettings, TrackingResult
from spax_ros.weights import LoadedModel

REFERENCE = "SPAX"  # name of the tracker without an exchanged part


class ImageTracker(Protocol):
    """Tracker of all moving objects."""

    def track(self, image: NDArray[Any], stamp_ns: int) -> Tracks | TrackingResult:
        """Return the tracks of the next frame, alone or as a part of the result."""


@dataclass(frozen=True)
class BenchmarkTracker:
    """A tracker that takes part in the benchmark.

    Attributes:
        name: name of the tracker in tables and plots.
        exchanged: part of the reference that is exchanged: `execution`, `memory`, `association` or
            `detector`; empty for the reference.
        make_tracker: factory, called once per clip.
    """

    name: str
    exchanged: str
    make_tracker: Callable[[], ImageTracker]


def make_association_settings() -> dict[str, AssociationSettings]:
    """Return the settings of the compared associations by name: costs with matching limits.

    All share SPAX's Kalman filter and its compensation of the camera motion. "SORT" has the rules of its
    paper: IoU from 0.3, one round, tracks removed after one missed frame. "SORT, 20 frames" has those of
    DSFNet and HiEUM: IoU from 0.1, tracks removed after 20 missed frames. "ByteTrack's cost", "SORT's cost"
    and "center distance" keep the track management of SPAX.
    """
    default = TrackerSettings().association
    sort = AssociationSettings(
        cost=compute_iou_cost,
        first_limit=0.7,
        tentative_limit=0.7,
        max_coasting_frames=1,
        low_score=default.high_score,
        new_score=default.high_score,
        is_class_aware=False,
    )
    return {
        "GTA as published": AssociationSettings(),
        "ByteTrack's cost": replace(default, cost=compute_scored_iou_cost, first_limit=0.8),
        "SORT": sort,
        "SORT, 20 frames": replace(sort, first_limit=0.9, tentative_limit=0.9, max_coasting_frames=20),
        "SORT's cost": replace(default, cost=compute_iou_cost, first_limit=0.9, low_score=default.high_score),
        "center distance": replace(default, cost=compute_distance_cost),
    }


def make_benchmark_trackers(model: LoadedModel) -> list[BenchmarkTracker]:
    """Return the trackers that run over the frames. The first is the reference."""
    is_carried = model.network.config.memory == "carried"
    other_memory_model = replace_memory(model, "window" if is_carried else "carried")
    return [
        BenchmarkTracker(REFERENCE, "", lambda: SpaxTracker(model)),
        BenchmarkTracker("masked dense network", "execution", lambda: DenseTracker(model, is_masked=True)),
        BenchmarkTracker("whole dense network", "execution", lambda: DenseTracker(model, is_masked=False)),
        BenchmarkTracker(
            "window, as published" if is_carried else "carried state",
            "memory",
            lambda: SpaxTracker(other_memory_model),
        ),
        BenchmarkTracker("frame differencing", "detector", lambda: ClassicalTracker(FrameDifference())),
        BenchmarkTracker("MOG2", "detector", lambda: ClassicalTracker(MixtureOfGaussians())),
    ]


def replace_memory(model: LoadedModel, memory_kind: str) -> LoadedModel:
    """Return a model with the same weights and another kind of memory.

    Args:
        model: model of SPAX.
        memory_kind: `carried` (recurrent state) or `window` (several frames in each step).
    """
    network = copy.copy(model.network)
    network.config = replace(network.config, memory=memory_kind)  # type: ignore[arg-type]
    return replace(model, network=network)
