"""Files of geographic tracks: GeoJSON (RFC 7946), KML and CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.files import atomic_write
from tracking_runtime.geography.reference import GeographicReference
from tracking_runtime.geography.tracks import (
    DEFAULT_PIXEL_ERROR_PX,
    DEFAULT_WINDOW_S,
    Anchor,
    GeoTracks,
    locate_tracks,
)

GEOJSON_FILE = "tracks.geojson"
KML_FILE = "tracks.kml"
CSV_FILE = "tracks.csv"

GEOGRAPHIC_COLUMNS = ("time", "latitude", "longitude", "speed_m_s", "heading_deg", "extrapolated")
CSV_COLUMNS = ("frame", "id", "x", "y", "width", "height", "score", "class", *GEOGRAPHIC_COLUMNS)

_DEGREE_DECIMALS = 8  # 1 mm
_KML_HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">
<Document>
<name>Tracks</name>
"""
_KML_FOOTER = "</Document>\n</kml>\n"


def write_geographic_tracks(
    frames: Sequence[ScoredBoxes],
    reference: GeographicReference,
    stamps_ns: Sequence[int] | NDArray[np.int64],
    folder: Path,
    *,
    frame_numbers: Sequence[int] | None = None,
    class_names: Sequence[str] = (),
    anchor: Anchor = "center",
    window_s: float = DEFAULT_WINDOW_S,
    pixel_error_px: float = DEFAULT_PIXEL_ERROR_PX,
) -> GeoTracks:
    """Locate tracks and write `tracks.geojson`, `tracks.kml` and `tracks.csv`.

    Args:
        frames: boxes of each frame.
        reference: map from pixels to the Earth.
        stamps_ns: time of each frame in nanoseconds since 1970, ascending.
        folder: folder of the files, which is created.
        frame_numbers: number of each frame in the video, from 1; None: all frames in order.
        class_names: name of each class id.
        anchor: point of a box that is on the ground.
        window_s: window of the regression of the speed in seconds.
        pixel_error_px: standard deviation of the boxes' positions in pixels.

    Raises:
        GeographyError: the stamps do not ascend, or no box is on the ground.
        OSError: a file cannot be written.
    """
    tracks = locate_tracks(
        frames,
        reference,
        stamps_ns,
        frame_numbers=frame_numbers,
        anchor=anchor,
        window_s=window_s,
        pixel_error_px=pixel_error_px,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, format_lines in (
        (GEOJSON_FILE, format_geojson),
        (KML_FILE, format_kml),
        (CSV_FILE, format_csv),
    ):
        with atomic_write(folder / name) as path, path.open("w", encoding="utf-8") as file:
            file.writelines(format_lines(tracks, class_names))
    return tracks


def format_geojson(tracks: GeoTracks, class_names: Sequence[str] = ()) -> Iterator[str]:
    """Yield the text of a GeoJSON FeatureCollection: a line for each track, then a point for each position.

    A line that crosses the antimeridian is cut there, as RFC 7946 demands.
    """
    located = tracks.select(tracks.is_located)
    separator = '{"type": "FeatureCollection", "features": [\n'
    for track in located.split():
        feature = _make_line(track, class_names)
        if feature is not None:
            yield separator + json.dumps(feature)
            separator = ",\n"
    for track in located.split():
        for feature in _make_points(track, class_names):
            yield separator + json.dumps(feature)
            separator = ",\n"
    yield (separator if separator.startswith("{") else "\n") + "]}\n"


def format_kml(tracks: GeoTracks, class_names: Sequence[str] = ()) -> Iterator[str]:
    """Yield the text of a KML document with a track (`gx:Track`) with times for each track."""
    yield _KML_HEADER
    for track in tracks.select(tracks.is_located).split():
        label = get_class_name(class_names, int(track.class_ids[-1]))
        name = escape(f"{label} {track.ids[0]}".strip())
        speeds = track.speeds_m_s[np.isfinite(track.speeds_m_s)]
        description = f"mean speed {speeds.mean():.1f} m/s" if len(speeds) else ""
        yield f"<Placemark><name>{name}</name><description>{description}</description>\n"
        yield "<gx:Track><altitudeMode>clampToGround</altitudeMode>\n"
        yield from (f"<when>{time}</when>\n" for time in format_times(track.stamps_ns))
        yield from (
            f"<gx:coord>{_format_degrees(longitude)} {_format_degrees(latitude)} 0</gx:coord>\n"
            for latitude, longitude in track.coordinates
        )
        yield "</gx:Track></Placemark>\n"
    yield _KML_FOOTER


def format_csv(tracks: GeoTracks, class_names: Sequence[str] = ()) -> Iterator[str]:
    """Yield the rows of a CSV table in the order of the frames. Unknown values are empty."""
    yield ",".join(CSV_COLUMNS) + "\n"
    rows = tracks.select(np.lexsort((tracks.ids, tracks.frame_indices)))
    geographic = format_geographic_columns(rows)
    for index in range(len(rows)):
        name = get_class_name(class_names, int(rows.class_ids[index]))
        cells = [
            str(rows.frame_indices[index] + 1),
            str(rows.ids[index]),
            *(np.format_float_positional(value, trim="-") for value in rows.boxes[index]),
            f"{rows.scores[index]:.6g}",
            _quote(name),
            *geographic[index],
        ]
        yield ",".join(cells) + "\n"


def format_geographic_columns(tracks: GeoTracks) -> list[list[str]]:
    """Return the cells of `GEOGRAPHIC_COLUMNS` for each box; an unknown value is empty."""
    times = format_times(tracks.stamps_ns)
    return [
        [
            times[index],
            *(_format_degrees(value) for value in tracks.coordinates[index]),
            _format_number(tracks.speeds_m_s[index], 3),
            _format_number(_round_heading(tracks.headings_deg[index]), 2),
            str(int(tracks.is_extrapolated[index])),
        ]
        for index in range(len(tracks))
    ]


def format_times(stamps_ns: NDArray[np.int64]) -> list[str]:
    """Return times in nanoseconds since 1970 as ISO 8601 in UTC, to the microsecond."""
    times = np.asarray(stamps_ns, np.int64).astype("datetime64[ns]").astype("datetime64[us]")
    return [f"{text}Z" for text in np.datetime_as_string(times).tolist()]


def get_class_name(class_names: Sequence[str], class_id: int) -> str:
    """Return the name of a class id, empty if it is unknown."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else ""


def _make_line(track: GeoTracks, class_names: Sequence[str]) -> dict[str, Any] | None:
    """Return the GeoJSON feature of a track's path; None for a single position."""
    if len(track) < 2:
        return None
    parts = _cut_at_antimeridian(track.coordinates)
    speeds = track.speeds_m_s[np.isfinite(track.speeds_m_s)]
    times = format_times(track.stamps_ns)
    geometry = (
        {"type": "LineString", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiLineString", "coordinates": parts}
    )
    properties = {
        "kind": "track",
        "id": int(track.ids[0]),
        "class": get_class_name(class_names, int(track.class_ids[-1])),
        "start": times[0],
        "end": times[-1],
        "mean_speed_m_s": round(float(speeds.mean()), 3) if len(speeds) else None,
        "times": times,
    }
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _make_points(track: GeoTracks, class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    times = format_times(track.stamps_ns)
    for index in range(len(track)):
        properties = {
            "kind": "position",
            "id": int(track.ids[index]),
            "class": get_class_name(class_names, int(track.class_ids[index])),
            "frame": int(track.frame_indices[index]) + 1,
            "time": times[index],
            "speed_m_s": _round(track.speeds_m_s[index], 3),
            "heading_deg": _round(_round_heading(track.headings_deg[index]), 2),
            "score": _round(track.scores[index], 4),
            "extrapolated": bool(track.is_extrapolated[index]),
        }
        (coordinates,) = _to_positions(track.coordinates[index : index + 1])
        geometry = {"type": "Point", "coordinates": coordinates}
        yield {"type": "Feature", "geometry": geometry, "properties": properties}


def _cut_at_antimeridian(coordinates: NDArray[np.float64]) -> list[list[list[float]]]:
    """Return the parts of a path as lists of longitude, latitude. Each part is on one side of 180 degrees."""
    parts: list[list[list[float]]] = [[]]
    positions = _to_positions(coordinates)
    for index, position in enumerate(positions):
        if index and abs(position[0] - positions[index - 1][0]) > 180:
            last = positions[index - 1]
            side = 180.0 if last[0] > 0 else -180.0
            step = position[0] + 2 * side - last[0]
            share = (side - last[0]) / step if step else 0.0
            latitude = round(last[1] + share * (position[1] - last[1]), _DEGREE_DECIMALS)
            parts[-1].append([side, latitude])
            parts.append([[-side, latitude]])
        parts[-1].append(position)
    return parts


def _to_positions(coordinates: NDArray[np.float64]) -> list[list[float]]:
    """Return latitudes and longitudes as lists of longitude, latitude, the order of GeoJSON."""
    rounded: list[list[float]] = np.round(coordinates[:, ::-1], _DEGREE_DECIMALS).tolist()
    return rounded


def _round_heading(heading_deg: float) -> float:
    """Return a heading to the hundredth, below 360."""
    return float(np.round(heading_deg, 2)) % 360


def _round(value: float, decimals: int) -> float | None:
    return round(float(value), decimals) if np.isfinite(value) else None


def _format_degrees(value: float) -> str:
    return _format_number(value, _DEGREE_DECIMALS)


def _format_number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if np.isfinite(value) else ""


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n\r') else text
