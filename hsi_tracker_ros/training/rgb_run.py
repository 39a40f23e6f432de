"""`train_rgb`: trains a tracker of color images, from reading the data to the finished model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import Progress

from hsi_tracker_ros.hanet.checkpoint_import import load_imagenet_backbone
from hsi_tracker_ros.hanet.config import HANET_EDGE
from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_color_network, save_network
from hsi_tracker_ros.photographs import Photograph, find_photographs
from hsi_tracker_ros.training.light_fitting import fit_light_network
from hsi_tracker_ros.training.object_images import ObjectSequence, select_object_sequences
from hsi_tracker_ros.training.options import RUNS_FOLDER, TrainRgbOptions
from hsi_tracker_ros.training.rgb_pairs import RgbAugmentationSettings, RgbPairDataset
from hsi_tracker_ros.training.rgb_trainer import RGB_RECIPE, RgbTrainer
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.training.distributed import is_first_process, join_processes
from tracking_runtime.training.loop import train

_DEFAULT_NAME = "siamban_edge"
_FITTING_BATCHES = 8  # batches of pairs that a light network is fitted on
_FITTING_SEED_STRIDE = 500_009  # from the seed of a run to the seed of these pairs


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
    sequences = select_object_sequences([video for path in options.data for video in open_dataset(path)])
    photographs = [photograph for folder in options.photographs for photograph in find_photographs(folder)]
    original, origin = _make_initial_network(options)
    network = original
    if options.light:
        network = _make_light(original, sequences, photographs, recipe.batch, options.seed)
    with join_processes(options.device) as device:
        trainer = RgbTrainer(
            network,
            sequences,
            photographs,
            recipe,
            options.folder or RUNS_FOLDER / name,
            teacher=load_color_network(options.teacher) if options.teacher else None,
            original=original if options.light else None,
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


def _make_light(
    network: SiameseNetwork,
    sequences: Sequence[ObjectSequence],
    photographs: Sequence[Photograph],
    batch: int,
    seed: int,
) -> SiameseNetwork:
    """Return a light network that is fitted to a network on pairs of the training data."""
    pairs = RgbPairDataset(
        sequences,
        photographs,
        network.config,
        RgbAugmentationSettings(),
        seed + _FITTING_SEED_STRIDE,
        length=_FITTING_BATCHES * batch,
    )
    return fit_light_network(network, [pairs[index] for index in range(len(pairs))])


def _make_initial_network(options: TrainRgbOptions) -> tuple[SiameseNetwork, str]:
    """Return the network before training, and the origin of its weights for the manifest."""
    if options.base_model is not None:
        origin = "fitted to" if options.light else "model"
        return load_color_network(options.base_model), f"{origin} {options.base_model}"
    network = SiameseNetwork(replace(HANET_EDGE, spectral=None))
    return network, load_imagenet_backbone(network)
