"""``rstrack train hanet``, ``rstrack import siamban | nanotrack`` and ``rstrack bench hsi``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from tracking_runtime.commands.options import imports_checkpoint, trains_model
from tracking_runtime.commands.progress import counting
from tracking_runtime.errors import ModelError, SourceError

if TYPE_CHECKING:
    from hsi_tracker_ros.hanet.network import HANet
    from hsi_tracker_ros.training.trainer import Recipe

PRESETS = ("hanet_edge", "hanet_r50")
RUNS = Path("runs")
_LOG_WIDTH = 130  # of tables that go into a file


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
    default=RUNS / "hanet-clips",
    show_default=True,
    help="Folder of training clips, filled with simulated ones as far as it lacks them.",
)
@click.option(
    "--count",
    type=click.IntRange(0),
    default=1400,
    show_default=True,
    help="Simulated clips to have in that folder.",
)
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Recordings to cut clips from too: a HOT challenge's folder, a bag, many bags. May be repeated.",
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of JPEG photographs, of which every fourth clip is composed.",
)
@trains_model(RUNS, "the preset's", seed=0)
@click.option(
    "--rgb",
    help="Model whose RGB branch is taken as it is, like an imported one; only the spectral branch learns.",
)
@click.option("--camera", help="Fix the model's bands to this known camera's; default: it fits any camera.")
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that prepare batches."
)
def train_hanet(
    preset: str,
    clips: Path,
    count: int,
    data: tuple[Path, ...],
    photographs: Path | None,
    start: str | None,
    folder: Path | None,
    name: str | None,
    models: Path,
    rgb: str | None,
    camera: str | None,
    steps: int | None,
    batch: int | None,
    device: str,
    seed: int,
    workers: int,
    save_every_s: float,
) -> None:
    """Train HA-Net on simulated and recorded clips; interrupt it at any time and start it again to go on.

    With --from, both branches of a model go on learning at a low rate, as on your own recordings.

    On several GPUs: torchrun --nproc-per-node=GPUS -m tracking_runtime.cli train hanet --device cuda ...
    """
    import torch

    from hsi_tracker_ros.cubes.camera_presets import preset as known_camera
    from hsi_tracker_ros.hanet.weights import save_network
    from hsi_tracker_ros.training.pairs import read_clips
    from hsi_tracker_ros.training.trainer import Trainer
    from tracking_runtime.models.manifest import find_model
    from tracking_runtime.training.distributed import is_first, joined, wait_for_all
    from tracking_runtime.training.loop import train

    console = Console()
    torch.manual_seed(seed)
    try:
        name = name or (f"{find_model(start).stem}_refined" if start else preset)
        folder = folder or RUNS / name
        bands = known_camera(camera).wavelengths_nm if camera else None
        network, recipe, initial = _beginning(preset, start, rgb)
        recipe = replace(recipe, steps=steps or recipe.steps, batch=batch or recipe.batch)
        with joined(device) as own, counting(console, shown=is_first()) as progress:
            if is_first():
                _gather_clips(clips, count, photographs, data, progress)
            wait_for_all()
            trainer = Trainer(
                network, read_clips(clips), recipe, folder, seed=seed, workers=workers, device=own
            )
            train(trainer, progress, shown="fused", save_every_s=save_every_s)
            if not is_first():
                return
    except (ModelError, SourceError) as error:
        raise click.ClickException(str(error)) from error
    result = trainer.result.cpu()
    sources = [f"{count} simulated clips", *map(str, data)]
    training = {"data": sources, "initial_weights": initial, **trainer.describe()}
    path = save_network(models, name, result.bake(bands) if bands else result, training=training)
    console.print(f"wrote {path}")


def _beginning(preset: str, start: str | None, rgb: str | None) -> tuple[HANet, Recipe, str]:
    """The network to train, how, and where its weights come from."""
    from hsi_tracker_ros.hanet.checkpoint_import import load_imagenet_backbone, with_rgb_branch
    from hsi_tracker_ros.hanet.network import HANet
    from hsi_tracker_ros.hanet.weights import load_network
    from hsi_tracker_ros.training.trainer import RECIPES, REFINING, to_refine

    if start is not None and rgb is not None:
        raise click.UsageError("--from brings an RGB branch of its own: leave out --rgb, or --from")
    if start is not None:
        return to_refine(start), REFINING, f"model {start}"
    config, recipe = RECIPES[preset]
    if rgb is not None:
        network = with_rgb_branch(config, load_network(rgb))
        recipe = replace(recipe, stages=(("spectral",),))
        return network, recipe, f"RGB branch: model {rgb}; the rest random"
    network = HANet(config)
    return network, recipe, load_imagenet_backbone(network)


def _gather_clips(
    clips: Path,
    count: int,
    photographs: Path | None,
    data: Sequence[Path],
    progress: Progress,
) -> None:
    """Fill the folder of clips as far as it lacks any."""
    from hsi_tracker_ros.training.recorded_clips import record_clips
    from hsi_tracker_ros.training.simulated_clips import render_clips
    from tracking_runtime.datasets.factory import open_dataset

    if count:
        rendering = progress.add_task("rendering clips", total=count)
        for done in render_clips(clips, count, photographs=photographs):
            progress.update(rendering, completed=done)
        progress.update(rendering, completed=count)
    videos = [video for place in data for video in open_dataset(place)]
    if videos:
        cutting = progress.add_task("cutting clips", total=len(videos))
        for name in record_clips(clips, videos):
            progress.update(cutting, advance=1, description=f"cutting clips, {name}")


@click.command("siamban")
@imports_checkpoint
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
    from hsi_tracker_ros.hanet.checkpoint_import import import_tracker, siamban

    try:
        path = import_tracker(siamban(checkpoint, tuning), checkpoint, "the authors of SiamBAN", models, name)
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {path}")


@click.command("nanotrack")
@imports_checkpoint
def import_nanotrack(checkpoint: Path, name: str, models: Path) -> None:
    """Turn an official NanoTrack checkpoint, of version 1, 2 or 3, into a model.

    Nothing in the file is run. The model follows targets in pictures and false colour as its authors' tracker
    does, and can be the RGB branch of a HA-Net: rstrack train hanet --rgb NAME.
    """
    from hsi_tracker_ros.hanet.checkpoint_import import import_tracker, nanotrack

    try:
        path = import_tracker(nanotrack(checkpoint), checkpoint, "the authors of NanoTrack", models, name)
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {path}")


@click.command("hsi")
@click.argument("places", nargs=-1, metavar="[PLACE]...", type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="hanet_edge_any",
    show_default=True,
    help="Of HA-Net: name, manifest, or, to be timed with random weights, untrained:hanet_r50.",
)
@click.option(
    "--rgb-model",
    "rgb_models",
    multiple=True,
    help="Another tracker on false colour, as rstrack import siamban or nanotrack made it; may be repeated.",
)
@click.option("--engine", default="auto", show_default=True, help="That runs the models, as openvino:int8.")
@click.option("--only", multiple=True, help="Measure only this contender, by its name; may be repeated.")
@click.option("--seeds", type=click.IntRange(0), default=36, show_default=True, help="Simulated videos.")
@click.option(
    "--first-seed", type=click.IntRange(0), default=1_000_000, show_default=True, help="Of the first of them."
)
@click.option("--frames", type=click.IntRange(2), default=150, show_default=True, help="Of each of them.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--speed", is_flag=True, help="Time HA-Net alone as well: one target, and eight in a batch.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark"),
    show_default=True,
    help="Folder for the report; what is found there and has not changed is not measured again.",
)
def bench_hsi(
    places: tuple[Path, ...],
    model: str,
    rgb_models: tuple[str, ...],
    engine: str,
    only: tuple[str, ...],
    seeds: int,
    first_seed: int,
    frames: int,
    jobs: int,
    speed: bool,
    output: Path,
) -> None:
    """Compare HA-Net with parts of it left out and with OpenCV's trackers, on the same videos.

    The videos are simulated, from seeds that no training has seen, and those at each PLACE: a folder of the
    HOT challenge, or anything else that `rstrack evaluate` takes. Everyone but HA-Net sees them in false
    colour; where nothing tells any bands, all see ordinary pictures, and of HA-Net the RGB branch is left.
    Prints tables, and writes them with plots as report.html and hsi.png and with every figure as hsi.json;
    `rstrack compare` takes two of the folders beside them.
    """
    from hsi_tracker_ros.benchmark import report
    from hsi_tracker_ros.benchmark.opencv import missing_opencv_trackers
    from hsi_tracker_ros.benchmark.run import run
    from hsi_tracker_ros.benchmark.speed import measure_speed
    from hsi_tracker_ros.benchmark.trackers import Lineup
    from hsi_tracker_ros.benchmark.videos import benchmark_videos, with_recorded
    from tracking_runtime.engines import EngineError
    from tracking_runtime.errors import ModelError, SourceError

    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    _tell_missing(console, missing_opencv_trackers())
    lineup = Lineup(model, rgb_models, engine, only)
    try:
        videos = with_recorded(benchmark_videos(seeds, frames, first=first_seed), places)
        if not videos and not speed:
            raise click.UsageError("there is nothing to measure: --seeds, a PLACE or --speed")
        measured = measure_speed(lineup.tracker, frames) if speed else None
        with counting(console) as progress:
            task = progress.add_task("videos", total=len(videos))
            runs = run(videos, lineup, output, jobs=jobs, on_video=lambda: progress.advance(task))
    except (ModelError, SourceError, EngineError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    settings = {**asdict(lineup), "videos": [video.name for video in videos]}
    report.write(output, runs, measured, settings, shlex.join(["rstrack", *sys.argv[1:]]))
    for table in report.tables(runs, measured):
        console.print(report.printed(table))
    console.print(f"wrote {output}/report.html, hsi.json and hsi.png")
    failed = [(each.name, result) for each in runs for result in each.failed]
    for name, result in failed:
        console.print(f"[red]{name}, {escape(result.name)}: {escape(result.error)}", soft_wrap=True)
    if failed:
        raise click.exceptions.Exit(1)


def _tell_missing(console: Console, trackers: Sequence[str]) -> None:
    if trackers:
        console.print(
            f"[yellow]left out: {', '.join(trackers)}; this OpenCV has no contrib modules: take "
            "opencv-contrib-python-headless in place of opencv-python-headless",
            soft_wrap=True,
        )
