"""Command `rstrack demo`."""

from __future__ import annotations

from pathlib import Path

import click

_EXISTING_PATH = click.Path(exists=True, path_type=Path)


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the report, metrics and bags. Files of an earlier demo are replaced.",
)
@click.option(
    "--frames",
    "num_frames",
    type=click.IntRange(min=10),
    help="Number of frames of simulated and panned scenes.",
    metavar="N",
)
@click.option("--seed", type=int, help="Seed of the simulated scenes.", metavar="N")
@click.option(
    "--satellite",
    "satellite_path",
    help="Real frames: a video file, a folder of images, a recording or another source, also with options "
    "(clip.mp4?rate=5), with ground truth beside it.",
    metavar="SOURCE",
)
@click.option(
    "--hyperspectral",
    "hyperspectral_file",
    type=_EXISTING_PATH,
    help="Real cube (TIFF, ENVI, .mat, .npy, ...) or raw mosaic (PNG, TIFF).",
    metavar="FILE",
)
@click.option(
    "--mosaic", default="", help="Filter rows and columns of a raw mosaic, for example 3x3.", metavar="RxC"
)
@click.option(
    "--camera",
    default="",
    help="Hyperspectral camera of the real cube or mosaic: a name, as vis16, or a camera file.",
    metavar="NAME|FILE",
)
@click.option(
    "--rate",
    "rate_hz",
    type=click.FloatRange(min=0),
    help="Frames per second; 0: each frame after the last one is processed. "
    "[default: hyperspectral 25, satellite 0]",
    metavar="HZ",
)
@click.option("--only", help="Run one scenario: hyperspectral or satellite.", metavar="SCENARIO")
def demo(
    output: Path,
    num_frames: int | None,
    seed: int | None,
    satellite_path: str | None,
    hyperspectral_file: Path | None,
    mosaic: str,
    camera: str,
    rate_hz: float | None,
    only: str | None,
) -> None:
    """Run both trackers on demo scenarios, record and score them, and write a report.

    Each scenario runs four processes that communicate over ROS 2. A player plays a scene at the camera's
    rate, the tracker's node tracks the scene, a visualizer draws the tracks, and a recorder records all. The
    recording is then scored against the ground truth. report.html shows the results.

    Both trackers run on simulated scenes. With --satellite or --hyperspectral only that tracker runs, on real
    images.
    """
    try:
        from tracking_runtime.demo.runner import run_demo
        from tracking_runtime.demo.scenario import DemoOptions
        from tracking_runtime.ros.demo_session import run_session
    except ImportError as error:
        raise click.ClickException(
            f"{error}. The demo needs ROS 2 and this package's messages: source .venv/setup.bash, or the "
            "workspace that contains the built package"
        ) from error
    if camera and hyperspectral_file is None:
        raise click.UsageError("--camera describes the file of --hyperspectral; add --hyperspectral FILE")
    inputs: dict[str, str | Path | None] = {"hyperspectral": hyperspectral_file, "satellite": satellite_path}
    options = {
        name: DemoOptions(
            seed=seed,
            num_frames=num_frames,
            input_path=input_path,
            mosaic=mosaic,
            camera=camera,
            rate_hz=rate_hz,
        )
        for name, input_path in inputs.items()
    }
    names_with_input = [name for name, input_path in inputs.items() if input_path is not None]
    names = [only] if only else names_with_input or list(inputs)
    run_demo(output, options, names, run_session)
