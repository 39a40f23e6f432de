"""SPAX's commands: ``rstrack train spax``, ``import spax``, and its benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console

from spax_ros.training.options import RUNS_FOLDER, SceneKind, TrainSpaxOptions
from tracking_runtime.commands.dataset_options import add_dataset_options, split_class_names
from tracking_runtime.commands.options import (
    Command,
    add_import_options,
    add_options,
    add_training_options,
)
from tracking_runtime.commands.progress import make_progress
from tracking_runtime.commands.training import run_training

OFFICIAL_VARIANTS = ("base_satvideodt", "light_satvideodt", "base_satmtb", "light_satmtb")
VARIANTS = ("small", "light", *OFFICIAL_VARIANTS)


def _split_names(context: click.Context, option: click.Parameter, names: str | None) -> tuple[str, ...]:  # noqa: ARG001
    return tuple(names.split(",")) if names else ()


@click.command("spax")
@click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    default=TrainSpaxOptions.variant,
    show_default=True,
    help="Network and recipe.",
)
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    default=TrainSpaxOptions.clips,
    show_default=True,
    help="Folder of prepared clips. Missing clips are prepared.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="Sequence with ground truth to train on (any source). May be repeated. "
    "PATH?classes=car,airplane,ship,train gives the order of the file's class numbers.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Benchmark to train on (SatVideoDT, SatMTB, VISO, SDM-Car, bags). May be repeated.",
)
@click.option(
    "--class-names",
    callback=_split_names,
    help="Names, separated by commas, of the classes that the text files of --dataset number from 1.",
)
@click.option(
    "--simulated",
    type=click.IntRange(0),
    default=TrainSpaxOptions.simulated,
    show_default=True,
    help="Number of simulated clips.",
)
@click.option(
    "--unlabelled",
    multiple=True,
    metavar="PLACE",
    help="Video without ground truth (any source). The model of --from, or spax_small, labels it by its "
    "long, fast and smooth tracks and is trained on them, in rounds. May be repeated.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=TrainSpaxOptions.rounds,
    show_default=True,
    help="Largest number of rounds on --unlabelled; --steps counts for each.",
)
@click.option(
    "--scenes",
    type=click.Choice(get_args(SceneKind)),
    default=TrainSpaxOptions.scenes,
    show_default=True,
    help="Simulated scenes: land, or mixed with measured traffic, ports and faint vehicles.",
)
@click.option(
    "--accumulate",
    is_flag=True,
    help="Give the network the motion accumulated over the last frames, which finds movers fainter than the "
    "noise. The network of --from is extended.",
)
@add_training_options(RUNS_FOLDER, "spax_VARIANT", seed=TrainSpaxOptions.seed)
def train_spax(**options: Any) -> None:
    """Train SPAX on prepared clips.

    Interrupt the command at any time. Start it again to resume.

    With --unlabelled, a model trains itself on video without ground truth. The rounds end when the labels
    stay the same, or when the model loses on simulated scenes.

    On several GPUs: torchrun --nproc-per-node=GPUS -m tracking_runtime.cli train spax --device cuda ... Each
    process draws its own batches.
    """
    from spax_ros.training import run, self_training

    if options["unlabelled"] and (options["datasets"] or options["sources"]):
        raise click.UsageError(
            "--unlabelled cannot be combined with --source or --dataset; train on labeled video first, then "
            "on the other with --from"
        )
    train = self_training.train_on_unlabelled if options["unlabelled"] else run.train_spax
    run_training(partial(TrainSpaxOptions, **options), train)


@click.command("spax")
@add_import_options
@click.option(
    "--variant", type=click.Choice(OFFICIAL_VARIANTS), required=True, help="Network of the checkpoint."
)
def import_spax(checkpoint: Path, variant: str, name: str, models: Path) -> None:
    """Convert an official SPAX checkpoint to a model.

    No code in the file is run. The model runs as published, over a window of five frames in every step
    (memory: window in its manifest), because its weights were trained for that.
    """
    from spax_ros.importing import import_official_checkpoint

    path = import_official_checkpoint(checkpoint, variant, models, name)
    click.echo(f"wrote {path}")


def _add_clip_options(num_frames: int) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of a benchmark's simulated clips.

    Args:
        num_frames: default number of frames of a clip.
    """
    options = (
        click.option(
            "--clips",
            "num_clips",
            type=click.IntRange(0),
            default=6,
            show_default=True,
            help="Number of simulated clips.",
        ),
        click.option(
            "--seed",
            "first_seed",
            type=click.IntRange(0),
            default=1_000_040,
            show_default=True,
            help="Seed of the first simulated clip.",
        ),
        click.option(
            "--frames",
            "num_frames",
            type=click.IntRange(2),
            default=num_frames,
            show_default=True,
            help="Number of frames of each simulated clip.",
        ),
        click.option(
            "--size",
            "size_px",
            type=click.IntRange(64),
            default=512,
            show_default=True,
            help="Width and height of the simulated images in pixels.",
        ),
    )
    return lambda command: add_options(command, *options)


@click.command("satellite")
@click.option("--model", default="spax_small", show_default=True, help="Name or manifest of the model.")
@_add_clip_options(num_frames=40)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="Sequence with ground truth to run over as well (any source). May be repeated.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark"),
    show_default=True,
    help="Folder for satellite.json and satellite.png.",
)
def bench_satellite(
    model: str,
    num_clips: int,
    first_seed: int,
    num_frames: int,
    size_px: int,
    sources: tuple[str, ...],
    output: Path,
) -> None:
    """Compare SPAX with variants of itself that have one part exchanged.

    Exchanges the execution (active pixels for whole images), the memory (carried state for a window of
    frames), the association (GTA for costs by overlap) and the detector (the network for frame differencing
    and MOG2). Prints a table, and writes charts to satellite.png and all metrics to satellite.json.
    """
    from spax_ros.benchmark.report import make_table, write_report
    from spax_ros.benchmark.run import run_trackers
    from spax_ros.benchmark.trackers import make_benchmark_trackers
    from spax_ros.weights import load_spax
    from tracking_runtime.io.sources import open_source

    seeds = range(first_seed, first_seed + num_clips)
    scenes = [f"scene:satellite?seed={seed}&frames={num_frames}&size={size_px}" for seed in seeds]
    addresses = [*scenes, *sources]
    if not addresses:
        raise click.UsageError("nothing to run over: set --clips above 0, or give a --source")
    console = Console()
    trackers = make_benchmark_trackers(load_spax(model))
    clips = [open_source(address) for address in addresses]
    with make_progress(console) as progress:
        total = len(trackers) * sum(len(clip) for clip in clips)
        task = progress.add_task("frames of all trackers", total=total)
        results, costs = run_trackers(clips, trackers, lambda: progress.advance(task))
    write_report(output, results, costs, {"model": model, "sources": addresses})
    console.print(make_table(results))
    console.print(f"wrote {output}/satellite.json and satellite.png")


@click.command("faint")
@click.option(
    "--model",
    "names",
    multiple=True,
    default=("spax_small",),
    show_default=True,
    help="Name or manifest of a model. May be repeated.",
)
@click.option(
    "--snr",
    "snrs",
    type=click.FloatRange(0, 100),
    multiple=True,
    default=(1.0, 1.5, 2.0, 3.0),
    show_default=True,
    help="Contrast of the vehicles in standard deviations of a pixel's noise. May be repeated.",
)
@click.option(
    "--clips",
    "num_clips",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    help="Number of simulated clips of each contrast.",
)
@click.option(
    "--seed",
    "first_seed",
    type=click.IntRange(0),
    default=1_000_300,
    show_default=True,
    help="Seed of the first simulated clip.",
)
@click.option(
    "--frames",
    "num_frames",
    type=click.IntRange(21),
    default=50,
    show_default=True,
    help="Number of frames of each clip. The first 20 are not scored.",
)
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(128),
    default=512,
    show_default=True,
    help="Width and height of the images in pixels.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark"),
    show_default=True,
    help="Folder for faint.json and faint.png.",
)
def bench_faint(names: tuple[str, ...], output: Path, **scenes: Any) -> None:
    """Measure the recall of movers near the noise, at equal false alarms.

    Compares models, and thresholds without a network on the difference from the background and on the motion
    accumulated over eight frames. Prints a table, and writes faint.png and faint.json.
    """
    from spax_ros.benchmark import faint
    from spax_ros.weights import load_spax

    options = faint.FaintOptions(**scenes)
    models = dict(zip(faint.label_models(names), map(load_spax, names), strict=True))
    console = Console()
    with make_progress(console) as progress:
        task = progress.add_task("frames", total=faint.count_frames(options))
        logs = faint.run_faint(models, options, partial(progress.advance, task))
    faint.write_report(output, logs, options)
    console.print(faint.make_table(logs))
    console.print(f"wrote {output}/faint.json and faint.png")


@click.command("sparsity")
@click.option(
    "--variant",
    "variants",
    type=click.Choice(VARIANTS),
    multiple=True,
    default=OFFICIAL_VARIANTS,
    show_default=True,
    help="Network to measure with random weights. May be repeated.",
)
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(64),
    default=512,
    show_default=True,
    help="Width and height of the image in pixels.",
)
@click.option(
    "--active",
    "active_fraction",
    type=click.FloatRange(0.001, 1),
    default=0.05,
    show_default=True,
    help="Fraction of active pixels.",
)
@click.option(
    "--growth/--no-growth",
    "measures_growth",
    default=True,
    help="Measure the time by number of active pixels and image size as well.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark"),
    show_default=True,
    help="Folder for sparsity.json and sparsity.png.",
)
def bench_sparsity(
    variants: tuple[str, ...], size_px: int, active_fraction: float, measures_growth: bool, output: Path
) -> None:
    """Measure the operations and time that active pixels save in the published networks.

    Each network has random weights, and runs over whole images and active pixels on the same engine. The
    table shows operations and time of a frame beside the published values. Then the first network's time is
    measured by the number of active pixels, in an image and in one of twice its area. Whole images of 1024 x
    1024 pixels need about 5 GB of memory.
    """
    from spax_ros.benchmark.sparsity import (
        ACTIVE_FRACTIONS,
        make_table,
        measure_growth,
        measure_saving,
        write_report,
    )

    console = Console()
    savings = []
    points = []
    with make_progress(console) as progress:
        task = progress.add_task("networks", total=len(variants))
        for variant in variants:
            progress.update(task, description=variant)
            savings.append(measure_saving(variant, size_px, active_fraction))
            progress.advance(task)
        if measures_growth:
            task = progress.add_task("active pixels", total=2 * len(ACTIVE_FRACTIONS))
            for point in measure_growth(variants[0], size_px):
                points.append(point)
                progress.advance(task)
    write_report(output, savings, points)
    console.print(make_table(savings))
    console.print(f"wrote {output}/sparsity.json" + (" and sparsity.png" if measures_growth else ""))


_FRACTION = click.FloatRange(0, 1)


@click.command("association")
@click.argument("places", nargs=-1, metavar="[PLACE]...", type=click.Path(path_type=Path))
@_add_clip_options(num_frames=80)
@click.option(
    "--misses",
    "miss_rate",
    type=_FRACTION,
    default=0.1,
    show_default=True,
    help="Fraction of the objects that the detector misses in a frame.",
)
@click.option(
    "--drop-outs",
    "dropout_rate",
    type=_FRACTION,
    default=0.01,
    show_default=True,
    help="Fraction of the objects for which a drop-out begins in a frame.",
)
@click.option(
    "--drop-out-frames",
    "dropout_frames",
    type=click.FloatRange(1),
    default=6.0,
    show_default=True,
    help="Mean length of a drop-out in frames.",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 10_000),
    default=3.0,
    show_default=True,
    help="Mean number of false detections a frame.",
)
@click.option(
    "--clutter",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="Number of fixed places, as glints, with a false detection in about every third frame.",
)
@click.option(
    "--jitter",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Standard deviation of the errors of position and size, in sides of the box.",
)
@click.option(
    "--error-seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the detector's errors.",
)
@add_dataset_options
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark"),
    show_default=True,
    help="Folder for association.json.",
)
def bench_association(
    places: tuple[Path, ...],
    num_clips: int,
    first_seed: int,
    num_frames: int,
    size_px: int,
    layout: str,
    view: str,
    classes: str,
    skip_malformed: bool,
    output: Path,
    error_seed: int,
    **errors: Any,
) -> None:
    """Compare associations on ground truth at each PLACE, turned into detections, without images.

    A PLACE is a benchmark, a recording or a text file, as of `rstrack evaluate`. Objects are missed, jittered
    and dropped out for some frames, and false detections are added. GTA, the costs of ByteTrack and SORT, and
    the distance of centers associate the same detections. Prints a table for the places and one for the
    simulated clips, and writes all metrics to association.json.
    """
    from spax_ros.benchmark import association
    from spax_ros.benchmark.detection_errors import DetectionErrors
    from tracking_runtime.datasets.factory import open_dataset

    if not places and not num_clips:
        raise click.UsageError("nothing to run over: set --clips above 0, or give a PLACE")
    settings = DetectionErrors(**errors, seed=error_seed)
    console = Console()
    open_place = partial(
        open_dataset,
        layout=layout,  # type: ignore[arg-type]
        view=view,  # type: ignore[arg-type]
        class_names=split_class_names(classes),
        on_invalid_row="skip" if skip_malformed else "raise",
    )
    groups: list[tuple[str, list[association.TruthVideo]]] = []
    if places:
        videos = [video for place in places for video in open_place(place)]
        groups.append(("given videos", [association.read_truth_video(video) for video in videos]))
    results = []
    with make_progress(console) as progress:
        if num_clips:
            task = progress.add_task("simulated clips", total=num_clips)
            clips = []
            for seed in range(first_seed, first_seed + num_clips):
                clips.append(association.simulate_truth_video(seed, num_frames, size_px))
                progress.advance(task)
            groups.append(("simulated clips", clips))
        for title, group in groups:
            task = progress.add_task(title, total=len(association.list_associations()))
            scores = association.compare_associations(group, settings, partial(progress.advance, task))
            results.append((title, scores))
    for title, scores in results:
        console.print(association.make_table(f"{title}; match: IoU >= 0.3", scores))
    options = {
        "errors": {**errors, "seed": error_seed},
        "places": [str(place) for place in places],
        "clips": {"number": num_clips, "seed": first_seed, "frames": num_frames, "size": size_px},
    }
    console.print(f"wrote {association.write_report(output, results, options)}")
