"""``rstrack demo``."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(exists=True, path_type=Path)


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for report, figures and bags; what an earlier demo left in it is replaced.",
)
@click.option(
    "--frames", type=click.IntRange(min=10), help="Length of simulated and panned flights.", metavar="N"
)
@click.option("--seed", type=int, help="Of the simulated scenes.", metavar="N")
@click.option("--satellite", type=_PATH, help="Real frames, with gt.txt among or beside them.", metavar="DIR")
@click.option(
    "--hyperspectral", type=_PATH, help="A real cube (TIFF) or raw mosaic (PNG, TIFF).", metavar="FILE"
)
@click.option(
    "--mosaic", default="", help="Filter rows and columns of a raw mosaic, as in 3x3.", metavar="RxC"
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    help="Frames a second; 0: each when the one before is tracked. [default: hyperspectral 25, satellite 0]",
    metavar="HZ",
)
@click.option("--only", help="Fly one flight: hyperspectral or satellite.", metavar="FLIGHT")
def demo(
    output: Path,
    frames: int | None,
    seed: int | None,
    satellite: Path | None,
    hyperspectral: Path | None,
    mosaic: str,
    rate: float | None,
    only: str | None,
) -> None:
    """Fly, record, score and report, with one command.

    In each tracker's flight a player plays a scene at the camera's rate, the tracker's node tracks it, a
    visualizer draws and a recorder records: four processes that talk over ROS 2. The recording is then scored
    against the ground truth, and report.html shows it all.

    Both trackers fly over simulated scenes. With --satellite or --hyperspectral only that one flies, over
    real images.
    """
    try:
        from tracking_runtime.demo.runner import DemoFailed, run_demo
        from tracking_runtime.demo.scenario import Wishes
    except ImportError as error:
        raise click.ClickException(
            f"{error}. The demo needs ROS 2 and this package's messages: source .venv/setup.bash, or the "
            "workspace in which the package was built"
        ) from error
    inputs = {"hyperspectral": hyperspectral, "satellite": satellite}
    wishes = {
        name: Wishes(seed=seed, frames=frames, input=path, mosaic=mosaic, rate_hz=rate)
        for name, path in inputs.items()
    }
    given = [name for name, path in inputs.items() if path is not None]
    try:
        run_demo(output, wishes, names=[only] if only else given or list(inputs))
    except DemoFailed as error:
        raise click.ClickException(str(error)) from error
