"""Options of a training run of SPAX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracking_runtime.training.options import TrainingOptions

SceneKind = Literal["land", "mixed"]
"""Kinds of simulated scenes for training; see `spax_ros.training.preparation.choose_scene`."""

RUNS_FOLDER = Path("training")
"""Folder of the runs' folders and of the prepared clips."""


@dataclass(frozen=True, kw_only=True)
class TrainSpaxOptions(TrainingOptions):
    """Options of `train_spax`.

    Attributes:
        variant: network and settings: `small`, `light` or a published variant. Ignored if a base model is
            refined.
        clips: folder of prepared clips. Missing clips are prepared from sources, benchmarks and scenes.
        sources: addresses of sequences with ground truth, as `tracking_runtime.io.sources.open_source` takes
            them.
        datasets: benchmarks to train on: SatVideoDT, SatMTB, VISO, SDM-Car, bags.
        class_names: names of the classes that the text files of the benchmarks number from 1.
        simulated: number of simulated clips.
        scenes: kind of the simulated scenes: `land`, or `mixed` with measured traffic, ports and faint
            vehicles.
        accumulate: True if the network gets the motion accumulated over the last frames as input, which finds
            faint movers. A base model without it is extended.
        unlabelled: addresses of video without ground truth, on which a model trains itself; see
            `spax_ros.training.self_training`.
        rounds: largest number of rounds of labeling and training on that video.
    """

    seed: int = 317
    variant: str = "small"
    clips: Path = RUNS_FOLDER / "satellite_clips"
    sources: tuple[str, ...] = ()
    datasets: tuple[Path, ...] = ()
    class_names: tuple[str, ...] = ()
    simulated: int = 400
    scenes: SceneKind = "land"
    accumulate: bool = False
    unlabelled: tuple[str, ...] = ()
    rounds: int = 4
