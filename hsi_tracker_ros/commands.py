"""``rstrack train hanet | rgb``, ``rstrack import siamban | nanotrack`` and ``rstrack bench hsi | rgb``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

from hsi_tracker_ros.training.options import PRESETS, RUNS_FOLDER, TrainHanetOptions, TrainRgbOptions
from tracking_runtime.commands.options import (
    MODELS_OPTION,
    Command,
    add_import_options,
    add_options,
    add_training_options,
)
from tracking_runtime.commands.progress import make_progress
from tracking_runtime.commands.training import run_training

if TYPE_CHECKING:
    from hsi_tracker_ros.benchmark.run import BenchmarkResult
    from hsi_tracker_ros.benchmark.videos import SceneKind
    from hsi_tracker_ros.training.fitted_models import FitResult

_LOG_WIDTH = 130  # of tables that go into a file
_WORKERS_OPTION = click.option(
    "--workers",
    type=click.IntRange(0),
    default=TrainHanetOptions.workers,
    show_default=True,
    help="Number of processes that prepare batches.",
)


@click.command("hanet")
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    default=TrainHanetOptions.preset,
    show_default=True,
    help="Network and recipe.",
)
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    default=TrainHanetOptions.clips,
    show_default=True,
    help="Folder of training clips. Missing clips are added.",
)
@click.option(
    "--count",
    type=click.IntRange(0),
    default=TrainHanetOptions.count,
    show_default=True,
    help="Number of simulated clips in that folder.",
)
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Recordings that clips are cut from: a HOT challenge's folder, a bag, a folder of bags. "
    "May be repeated.",
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of photographs. Every fourth clip is composed of them.",
)
@add_training_options(RUNS_FOLDER, "the preset's", seed=TrainHanetOptions.seed)
@click.option(
    "--rgb",
    help="Model whose RGB branch is used unchanged, for example an imported one. Only the spectral branch is "
    "trained.",
)
@click.option("--camera", help="Known camera to whose bands the model is fixed. Default: any camera.")
@_WORKERS_OPTION
def train_hanet(**options: Any) -> None:
    """Train HA-Net on simulated and recorded clips.

    Interrupt the command at any time. Start it again to resume.

    With --from, both branches of a model are refined at a low learning rate, for example on your recordings.

    On several GPUs: torchrun --nproc-per-node=GPUS -m tracking_runtime.cli train hanet --device cuda ...
    """
    from hsi_tracker_ros.training import run

    run_training(partial(TrainHanetOptions, **options), run.train_hanet)


@click.command("rgb")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Color videos with one target each, as folders of images, for example in the layout of OTB. May be "
    "repeated.",
)
@click.option(
    "--photographs",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of photographs. NAME.txt beside NAME.jpg contains its objects in the format of YOLO; other "
    "photographs are used with random boxes. May be repeated.",
)
@click.option(
    "--teacher",
    help="Model whose responses and boxes are learned beside the labels, for example one imported by rstrack "
    "import nanotrack.",
)
@click.option(
    "--light",
    is_flag=True,
    help="First fit a network with a quarter of the operations to the model of --from. That model "
    "is then a teacher as well.",
)
@add_training_options(RUNS_FOLDER, "siamban_edge", seed=TrainRgbOptions.seed)
@_WORKERS_OPTION
def train_rgb(**options: Any) -> None:
    """Train a tracker of color images on videos and photographs.

    Interrupt the command at any time. Start it again to resume.

    The model tracks with rstrack track, evaluate and the hsi_tracker node. It can also be the RGB branch of a
    HA-Net: rstrack train hanet --rgb NAME. With --from, the network for color images of a model is refined.
    """
    from hsi_tracker_ros.training import rgb_run

    run_training(partial(TrainRgbOptions, **options), rgb_run.train_rgb)


@click.command("scores")
@click.argument("model")
@click.option(
    "--data",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Color videos with one target each. May be repeated.",
)
@click.option("--name", required=True, help="Name of the model with fitted scores.")
@MODELS_OPTION
@click.option("--engine", default="auto", show_default=True, help="Engine that runs the model.")
def train_scores(model: str, data: tuple[Path, ...], name: str, models: Path, engine: str) -> None:
    """Fit the scores of MODEL to videos, so that a score is the probability of a correct box.

    A box is correct if its overlap with the ground truth is at least 0.5. The weights and the ranks of boxes
    stay as they are. The model must track color images. Prints the expected calibration error before, and
    after on videos that the fit has not seen.
    """
    from hsi_tracker_ros.training.score_fitting import FitScoresOptions, fit_model_scores

    options = FitScoresOptions(model, data, name, models, engine)
    _run_fit(partial(fit_model_scores, options))


def _run_fit(fit: Callable[[Callable[[int, int], None]], FitResult]) -> None:
    """Run a fit to videos with a progress bar and print its calibration errors.

    Args:
        fit: function that runs the fit, from a callback for its progress to the result.
    """
    console = Console()
    with make_progress(console) as progress:
        task = progress.add_task("videos", total=None)
        result = fit(lambda done, total: progress.update(task, completed=done, total=total))
    console.print(
        f"expected calibration error {result.before.expected_calibration_error:.3f}, fitted and on other "
        f"videos {result.held_out.expected_calibration_error:.3f}"
    )
    console.print(f"wrote {result.path}")


@click.command("tracker")
@click.argument("model")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Videos with one target each: cubes for a HA-Net, color videos for other models. May be repeated.",
)
@click.option(
    "--simulated",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Number of simulated scenes beside them, for a HA-Net.",
)
@click.option("--name", required=True, help="Name of the fitted model.")
@MODELS_OPTION
@click.option("--engine", default="auto", show_default=True, help="Engine that runs the model.")
def train_tracker(
    model: str, data: tuple[Path, ...], simulated: int, name: str, models: Path, engine: str
) -> None:
    """Fit the score of MODEL's tracker to videos, so that it is the probability of a correct box.

    A box is correct if its overlap with the ground truth is at least 0.5. Fitted are the weights of response,
    spectral distance and distractors, and the probabilities with which targets are occluded, leave and
    return: a filter over the frames. The weights of the network and the tracked boxes stay as they
    are. Prints the expected calibration error before, and after on videos that the fit has not seen.
    """
    from hsi_tracker_ros.training.tracker_fitting import FitTrackerOptions, fit_tracker

    options = FitTrackerOptions(model, data, name, simulated, models, engine)
    _run_fit(partial(fit_tracker, options))


@click.command("siamban")
@add_import_options
@click.option(
    "--tuning",
    type=click.Choice(("vot2018", "vot2019", "otb100")),
    default="vot2018",
    show_default=True,
    help="Benchmark whose published settings the tracker takes.",
)
def import_siamban(checkpoint: Path, name: str, models: Path, tuning: str) -> None:
    """Convert an official SiamBAN checkpoint (ResNet-50) to a model.

    No code in the file is run. The model tracks targets in images and in false color as the authors' tracker
    does. The model can also be the RGB branch of a HA-Net: rstrack train hanet --rgb NAME.
    """
    from hsi_tracker_ros.hanet.checkpoint_import import load_siamban, save_imported_tracker

    network = load_siamban(checkpoint, tuning)
    path = save_imported_tracker(network, checkpoint, "the authors of SiamBAN", models, name)
    click.echo(f"wrote {path}")


@click.command("nanotrack")
@add_import_options
def import_nanotrack(checkpoint: Path, name: str, models: Path) -> None:
    """Convert an official NanoTrack checkpoint of version 1, 2 or 3 to a model.

    No code in the file is run. The model tracks targets in images and in false color as the authors' tracker
    does. The model can also be the RGB branch of a HA-Net: rstrack train hanet --rgb NAME.
    """
    from hsi_tracker_ros.hanet.checkpoint_import import load_nanotrack, save_imported_tracker

    network = load_nanotrack(checkpoint)
    path = save_imported_tracker(network, checkpoint, "the authors of NanoTrack", models, name)
    click.echo(f"wrote {path}")


@click.command("fear")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("initializer", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--name", required=True, help="Name of the model.")
@MODELS_OPTION
def import_fear(checkpoint: Path, initializer: Path | None, name: str, models: Path) -> None:
    """Convert the published Core ML model of FEAR-XS to a model.

    CHECKPOINT is Tracker.mlmodel, which has all weights. If INITIALIZER, TrackerInit.mlmodel, is given as
    well, its weights are checked to be those of the tracker; the two may be exchanged. Nothing in the files
    is executed. The model tracks targets in images and in false color.
    """
    from hsi_tracker_ros.hanet.checkpoint_import import save_imported_tracker
    from hsi_tracker_ros.hanet.fear_import import load_fear

    network = load_fear(checkpoint, initializer)
    tracker = max((checkpoint, initializer or checkpoint), key=lambda path: path.stat().st_size)
    path = save_imported_tracker(network, tracker, "the authors of FEAR", models, name)
    click.echo(f"wrote {path}")


def _add_bench_options(default_output: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the options that all benchmarks of trackers share.

    Args:
        default_output: default folder of the report.
    """
    return lambda command: add_options(
        command,
        click.option(
            "--engine",
            default="auto",
            show_default=True,
            help="Engine that runs the models, for example openvino:int8.",
        ),
        click.option("--only", multiple=True, help="Name of a tracker: run this one only. May be repeated."),
        click.option(
            "--jobs",
            "num_processes",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Number of processes.",
        ),
        click.option(
            "--output",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path(default_output),
            show_default=True,
            help="Folder of the report. Results in it are reused if nothing has changed.",
        ),
    )


@click.command("hsi")
@click.argument("paths", nargs=-1, metavar="[PLACE]...", type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="hanet_edge_any",
    show_default=True,
    help="HA-Net's model: name, manifest, or untrained:hanet_r50 to measure the speed of random weights.",
)
@click.option(
    "--rgb-model",
    "rgb_models",
    multiple=True,
    help="Model of a further tracker on false color, imported by rstrack import siamban or nanotrack. "
    "May be repeated.",
)
@click.option(
    "--seeds",
    "num_simulated",
    type=click.IntRange(0),
    default=36,
    show_default=True,
    help="Number of simulated videos.",
)
@click.option(
    "--first-seed",
    type=click.IntRange(0),
    default=1_000_000,
    show_default=True,
    help="Seed of the first simulated video.",
)
@click.option(
    "--scenes",
    type=click.Choice(("natural", "procedural")),
    default="natural",
    show_default=True,
    help="Simulated scenes: photographs or dead leaves in spectra, with the shake, light and noise of real "
    "cameras; or measured materials in random textures.",
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of photographs for natural scenes. NAME.txt beside NAME.jpg contains its objects in the "
    "format of YOLO. Default: images of the dead leaves model.",
)
@click.option(
    "--frames",
    "num_frames",
    type=click.IntRange(2),
    default=150,
    show_default=True,
    help="Number of frames of each simulated video and each video of a cube.",
)
@click.option(
    "--cubes",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Real cube or raw mosaic, or folder of them, for further videos. May be repeated.",
)
@click.option(
    "--cube-videos",
    "num_cube_videos",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Number of videos of each cube and kind of target.",
)
@click.option(
    "--control",
    "has_control",
    is_flag=True,
    help="Also run HA-Net and its RGB branch with three broad channels in place of the camera's bands.",
)
@click.option(
    "--speed",
    "measures_speed",
    is_flag=True,
    help="Measure the speed of HA-Net as well, for one target and for eight in a batch.",
)
@_add_bench_options("benchmark")
def bench_hsi(
    paths: tuple[Path, ...],
    model: str,
    rgb_models: tuple[str, ...],
    engine: str,
    only: tuple[str, ...],
    num_simulated: int,
    first_seed: int,
    scenes: SceneKind,
    photographs: Path | None,
    num_frames: int,
    cubes: tuple[Path, ...],
    num_cube_videos: int,
    has_control: bool,
    num_processes: int,
    measures_speed: bool,
    output: Path,
) -> None:
    """Compare HA-Net with its parts and with OpenCV's trackers on the same videos.

    The videos are simulated from seeds that training never uses, and read from each PLACE: a folder of the
    HOT challenge, or any other PLACE of `rstrack evaluate`. Only HA-Net reads all bands; the other trackers
    read false color. In videos without band information all trackers read the images, and HA-Net uses only
    its RGB branch.

    With --cubes a window pans over each cube, while a patch moves as the target: a distinct one, a
    camouflaged one, and one among look-alikes. Camouflage and look-alikes have the colors of the scene in
    real spectra of a part of the cube that the window never shows.

    Prints tables, and writes them with charts to report.html and hsi.png, and all metrics to hsi.json.
    `rstrack compare` compares two of the folders beside these files.
    """
    from hsi_tracker_ros.benchmark.run import BenchmarkOptions, benchmark
    from hsi_tracker_ros.benchmark.trackers import TrackerSuite

    if not (num_simulated or paths or cubes or measures_speed):
        raise click.UsageError(
            "nothing to measure: set --seeds above 0, give a PLACE, or add --cubes or --speed"
        )
    options = BenchmarkOptions(
        output=output,
        suite=TrackerSuite(model, rgb_models, engine, only, has_control),
        paths=paths,
        cubes=cubes,
        num_cube_videos=num_cube_videos,
        num_simulated=num_simulated,
        first_seed=first_seed,
        scenes=scenes,
        photographs=photographs,
        num_frames=num_frames,
        num_processes=num_processes,
        measures_speed=measures_speed,
    )
    _run_benchmark("hsi", output, partial(benchmark, options))


@click.command("rgb")
@click.argument(
    "paths", nargs=-1, required=True, metavar="PLACE...", type=click.Path(path_type=Path, exists=True)
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Model to run: name or manifest, for example one imported by rstrack import nanotrack. May be "
    "repeated; the other trackers are compared with the first. Default: hanet_edge_any.",
)
@_add_bench_options("benchmark_rgb")
def bench_rgb(
    paths: tuple[Path, ...],
    models: tuple[str, ...],
    engine: str,
    only: tuple[str, ...],
    num_processes: int,
    output: Path,
) -> None:
    """Compare trackers on color videos with one target: models, and OpenCV's CSRT, KCF and MIL.

    Each PLACE is the same as of `rstrack evaluate`, for example a folder of sequences in the layout of
    OTB. A HA-Net runs its network for color images. Each frame goes to all trackers in turn, so that the
    speeds of one run can be compared.

    Prints tables, and writes them with charts to report.html and rgb.png, and all metrics to rgb.json.
    `rstrack compare` compares two of the folders beside these files.
    """
    from hsi_tracker_ros.benchmark.rgb_trackers import RgbTrackerSuite
    from hsi_tracker_ros.benchmark.run import RgbBenchmarkOptions, benchmark_rgb

    suite = RgbTrackerSuite(models or RgbTrackerSuite.models, engine, only)
    options = RgbBenchmarkOptions(output, paths, suite, num_processes)
    _run_benchmark("rgb", output, partial(benchmark_rgb, options))


def _run_benchmark(
    name: str, output: Path, benchmark: Callable[[Callable[[int, int], None]], BenchmarkResult]
) -> None:
    """Run a benchmark with a progress bar and print its tables.

    Args:
        name: name of the benchmark's files.
        output: folder of the report.
        benchmark: function that runs the benchmark, from a callback for its progress to the result.
    """
    from hsi_tracker_ros.benchmark.opencv import find_missing_opencv_trackers
    from hsi_tracker_ros.benchmark.report import make_console_table, make_tables

    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    _warn_missing_trackers(console, find_missing_opencv_trackers())
    with make_progress(console) as progress:
        task = progress.add_task("videos", total=None)
        result = benchmark(lambda done, total: progress.update(task, completed=done, total=total))
    for table in make_tables(result.runs, result.speed):
        console.print(make_console_table(table))
    console.print(f"wrote {output}/report.html, {name}.json and {name}.png")
    for tracker, video in result.failures:
        console.print(f"[red]{tracker}, {escape(video.name)}: {escape(video.error)}", soft_wrap=True)
    if result.failures:
        raise click.exceptions.Exit(1)


def _warn_missing_trackers(console: Console, trackers: Sequence[str]) -> None:
    if trackers:
        console.print(
            f"[yellow]left out: {', '.join(trackers)}. This build of OpenCV has no contrib modules; install "
            "opencv-contrib-python-headless in place of opencv-python-headless",
            soft_wrap=True,
        )
