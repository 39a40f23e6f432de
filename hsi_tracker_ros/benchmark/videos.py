"""Videos of the benchmark: simulated ones with seeds reserved for tests, and recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hsi_tracker_ros.benchmark.base import BenchmarkSettingsError
from hsi_tracker_ros.photographs import find_photograph_paths
from hsi_tracker_ros.simulation.natural import NaturalScene
from hsi_tracker_ros.simulation.scene import ATTRIBUTES, BENCHMARK_SEEDS, HyperspectralScene
from tracking_runtime.boxes import as_boxes, compute_centers
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.datasets.sequences import ImageSequence, Truths, VideoSequence
from tracking_runtime.evaluation.job_planning import NamedVideo, assign_unique_names
from tracking_runtime.evaluation.video_scores import find_target_boxes
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.spectral_info import SpectralInfo

SceneKind = Literal["natural", "procedural"]
"""Simulated scenes: of photographs or dead leaves with real noise, or of measured materials in textures."""

DESIGNED_ATTRIBUTES = ("BC", "DEF", "FM", "IV")
"""Attributes that a scene has by design in all its frames. The others are found in the ground truth."""

MAX_SCALE_RATIO = 2.0
"""Ratio of the target's area to its first area, or its inverse, above which the scale varies (SV)."""

LOW_RESOLUTION_AREA_PX = 400.0
"""Area of the target's box in pixels below which the resolution is low (LR)."""

FAST_STEP_PX = 20.0
"""Movement of the target from one frame to the next in pixels from which it is fast (FM, as in OTB)."""

MIN_HIDDEN_FRACTION = 0.3
"""Fraction of the target, occluded (OCC) or outside the image (OV), from which the attribute counts."""


@dataclass(frozen=True)
class SimulatedVideo:
    """Simulated scene as a video of the benchmark.

    Attributes:
        seed: random seed of the scene.
        frames: number of frames.
        size: width and height of the cubes in pixels.
        scenes: kind of the scene.
        photographs: folder of photographs of a natural scene; None: dead leaves.
        photographs_sha256: digest of the names and sizes of the photographs. Results with others are invalid.
    """

    seed: int
    frames: int = 150
    size: tuple[int, int] = (512, 256)
    scenes: SceneKind = "procedural"
    photographs: Path | None = None
    photographs_sha256: str = ""

    @cached_property
    def scene(self) -> HyperspectralScene:
        """Simulated scene. Raises SourceError if colour-science is not installed."""
        if self.scenes == "natural":
            return NaturalScene(self.seed, self.frames, size=self.size, photographs=self.photographs)
        return HyperspectralScene(self.seed, self.frames, size=self.size)

    @property
    def name(self) -> str:
        """Name of the video, which contains the seed."""
        return f"{'natural' if self.scenes == 'natural' else 'hyperspectral'}-{self.seed}"

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self.scene.rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of the target's class."""
        return self.scene.class_names

    @property
    def spectral_info(self) -> SpectralInfo:
        """Bands of the camera."""
        return self.scene.spectral_info

    @property
    def truth(self) -> Truths:
        """Ground truth of each frame."""
        return self._truth_and_attributes[0]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Challenges of the video, in the order of `ATTRIBUTES`."""
        return self._truth_and_attributes[1]

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.scene)

    @cached_property
    def _truth_and_attributes(self) -> tuple[Truths, tuple[str, ...]]:
        """Ground truth and attributes. Every frame is rendered once."""
        truth: list[GroundTruth | None] = []
        covered_fractions = []
        outside_fractions = []
        touches_distractor = []
        for index in range(self.frames):
            rendering = self.scene.render(index)
            truth.append(self.scene.make_truth(rendering))
            covered_fractions.append(rendering.covered_fraction)
            outside_fractions.append(rendering.outside_fraction)
            touches_distractor.append(rendering.is_touched)
        boxes = find_target_boxes(truth)
        found = find_attributes(boxes, covered_fractions, outside_fractions, touches_distractor)
        designed = {name for name in self.scene.attributes if name in DESIGNED_ATTRIBUTES}
        return truth, tuple(name for name in ATTRIBUTES if name in designed | found)


def make_simulated_videos(
    num_videos: int,
    num_frames: int,
    *,
    first_seed: int = BENCHMARK_SEEDS.start,
    size: tuple[int, int] = (512, 256),
    scenes: SceneKind = "natural",
    photographs: Path | None = None,
) -> list[SimulatedVideo]:
    """Return simulated videos of consecutive seeds.

    Args:
        num_videos: number of videos.
        num_frames: number of frames of each video.
        first_seed: seed of the first video.
        size: width and height of the cubes in pixels.
        scenes: kind of the scenes.
        photographs: folder of photographs of natural scenes; None: dead leaves.

    Raises:
        BenchmarkSettingsError: a seed is reserved for training, or photographs are given for procedural
            scenes.
        SourceError: the folder contains no photographs.
    """
    seeds = range(first_seed, first_seed + num_videos)
    if num_videos and (seeds[0] not in BENCHMARK_SEEDS or seeds[-1] not in BENCHMARK_SEEDS):
        raise BenchmarkSettingsError(
            f"benchmark seeds must be {BENCHMARK_SEEDS.start} to {BENCHMARK_SEEDS.stop - 1}: "
            f"got {seeds[0]} to {seeds[-1]}; a model may have been trained on other seeds"
        )
    if photographs is not None and scenes != "natural":
        raise BenchmarkSettingsError(
            f"photographs (--photographs) must be given for natural scenes only: got {scenes} ones; choose "
            "--scenes natural"
        )
    digest = _compute_listing_sha256(photographs) if photographs is not None else ""
    return [SimulatedVideo(seed, num_frames, size, scenes, photographs, digest) for seed in seeds]


def _compute_listing_sha256(folder: Path) -> str:
    """Return the SHA-256 of the names and sizes of the photographs in a folder."""
    lines = [f"{path.relative_to(folder)} {path.stat().st_size}" for path in find_photograph_paths(folder)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def add_recorded_videos(simulated: Sequence[VideoSequence], paths: Iterable[Path]) -> list[NamedVideo]:
    """Return simulated and recorded videos with unique names.

    Args:
        simulated: simulated videos, and videos of cubes.
        paths: data sets, sequences or bags of recorded videos.

    Raises:
        SourceError: a path contains no video, or two videos would write the same files.
    """
    recorded = {path.resolve(): open_dataset(path) for path in paths}
    return assign_unique_names({Path("simulated"): simulated, **recorded})


def add_found_attributes(videos: Iterable[NamedVideo]) -> list[NamedVideo]:
    """Return the videos with the attributes that their ground truth shows, where they have none."""
    return [
        video
        if video.sequence.attributes or not isinstance(video.sequence, ImageSequence)
        else replace(video, sequence=replace(video.sequence, attributes=_find_box_attributes(video.sequence)))
        for video in videos
    ]


def _find_box_attributes(sequence: ImageSequence) -> tuple[str, ...]:
    """Return the attributes that boxes alone show: SV, LR, OV where the target is absent, and FM."""
    boxes = find_target_boxes(sequence.truth)
    is_absent = ~np.isfinite(boxes).all(axis=1)
    unknown = np.zeros(len(boxes))
    found = find_attributes(boxes, unknown, is_absent.astype(float), unknown)
    steps = np.hypot(*np.diff(compute_centers(boxes), axis=0).T)
    if (steps > FAST_STEP_PX).any():
        found.add("FM")
    return tuple(sorted(found))


def find_attributes(
    boxes: ArrayLike,
    covered_fractions: ArrayLike,
    outside_fractions: ArrayLike,
    touches_distractor: ArrayLike,
) -> set[str]:
    """Return the attributes that the ground truth shows, by the definitions of OTB and HOT.

    Args:
        boxes: boxes of the target, (frames, 4); NaN where the target is absent.
        covered_fractions: occluded fraction of the target's part in the image, (frames,), 0..1.
        outside_fractions: fraction of the target outside the image, (frames,), 0..1.
        touches_distractor: True for frames in which a distractor touches the target, (frames,).

    Returns:
        Names of the attributes that hold in at least one frame:
            OCC: occlusion.
            SV: scale variation, compared with the first box, among frames with the target inside the image.
            LR: low resolution, among the same frames.
            OV: out of view.
            SLA: a distractor touches the visible target.
    """
    areas = as_boxes(boxes)[:, 2:].prod(axis=1)
    is_visible = np.isfinite(areas)
    is_inside = is_visible & (np.asarray(outside_fractions) < MIN_HIDDEN_FRACTION)
    ratios = areas[is_inside] / areas[is_visible][:1]
    is_present = {
        "OCC": (np.asarray(covered_fractions) >= MIN_HIDDEN_FRACTION).any(),
        "SV": ((ratios > MAX_SCALE_RATIO) | (ratios < 1 / MAX_SCALE_RATIO)).any(),
        "LR": (areas[is_inside] < LOW_RESOLUTION_AREA_PX).any(),
        "OV": (np.asarray(outside_fractions) >= MIN_HIDDEN_FRACTION).any(),
        "SLA": (np.asarray(touches_distractor, bool) & is_visible).any(),
    }
    return {name for name, is_shown in is_present.items() if is_shown}
