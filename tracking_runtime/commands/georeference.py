"""The command `rstrack georeference`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.dataset_options import split_class_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tracking_runtime.datasets.track_files import TrackFile
    from tracking_runtime.geography.tracks import Anchor


@click.command()
@click.argument("tracks", type=click.Path(path_type=Path))
@click.option(
    "--geography",
    required=True,
    type=click.Path(path_type=Path),
    help="Reference of the images: YAML with corners, control points or homographies, a world file, a "
    "GeoTIFF or an image with a world file.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("geography"),
    show_default=True,
    help="Folder of tracks.geojson, tracks.kml and tracks.csv.",
)
@click.option(
    "--rate",
    "rate_hz",
    type=click.FloatRange(0, min_open=True),
    help="Frames per second of the video, if the tracks have no times. Speeds depend on it.",
)
@click.option(
    "--start",
    type=click.DateTime(
        ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"]
    ),
    help="Time of the first frame in UTC. Default: 1970-01-01, if the tracks have no times.",
)
@click.option("--classes", default="", help="Names of the classes, separated by commas; numbered from 1.")
@click.option(
    "--anchor",
    type=click.Choice(["center", "bottom"]),
    default="center",
    show_default=True,
    help="Point of a box that is on the ground. bottom: middle of the lower edge, for oblique views.",
)
@click.option(
    "--window",
    "window_s",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds over which a speed is measured. More smooths noise and turns.",
)
def georeference(
    tracks: Path,
    geography: Path,
    output: Path,
    rate_hz: float | None,
    start: datetime | None,
    classes: str,
    anchor: Anchor,
    window_s: float,
) -> None:
    """Give TRACKS latitude, longitude, ground speed and heading.

    TRACKS is a result file of rstrack track or rstrack evaluate: JSON lines, MOT text, or boxes of one
    target. Writes GeoJSON (lines and points with times), KML and CSV.
    """
    from rich.console import Console

    from tracking_runtime.datasets.track_files import read_track_file
    from tracking_runtime.geography.reading import read_reference
    from tracking_runtime.geography.writers import write_geographic_tracks

    reference = read_reference(geography)
    file = read_track_file(tracks, split_class_names(classes))
    stamps_ns = _make_stamps(file, rate_hz, start)
    console = Console()
    console.print(f"{geography}: {reference.description}", soft_wrap=True, markup=False, highlight=False)
    try:
        located = write_geographic_tracks(
            file.frames,
            reference,
            stamps_ns,
            output,
            frame_numbers=file.frame_numbers,
            class_names=file.class_names,
            anchor=anchor,
            window_s=window_s,
        )
    except OSError as error:
        raise click.ClickException(str(error)) from error
    for line in located.describe():
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(f"tracks.geojson, tracks.kml and tracks.csv in {output}", soft_wrap=True, markup=False)


def _make_stamps(file: TrackFile, rate_hz: float | None, start: datetime | None) -> NDArray[np.int64]:
    """Return the time of each frame: of the file, else by rate and start.

    Raises:
        click.UsageError: the times are unknown, or given twice.
    """
    import numpy as np

    start_ns = 0
    if start is not None:
        whole_seconds = start.replace(tzinfo=timezone.utc, microsecond=0).timestamp()
        start_ns = round(whole_seconds) * 10**9 + start.microsecond * 1000
    if file.stamps_ns is not None:
        if rate_hz is not None:
            raise click.UsageError("--rate is for tracks without times: these have times; leave it out")
        stamps_ns = np.asarray(file.stamps_ns, np.int64)
        return stamps_ns - stamps_ns[:1] + start_ns if start else stamps_ns
    if rate_hz is None:
        raise click.UsageError(
            "the tracks have no times: give the frames per second of the video with --rate"
        )
    return start_ns + np.round((np.asarray(file.frame_numbers) - 1) * (1e9 / rate_hz)).astype(np.int64)
