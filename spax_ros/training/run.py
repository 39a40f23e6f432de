"""`train_spax`: trains SPAX from the preparation of clips to the finished model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch.nn.functional as F
from rich.progress import Progress
from torch import Tensor

from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.preprocessing import NUM_CHANNELS, InputKind, PixelEncoder
from spax_ros.training.clips import ClipPool
from spax_ros.training.options import RUNS_FOLDER, TrainSpaxOptions
from spax_ros.training.preparation import prepare_clips, prepare_videos
from spax_ros.training.trainer import (
    REFINEMENT_SETTINGS,
    SIMULATION_SETTINGS,
    SpaxTrainer,
    TrainingSettings,
)
from spax_ros.weights import ARCHITECTURE, save_spax
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import load_model
from tracking_runtime.training.distributed import is_first_process, join_processes, wait_for_all_processes
from tracking_runtime.training.loop import train

__all__ = ["TrainSpaxOptions", "train_spax"]

_INPUT_WEIGHTS = ("stem.0.conv.weight", "backbone.base.conv.weight")  # kernels that read the frame
_SIMULATION_VARIANTS = ("small", "light")  # variants of this package; the others are published


@dataclass(frozen=True)
class _InitialNetwork:
    """Network before training.

    Attributes:
        config: configuration of the network.
        settings: training settings that suit the weights.
        weights: initial weights; None initializes them at random.
    """

    config: SpaxConfig
    settings: TrainingSettings
    weights: Mapping[str, Tensor] | None = None


def train_spax(options: TrainSpaxOptions, progress: Progress | None = None) -> Path | None:
    """Train SPAX and write the model. An interrupted run continues if the function is called again.

    Args:
        options: options of the run.
        progress: progress bars to which the function adds its own; None shows nothing.

    Returns:
        Path of the model's manifest; None in all processes of `torchrun` but the first.

    Raises:
        ModelError: a model or device cannot be used, or the folder contains a run of another network.
        SourceError: sources or benchmarks cannot be used, or there are no clips.
    """
    progress = progress or Progress(disable=True)
    name = options.resolve_name(f"spax_{options.variant}")
    folder = options.folder or RUNS_FOLDER / name
    initial = _make_initial_network(options)
    settings = replace(
        initial.settings,
        steps=options.steps or initial.settings.steps,
        batch=options.batch or initial.settings.batch,
        seed=options.seed,
    )
    videos = [
        video for path in options.datasets for video in open_dataset(path, class_names=options.class_names)
    ]
    with join_processes(options.device) as device:
        if is_first_process():
            _gather_clips(options, initial.config, videos, progress)
        wait_for_all_processes()
        trainer = SpaxTrainer(
            initial.config, settings, ClipPool(options.clips), folder, initial.weights, device=device
        )
        train(trainer, progress, displayed_loss="total", save_every_s=options.save_every_s)
        if not is_first_process():
            return None
    data = [*map(str, options.datasets), *options.sources, f"{options.simulated} simulated clips"]
    training = {"data": data, "begun_from": options.base_model, **trainer.describe()}
    return save_spax(options.models, name, initial.config, trainer.averaged_weights, training=training)


def _make_initial_network(options: TrainSpaxOptions) -> _InitialNetwork:
    if options.base_model is not None:
        model = load_model(options.base_model, ARCHITECTURE)
        config = replace(SpaxConfig.from_parameters(model.manifest.parameters), memory="carried")
        initial = _InitialNetwork(config, REFINEMENT_SETTINGS, model.weights)
        return _add_accumulation(initial) if options.accumulate else initial
    is_simulated = options.variant in _SIMULATION_VARIANTS
    settings = SIMULATION_SETTINGS if is_simulated else TrainingSettings()
    initial = _InitialNetwork(VARIANTS[options.variant], settings)
    return _add_accumulation(initial) if options.accumulate else initial


def _add_accumulation(initial: _InitialNetwork) -> _InitialNetwork:
    """Return the network with the accumulated motion as further input, which it ignores at first.

    Raises:
        ModelError: the network has no difference from the background as input.
    """
    inputs: InputKind = "gray_residual_velocity"
    config = initial.config
    if config.inputs not in ("gray_residual", inputs):
        raise ModelError(
            f"inputs of a network with accumulated motion must be gray_residual: got {config.inputs}; use "
            "--variant small or light"
        )
    num_added = NUM_CHANNELS[inputs] - NUM_CHANNELS[config.inputs]
    weights = initial.weights and {
        name: F.pad(weight, (0, 0, 0, 0, 0, num_added)) if name in _INPUT_WEIGHTS else weight
        for name, weight in initial.weights.items()
    }
    return replace(initial, config=replace(config, inputs=inputs), weights=weights)


def _gather_clips(
    options: TrainSpaxOptions, config: SpaxConfig, videos: Sequence[VideoSequence], progress: Progress
) -> None:
    """Prepare the clips that the folder of clips lacks."""
    encoder = PixelEncoder(config.inputs)
    total = len(videos) + len(options.sources) + options.simulated
    task = progress.add_task("preparing clips", total=total)
    for num_videos in prepare_videos(options.clips, encoder, config.classes, videos):
        progress.update(task, completed=num_videos)
    for num_clips in prepare_clips(
        options.clips,
        encoder,
        sources=options.sources,
        num_scenes=options.simulated,
        scenes=options.scenes,
    ):
        progress.update(task, completed=len(videos) + num_clips)
