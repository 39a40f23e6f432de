"""`train_hanet`: trains HA-Net from the preparation of clips to the finished model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.progress import Progress

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.hanet.checkpoint_import import load_imagenet_backbone, make_hanet_with_rgb_branch
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.hanet.weights import load_network, save_network
from hsi_tracker_ros.training.clips import read_clips
from hsi_tracker_ros.training.options import RUNS_FOLDER, TrainHanetOptions
from hsi_tracker_ros.training.recorded_clips import cut_recorded_clips
from hsi_tracker_ros.training.simulated_clips import render_clips
from hsi_tracker_ros.training.trainer import (
    RECIPES,
    REFINEMENT_RECIPE,
    HANetTrainer,
    TrainingRecipe,
    load_network_to_refine,
)
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.training.distributed import is_first_process, join_processes, wait_for_all_processes
from tracking_runtime.training.loop import train

__all__ = ["TrainHanetOptions", "train_hanet"]


@dataclass(frozen=True)
class _InitialNetwork:
    """Network before training.

    Attributes:
        network: network with its initial weights.
        recipe: recipe that suits these weights.
        origin: origin of the weights, for the manifest.
    """

    network: HANet
    recipe: TrainingRecipe
    origin: str


def train_hanet(options: TrainHanetOptions, progress: Progress | None = None) -> Path | None:
    """Train HA-Net and write the model. An interrupted run continues if the function is called again.

    Args:
        options: options of the run.
        progress: progress bars to which the function adds its own; None shows nothing.

    Returns:
        Path of the model's manifest; None in all processes of `torchrun` but the first.

    Raises:
        ModelError: a model or device cannot be used, or the folder contains a run of another network.
        SourceError: recordings or photographs cannot be used, or there are no clips.
    """
    progress = progress or Progress(disable=True)
    torch.manual_seed(options.seed)
    name = options.resolve_name(options.preset)
    folder = options.folder or RUNS_FOLDER / name
    wavelengths_nm = find_camera_preset(options.camera).wavelengths_nm if options.camera else None
    initial = _make_initial_network(options)
    recipe = replace(
        initial.recipe,
        steps=options.steps or initial.recipe.steps,
        batch=options.batch or initial.recipe.batch,
    )
    with join_processes(options.device) as device:
        if is_first_process():
            _gather_clips(options, progress)
        wait_for_all_processes()
        trainer = HANetTrainer(
            initial.network,
            read_clips(options.clips),
            recipe,
            folder,
            seed=options.seed,
            workers=options.workers,
            device=device,
        )
        train(trainer, progress, displayed_loss="fused", save_every_s=options.save_every_s)
        if not is_first_process():
            return None
    network = trainer.export_network().cpu()
    data = [f"{options.count} simulated clips", *map(str, options.data)]
    training = {"data": data, "initial_weights": initial.origin, **trainer.describe()}
    if wavelengths_nm:
        network = network.bake(wavelengths_nm)
    return save_network(options.models, name, network, training=training)


def _make_initial_network(options: TrainHanetOptions) -> _InitialNetwork:
    if options.base_model is not None:
        network = load_network_to_refine(options.base_model)
        return _InitialNetwork(network, REFINEMENT_RECIPE, f"model {options.base_model}")
    config, recipe = RECIPES[options.preset]
    if options.rgb is not None:
        return _InitialNetwork(
            network=make_hanet_with_rgb_branch(config, load_network(options.rgb)),
            recipe=replace(recipe, stages=(("spectral",),)),
            origin=f"RGB branch: model {options.rgb}; the rest random",
        )
    network = HANet(config)
    return _InitialNetwork(network, recipe, load_imagenet_backbone(network))


def _gather_clips(options: TrainHanetOptions, progress: Progress) -> None:
    """Add the clips that the folder of clips lacks."""
    if options.count:
        task = progress.add_task("rendering clips", total=options.count)
        for num_clips in render_clips(options.clips, options.count, photographs=options.photographs):
            progress.update(task, completed=num_clips)
        progress.update(task, completed=options.count)
    videos = [video for path in options.data for video in open_dataset(path)]
    if videos:
        task = progress.add_task("cutting clips", total=len(videos))
        for video_name in cut_recorded_clips(options.clips, videos):
            progress.update(task, advance=1, description=f"cutting clips, {video_name}")
