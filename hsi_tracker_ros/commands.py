"""``rstrack train hanet``, ``rstrack import siamban`` and ``rstrack import nanotrack``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tracking_runtime.errors import ModelError

PRESETS = ("hanet_edge", "hanet_r50")


@click.command("hanet")
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    default="hanet_edge",
    show_default=True,
    help="Network and recipe.",
)
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    default=Path("runs/hanet-clips"),
    show_default=True,
    help="Folder of training clips, filled with simulated ones as far as it lacks them.",
)
@click.option(
    "--count", type=click.IntRange(1), default=1400, show_default=True, help="Clips to have in that folder."
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of JPEG photographs, of which every fourth clip is composed.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("runs/hanet"),
    show_default=True,
    help="Checkpoint, history and TensorBoard events; a run found there is resumed.",
)
@click.option("--name", help="Name of the model written at the end; default: the preset's.")
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder it is written to.",
)
@click.option(
    "--rgb",
    help="Model whose RGB branch is taken as it is, like an imported one; only the spectral branch learns.",
)
@click.option("--camera", help="Fix the model's bands to this known camera's; default: it fits any camera.")
@click.option("--steps", type=click.IntRange(1), help="Batches in all, instead of the recipe's.")
@click.option("--batch", type=click.IntRange(1), help="Pairs per batch, instead of the recipe's.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that prepare batches."
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option(
    "--save-every", type=float, default=120.0, show_default=True, help="Seconds between checkpoints."
)
def train_hanet(
    preset: str,
    clips: Path,
    count: int,
    photographs: Path | None,
    folder: Path,
    name: str | None,
    models: Path,
    rgb: str | None,
    camera: str | None,
    steps: int | None,
    batch: int | None,
    seed: int,
    workers: int,
    device: str,
    save_every: float,
) -> None:
    """Train HA-Net on simulated clips; interrupt it at any time and start it again to go on."""
    import torch

    from hsi_tracker_ros.cubes.presets import preset as known_camera
    from hsi_tracker_ros.datasets import read_clips
    from hsi_tracker_ros.hanet.importing import load_imagenet_backbone, with_rgb_branch
    from hsi_tracker_ros.hanet.network import HANet
    from hsi_tracker_ros.hanet.storage import load_network, save_network
    from hsi_tracker_ros.rendering import render_clips
    from hsi_tracker_ros.training import RECIPES, Trainer, open_board

    console = Console()
    config, recipe = RECIPES[preset]
    recipe = replace(recipe, steps=steps or recipe.steps, batch=batch or recipe.batch)
    bands = known_camera(camera).wavelengths_nm if camera else None
    try:
        branch = load_network(rgb) if rgb else None
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        rendering = progress.add_task("rendering clips", total=count)
        for done in render_clips(clips, count, photographs=photographs):
            progress.update(rendering, completed=done)
        progress.update(rendering, completed=count)

        torch.manual_seed(seed)
        if branch is None:
            network = HANet(config)
            initial = load_imagenet_backbone(network)
        else:
            network, initial = with_rgb_branch(config, branch), f"RGB branch: model {rgb}; the rest random"
            recipe = replace(recipe, learns=("spectral",))
        trainer = Trainer(
            network, read_clips(clips), recipe, folder, seed=seed, workers=workers, device=device
        )
        board = open_board(folder)
        task = progress.add_task("training", total=recipe.steps, completed=trainer.step)
        saved = time.monotonic()
        try:
            for losses in trainer.run():
                progress.update(
                    task, completed=trainer.step, description=f"training, loss {losses['fused']:.3f}"
                )
                trainer.record(losses)
                if board is not None:
                    for part, value in losses.items():
                        board.add_scalar(f"loss/{part}", value, trainer.step)
                if time.monotonic() - saved > save_every:
                    trainer.save()
                    saved = time.monotonic()
        finally:
            trainer.save()
    result = trainer.result.cpu()
    training = {"data": f"{count} clips of {clips}", "initial_weights": initial, **trainer.describe()}
    path = save_network(models, name or preset, result.bake(bands) if bands else result, training=training)
    console.print(f"wrote {path}")


_checkpoint = click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_name = click.option("-o", "--name", required=True, help="Name of the model.")
_models = click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder it is written to.",
)


@click.command("siamban")
@_checkpoint
@_name
@_models
@click.option(
    "--tuning",
    type=click.Choice(("vot2018", "vot2019", "otb100")),
    default="vot2018",
    show_default=True,
    help="Whose settings the tracker takes: its authors' for this benchmark.",
)
def import_siamban(checkpoint: Path, name: str, models: Path, tuning: str) -> None:
    """Turn an official SiamBAN checkpoint (ResNet-50) into a model.

    Nothing in the file is run. The model follows targets in pictures and false colour as its authors' tracker
    does, and can be the RGB branch of a HA-Net: rstrack train hanet --rgb NAME.
    """
    from hsi_tracker_ros.hanet.importing import import_tracker, siamban

    try:
        path = import_tracker(siamban(checkpoint, tuning), checkpoint, "the authors of SiamBAN", models, name)
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {path}")


@click.command("nanotrack")
@_checkpoint
@_name
@_models
def import_nanotrack(checkpoint: Path, name: str, models: Path) -> None:
    """Turn an official NanoTrack checkpoint, of version 1, 2 or 3, into a model.

    Nothing in the file is run. The model follows targets in pictures and false colour as its authors' tracker
    does, and can be the RGB branch of a HA-Net: rstrack train hanet --rgb NAME.
    """
    from hsi_tracker_ros.hanet.importing import import_tracker, nanotrack

    try:
        path = import_tracker(nanotrack(checkpoint), checkpoint, "the authors of NanoTrack", models, name)
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {path}")
