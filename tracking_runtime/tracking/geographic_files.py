"""Positions of tracks on the Earth in the files of a run."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracking_runtime.files import atomic_write
from tracking_runtime.frames import FrameSource
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.reading import read_reference
from tracking_runtime.geography.reference import GeographicReference, check_image_size
from tracking_runtime.geography.source_reference import make_source_reference
from tracking_runtime.geography.tracks import locate_tracks
from tracking_runtime.geography.writers import (
    GEOGRAPHIC_COLUMNS,
    format_geographic_columns,
    format_geojson,
    format_kml,
)
from tracking_runtime.io.notes import add_note
from tracking_runtime.tracking.output_folder import GEOJSON_FILE, KML_FILE
from tracking_runtime.tracking.session import TrackRun
from tracking_runtime.tracking.track_files import CSV_FILE


def find_reference(source: FrameSource, path: Path | None) -> GeographicReference | None:
    """Return the map from pixels to the Earth, of a file or else of the source; None without a map.

    A map of the source that cannot be used is noted: its user did not ask for positions.

    Raises:
        GeographyError: the file cannot be used.
    """
    if path is not None:
        return read_reference(path)
    georeference = getattr(source, "georeference", None)
    if georeference is not None and not georeference.crs:
        add_note(
            f"no positions on the Earth: the map of {source.name} has no coordinate reference system; add a "
            ".prj file beside it, or state --geography"
        )
    try:
        return make_source_reference(source)
    except GeographyError as error:
        add_note(f"no positions on the Earth: {error}")
        return None


def write_geographic_files(
    folder: Path, run: TrackRun, reference: GeographicReference, class_names: Sequence[str]
) -> None:
    """Write `tracks.geojson` and `tracks.kml`, and add the geographic columns to `tracks.csv`.

    The notes of the run get the accuracy of the reference and what could not be located. If the reference
    does not fit the images or frames, a note gives the reason, and no file is written or changed.

    Args:
        folder: folder of the run, with its `tracks.csv`.
        run: run that kept its tracks.
        reference: map from pixels to the Earth.
        class_names: name of each class id.

    Raises:
        OSError: a file cannot be written.
    """
    run.add_note(f"positions: {reference.description}")
    try:
        check_image_size(reference, run.image_size)
        tracks = locate_tracks(run.tracks, reference, run.stamps_ns, frame_numbers=run.frame_numbers)
    except GeographyError as error:
        run.add_note(f"no positions on the Earth: {error}")
        return
    for line in tracks.describe()[1:]:
        run.add_note(line)
    for name, format_lines in ((GEOJSON_FILE, format_geojson), (KML_FILE, format_kml)):
        with atomic_write(folder / name) as path, path.open("w", encoding="utf-8") as file:
            file.writelines(format_lines(tracks, class_names))
    cells = {
        (int(frame_index) + 1, int(track_id)): row
        for frame_index, track_id, row in zip(
            tracks.frame_indices, tracks.ids, format_geographic_columns(tracks), strict=True
        )
    }
    _add_columns(folder / CSV_FILE, cells)


def _add_columns(path: Path, cells: Mapping[tuple[int, int], list[str]]) -> None:
    """Add the geographic columns to the rows of a table, by the number of the frame and the id."""
    no_position = [""] * len(GEOGRAPHIC_COLUMNS)
    with (
        path.open(encoding="utf-8", newline="") as old_file,
        atomic_write(path) as new_path,
        new_path.open("w", encoding="utf-8", newline="") as new_file,
    ):
        rows = csv.reader(old_file)
        writer = csv.writer(new_file, lineterminator="\n")
        columns = next(rows)
        # The speed of the path is smoother than the tracker's, which stays in the JSON lines.
        kept = [index for index, name in enumerate(columns) if name not in GEOGRAPHIC_COLUMNS]
        writer.writerow([*(columns[index] for index in kept), *GEOGRAPHIC_COLUMNS])
        for row in rows:
            position = cells.get((int(row[0]), int(row[1])), no_position)
            writer.writerow([*(row[index] for index in kept), *position])
