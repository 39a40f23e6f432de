"""The videos of a benchmark: simulated ones that no training has seen, with their attributes, and others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from hsi_tracker_ros.simulation.scene import ATTRIBUTES, BENCHMARK_SEEDS, HyperspectralScene
from tracking_runtime.boxes import as_boxes
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.evaluation.job_planning import Video, named_apart
from tracking_runtime.evaluation.video_scores import target_boxes
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.spectral_info import SpectralInfo

COMPOSED = ("BC", "DEF", "FM", "IV")
"""Attributes that a scene has from its first frame to its last, because it was made so."""

SCALE_RATIO = 2.0
LOW_RESOLUTION_PX = 400.0
EVENT_SHARE = 0.3
"""Of the target, covered or outside the image in some frame: occlusion, out of view."""


@dataclass(frozen=True)
class SimulatedVideo:
    """A scene of the simulator as a video of a benchmark.

    Attributes:
        seed: of the scene.
        frames: how many.
        size: width and height of the cube in pixels.
    """

    seed: int
    frames: int = 150
    size: tuple[int, int] = (512, 256)

    @cached_property
    def scene(self) -> HyperspectralScene:
        """The scene. Raises SourceError without colour-science."""
        return HyperspectralScene(self.seed, self.frames, size=self.size)

    @property
    def name(self) -> str:
        """With the seed."""
        return f"hyperspectral-{self.seed}"

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return self.scene.rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the one target."""
        return self.scene.class_names

    @property
    def spectral_info(self) -> SpectralInfo:
        """The camera's bands."""
        return self.scene.spectral_info

    @property
    def truth(self) -> Truths:
        """What is in each frame."""
        return self._watched[0]

    @property
    def attributes(self) -> tuple[str, ...]:
        """What makes it hard, of ``ATTRIBUTES``."""
        return self._watched[1]

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.scene)

    @cached_property
    def _watched(self) -> tuple[Truths, tuple[str, ...]]:
        """Truth and attributes, for which every frame is rendered once."""
        truth: list[GroundTruth | None] = []
        covered, outside, touched = [], [], []
        for index in range(self.frames):
            rendering = self.scene.render(index)
            truth.append(self.scene.truth(rendering))
            covered.append(rendering.covered_share)
            outside.append(rendering.outside_share)
            touched.append(rendering.touched)
        seen = measured_attributes(target_boxes(truth), covered, outside, touched)
        made = {name for name in self.scene.attributes if name in COMPOSED}
        return truth, tuple(name for name in ATTRIBUTES if name in made | seen)


def benchmark_videos(
    count: int, frames: int, *, first: int = BENCHMARK_SEEDS.start, size: tuple[int, int] = (512, 256)
) -> list[SimulatedVideo]:
    """Videos of consecutive seeds.

    Raises:
        ValueError: one of the seeds is of those for training.
    """
    seeds = range(first, first + count)
    if count and (seeds[0] not in BENCHMARK_SEEDS or seeds[-1] not in BENCHMARK_SEEDS):
        raise ValueError(
            f"seeds for measuring are {BENCHMARK_SEEDS.start} to {BENCHMARK_SEEDS.stop - 1}; "
            "others may have been trained on"
        )
    return [SimulatedVideo(seed, frames, size) for seed in seeds]


def with_recorded(simulated: Sequence[SimulatedVideo], places: Iterable[Path]) -> list[Video]:
    """Simulated videos and those at some places, under names that tell them apart.

    Raises:
        SourceError: there is nothing to read at a place, or videos cannot be told apart.
    """
    opened = {place.resolve(): open_dataset(place) for place in places}
    return named_apart({Path("simulated"): simulated, **opened})


def measured_attributes(
    boxes: ArrayLike, covered: ArrayLike, outside: ArrayLike, touched: ArrayLike
) -> set[str]:
    """Attributes that the truth shows, by the definitions of OTB and HOT.

    Args:
        boxes: ``(frames, 4)`` of the target, NaN where it is absent.
        covered: ``(frames,)`` share of the target in the image that something in front covers.
        outside: ``(frames,)`` share of the target outside the image.
        touched: ``(frames,)`` whether a look-alike touches the target.

    Returns:
        of LR (fewer than ``LOW_RESOLUTION_PX`` pixels in a box), SV (an area more than ``SCALE_RATIO`` times
        larger or smaller than the first, the target whole in the image), OCC, OV, and SLA (a look-alike
        touches the target while it is seen).
    """
    area = as_boxes(boxes)[:, 2:].prod(axis=1)
    whole = np.isfinite(area) & (np.asarray(outside) < EVENT_SHARE)
    ratio = area[whole] / area[np.isfinite(area)][:1]
    shown = {
        "OCC": (np.asarray(covered) >= EVENT_SHARE).any(),
        "SV": ((ratio > SCALE_RATIO) | (ratio < 1 / SCALE_RATIO)).any(),
        "LR": (area[whole] < LOW_RESOLUTION_PX).any(),
        "OV": (np.asarray(outside) >= EVENT_SHARE).any(),
        "SLA": (np.asarray(touched, bool) & np.isfinite(area)).any(),
    }
    return {name for name, holds in shown.items() if holds}
