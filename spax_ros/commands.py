"""SPAX's commands: ``rstrack train spax``, ``import spax``, ``bench satellite`` and ``bench sparsity``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from tracking_runtime.commands.options import imports_checkpoint, trains_model
from tracking_runtime.commands.progress import counting
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import ModelError, SourceError

OFFICIAL_VARIANTS = ("base_satvideodt", "light_satvideodt", "base_satmtb", "light_satmtb")
VARIANTS = ("small", "light", *OFFICIAL_VARIANTS)
RUNS = Path("training")


@click.command("spax")
@click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    default="small",
    show_default=True,
    help="Network and recipe.",
)
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    default=RUNS / "satellite_clips",
    show_default=True,
    help="Folder of prepared clips, made from what follows as far as it lacks them.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="Sequence with ground truth to learn from (folder:PATH, bag:PATH); may be repeated. "
    "folder:PATH?class_names=car,airplane,ship,train gives the order of the file's class numbers.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Benchmark to learn from (SatVideoDT, SatMTB, VISO, SDM-Car, bags); may be repeated.",
)
@click.option("--class-names", help="Names, by commas, of the classes that its text files number from 1.")
@click.option(
    "--simulated",
    type=click.IntRange(0),
    default=400,
    show_default=True,
    help="Simulated clips to have as well.",
)
@trains_model(RUNS, "spax_VARIANT", seed=317)
def train_spax(
    variant: str,
    clips: Path,
    sources: tuple[str, ...],
    datasets: tuple[Path, ...],
    class_names: str | None,
    simulated: int,
    start: str | None,
    folder: Path | None,
    name: str | None,
    models: Path,
    steps: int | None,
    batch: int | None,
    device: str,
    seed: int,
    save_every_s: float,
) -> None:
    """Train SPAX on prepared clips; interrupt it at any time and start it again to go on.

    On several GPUs: torchrun --nproc-per-node=GPUS -m tracking_runtime.cli train spax --device cuda ...; each
    learns from batches of its own.
    """
    from spax_ros.network.config import VARIANTS as CONFIGS
    from spax_ros.network.config import SpaxConfig
    from spax_ros.preprocessing import Inputs
    from spax_ros.training import trainer
    from spax_ros.training.preparation import ClipPool, prepare_clips, prepare_videos
    from spax_ros.weights import ARCHITECTURE, save_spax
    from tracking_runtime.models.manifest import find_model, load_model
    from tracking_runtime.training.distributed import is_first, joined, wait_for_all
    from tracking_runtime.training.loop import train

    console = Console()
    config, weights = CONFIGS[variant], None
    recipe = trainer.TrainingSettings() if variant in OFFICIAL_VARIANTS else trainer.SIMULATED_TRAINING
    names = tuple(class_names.split(",")) if class_names else ()
    try:
        name = name or (f"{find_model(start).stem}_refined" if start else f"spax_{variant}")
        folder = folder or RUNS / name
        if start is not None:
            begun = load_model(start, ARCHITECTURE)
            config = replace(SpaxConfig.from_parameters(begun.manifest.parameters), memory="carried")
            weights, recipe = begun.weights, trainer.REFINING
        recipe = replace(recipe, steps=steps or recipe.steps, batch=batch or recipe.batch, seed=seed)
        videos = [video for place in datasets for video in open_dataset(place, class_names=names)]
        with joined(device) as own, counting(console, shown=is_first()) as progress:
            if is_first():
                preparing = progress.add_task("preparing clips", total=len(videos) + len(sources) + simulated)
                inputs = Inputs(config.inputs)
                for done in prepare_videos(clips, inputs, config.classes, videos):
                    progress.update(preparing, completed=done)
                for done in prepare_clips(clips, inputs, sources=sources, simulated=simulated):
                    progress.update(preparing, completed=len(videos) + done)
            wait_for_all()
            learner = trainer.Trainer(config, recipe, ClipPool(clips), folder, weights, device=own)
            train(learner, progress, shown="total", save_every_s=save_every_s)
            if not is_first():
                return
    except (ModelError, SourceError) as error:
        raise click.ClickException(str(error)) from error
    data = [*map(str, datasets), *sources, f"{simulated} simulated clips"]
    described = {"data": data, "begun_from": start, **learner.describe()}
    path = save_spax(models, name, config, learner.averaged, training=described)
    console.print(f"wrote {path}")


@click.command("spax")
@imports_checkpoint
@click.option(
    "--variant", type=click.Choice(OFFICIAL_VARIANTS), required=True, help="Network of the checkpoint."
)
def import_spax(checkpoint: Path, variant: str, name: str, models: Path) -> None:
    """Turn an official SPAX checkpoint into a model.

    Nothing in the file is run. The model runs as published, over a window of five frames at every step
    (memory: window in its manifest): that is what its weights were trained for.
    """
    from spax_ros.importing import import_official

    try:
        path = import_official(checkpoint, variant, models, name)
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {path}")


@click.command("satellite")
@click.option("--model", default="spax_small", show_default=True, help="Name of a model, or its manifest.")
@click.option("--clips", type=click.IntRange(0), default=6, show_default=True, help="Simulated clips.")
@click.option(
    "--seed", type=click.IntRange(0), default=1_000_040, show_default=True, help="Of the first clip."
)
@click.option(
    "--frames", type=click.IntRange(2), default=40, show_default=True, help="Of each simulated clip."
)
@click.option("--size", type=click.IntRange(64), default=512, show_default=True, help="Its width and height.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="Sequence with ground truth to run over as well (folder:PATH, bag:PATH); may be repeated.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark"),
    show_default=True,
    help="Folder for satellite.json and satellite.png.",
)
def bench_satellite(
    model: str, clips: int, seed: int, frames: int, size: int, sources: tuple[str, ...], output: Path
) -> None:
    """Compare SPAX with itself, one part exchanged at a time.

    On active pixels against whole images, with its state carried against a window run anew, GTA against
    association by overlap, and the network against frame differencing and MOG2. Prints a table, and writes it
    with plots as satellite.png and with every figure as satellite.json.
    """
    from spax_ros.benchmark import report
    from spax_ros.benchmark.run import run
    from spax_ros.benchmark.trackers import contenders
    from spax_ros.weights import load_spax
    from tracking_runtime.io.sources import open_source

    scenes = [f"scene:satellite?seed={seed + number}&frames={frames}&size={size}" for number in range(clips)]
    console = Console()
    try:
        everyone = contenders(load_spax(model))
        opened = [open_source(address) for address in (*scenes, *sources)]
        if not opened:
            raise click.UsageError("there is nothing to run over: --clips or --source")
        with counting(console) as progress:
            total = len(everyone) * sum(len(clip) for clip in opened)
            task = progress.add_task("frames of all contenders", total=total)
            results, costs = run(opened, everyone, lambda: progress.advance(task))
    except (ModelError, SourceError) as error:
        raise click.ClickException(str(error)) from error
    settings = {"model": model, "sources": [*scenes, *sources]}
    report.write(output, results, costs, settings)
    console.print(report.table(results))
    console.print(f"wrote {output}/satellite.json and satellite.png")


@click.command("sparsity")
@click.option(
    "--variant",
    "variants",
    type=click.Choice(VARIANTS),
    multiple=True,
    default=OFFICIAL_VARIANTS,
    show_default=True,
    help="Network, with random weights; may be repeated.",
)
@click.option(
    "--size", type=click.IntRange(64), default=512, show_default=True, help="Width and height of the image."
)
@click.option(
    "--active",
    type=click.FloatRange(0.001, 1),
    default=0.05,
    show_default=True,
    help="Share of the pixels that are active.",
)
@click.option(
    "--growth/--no-growth", default=True, help="Also the time against active pixels and image size."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark"),
    show_default=True,
    help="Folder for sparsity.json and sparsity.png.",
)
def bench_sparsity(variants: tuple[str, ...], size: int, active: float, growth: bool, output: Path) -> None:
    """Measure what active pixels save of the published networks, with random weights.

    Each network runs over whole images and over active pixels, on the same engine: operations and time of a
    frame, beside what was published. Then the first network's time against the number of active pixels, in an
    image and in one of twice its area. Whole images of 1024 x 1024 pixels need about 5 GB of memory.
    """
    from spax_ros.benchmark import sparsity

    console = Console()
    savings, points = [], []
    with counting(console) as progress:
        task = progress.add_task("networks", total=len(variants))
        for variant in variants:
            progress.update(task, description=variant)
            savings.append(sparsity.measure(variant, size, active))
            progress.advance(task)
        if growth:
            task = progress.add_task("active pixels", total=2 * len(sparsity.SHARES))
            for point in sparsity.growth(variants[0], size):
                points.append(point)
                progress.advance(task)
    sparsity.write(output, savings, points)
    console.print(sparsity.table(savings))
    console.print(f"wrote {output}/sparsity.json" + (" and sparsity.png" if growth else ""))
