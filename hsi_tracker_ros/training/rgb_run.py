"""`train_rgb`: trains a tracker of color images, from reading the data to the finished model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import Progress

from hsi_tracker_ros.hanet.checkpoint_import import load_imagenet_backbone
from hsi_tracker_ros.hanet.config import HANET_EDGE
from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_color_network, save_network
from hsi_tracker_ros.training.object_images import find_photographs, select_object_sequences
from hsi_tracker_ros.training.options import RUNS_FOLDER, TrainRgbOptions
from hsi_tracker_ros.training.rgb_trainer import RGB_RECIPE, RgbTrainer
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.training.distributed import is_first_process, join_processes
from tracking_runtime.training.loop import train

_DEFAULT_NAME = "siamban_edge"


def train_rgb(options: TrainRgbOptions, progress: Progress | None = None) -> Path | None:
    """Train a tracker of color images and write the model. A repeated call resumes an interrupted run.

    Args:
        options: options of the run.
        progress: progress bars to which the function adds its own; None shows nothing.

    Returns:
        Path of the model's manifest; None in all processes of `torchrun` but the first.

    Raises:
        ModelError: a model or device cannot be used, or the folder contains a run of another network.
        SourceError: videos or photographs cannot be used.
    """
    progress = progress or Progress(disable=True)
    torch.manual_seed(options.seed)
    name = options.resolve_name(_DEFAULT_NAME)
    recipe = replace(
        RGB_RECIPE,
        steps=options.steps or RGB_RECIPE.steps,
        batch=options.batch or RGB_RECIPE.batch,
    )
    network, origin = _make_initial_network(options)
    with join_processes(options.device) as device:
        trainer = RgbTrainer(
            network,
            select_object_sequences([video for path in options.data for video in open_dataset(path)]),
            [photograph for folder in options.photographs for photograph in find_photographs(folder)],
            recipe,
            options.folder or RUNS_FOLDER / name,
            teacher=load_color_network(options.teacher) if options.teacher else None,
            seed=options.seed,
            workers=options.workers,
            device=device,
        )
        train(trainer, progress, displayed_loss="cls", save_every_s=options.save_every_s)
        if not is_first_process():
            return None
    training = {
        "data": [str(path) for path in (*options.data, *options.photographs)],
        "initial_weights": origin,
        "teacher": options.teacher or "none",
        **trainer.describe(),
    }
    return save_network(options.models, name, trainer.export_network().cpu(), training=training)


def _make_initial_network(options: TrainRgbOptions) -> tuple[SiameseNetwork, str]:
    """Return the network before training, and the origin of its weights for the manifest."""
    if options.base_model is not None:
        return load_color_network(options.base_model), f"model {options.base_model}"
    network = SiameseNetwork(replace(HANET_EDGE, spectral=None))
    return network, load_imagenet_backbone(network)
