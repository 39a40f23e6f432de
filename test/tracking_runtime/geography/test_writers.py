"""GeoJSON, KML and CSV of tracks, read back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tracking_runtime.boxes import ScoredBoxes, as_boxes
from tracking_runtime.geography.reference import make_map_reference
from tracking_runtime.geography.writers import (
    CSV_COLUMNS,
    format_csv,
    format_geojson,
    format_times,
    write_geographic_tracks,
)
from tracking_runtime.io.georeference import GeoReference

NORTH_UP = make_map_reference(GeoReference(((1e-5, 0, -115), (0, -1e-5, 36)), "EPSG:4326"), "FILE")
STAMPS_NS = [1_700_000_000_000_000_000 + k * 100_000_000 for k in range(3)]
KML = "{http://www.opengis.net/kml/2.2}"
GX = "{http://www.google.com/kml/ext/2.2}"


def make_frames(*frames: dict[int, tuple[float, float]]) -> list[ScoredBoxes]:
    """Return boxes of 2 x 2 pixels around centers by id."""
    return [
        ScoredBoxes(
            np.array(list(frame), np.int64),
            as_boxes([[x - 1, y - 1, 2, 2] for x, y in frame.values()]),
            np.full(len(frame), 0.75),
            np.zeros(len(frame), np.int64),
        )
        for frame in frames
    ]


FRAMES = make_frames({1: (0, 0), 7: (50, 50)}, {1: (10, 0)}, {1: (20, 0)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_geographic_tracks(FRAMES, NORTH_UP, STAMPS_NS, tmp_path / "out", class_names=('car "<&>"',))
    return tmp_path / "out"


def test_geojson_has_lines_and_points_with_times(folder: Path) -> None:
    content = json.loads((folder / "tracks.geojson").read_text())

    assert content["type"] == "FeatureCollection"
    line, *points = content["features"]
    assert line["geometry"] == {
        "type": "LineString",
        "coordinates": [[-115.0, 36.0], [-114.9999, 36.0], [-114.9998, 36.0]],
    }
    assert line["properties"]["times"] == [
        "2023-11-14T22:13:20.000000Z",
        "2023-11-14T22:13:20.100000Z",
        "2023-11-14T22:13:20.200000Z",
    ]
    assert line["properties"]["class"] == 'car "<&>"'
    assert [point["properties"]["id"] for point in points] == [1, 1, 1, 7]
    assert points[1]["geometry"] == {"type": "Point", "coordinates": [-114.9999, 36.0]}
    assert points[1]["properties"]["heading_deg"] == 90
    assert points[1]["properties"]["speed_m_s"] == pytest.approx(90.16, abs=0.1)
    assert points[3]["properties"]["speed_m_s"] is None


def test_kml_has_a_timed_track_of_each_object(folder: Path) -> None:
    root = ElementTree.parse(folder / "tracks.kml").getroot()
    placemarks = root.findall(f"{KML}Document/{KML}Placemark")

    assert [placemark.findtext(f"{KML}name") for placemark in placemarks] == ['car "<&>" 1', 'car "<&>" 7']
    track = placemarks[0].find(f"{GX}Track")
    assert track.findtext(f"{KML}when") == "2023-11-14T22:13:20.000000Z"
    assert [each.text for each in track.findall(f"{GX}coord")][1] == "-114.99990000 36.00000000 0"


def test_csv_has_all_columns_in_order_of_frames(folder: Path) -> None:
    with (folder / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert tuple(rows[0]) == CSV_COLUMNS
    assert [(row["frame"], row["id"]) for row in rows] == [("1", "1"), ("1", "7"), ("2", "1"), ("3", "1")]
    assert rows[0]["class"] == 'car "<&>"'
    assert rows[1]["speed_m_s"] == rows[1]["heading_deg"] == ""
    assert float(rows[3]["longitude"]) == pytest.approx(-114.9998, abs=1e-8)
    assert (rows[0]["x"], rows[0]["width"], rows[0]["extrapolated"]) == ("-1", "2", "0")


def test_line_over_the_antimeridian_is_cut() -> None:
    reference = make_map_reference(GeoReference(((1.0, 0, 178), (0, -1.0, 10)), "EPSG:4326"), "FILE")
    tracks = write_and_locate(reference, make_frames({1: (1, 0)}, {1: (3, 2)}))

    line = json.loads("".join(format_geojson(tracks)))["features"][0]

    assert line["geometry"] == {
        "type": "MultiLineString",
        "coordinates": [[[179.0, 10.0], [180.0, 9.0]], [[-180.0, 9.0], [-179.0, 8.0]]],
    }


def write_and_locate(reference, frames):
    from tracking_runtime.geography.tracks import locate_tracks

    return locate_tracks(frames, reference, STAMPS_NS[: len(frames)])


def test_no_tracks_give_valid_empty_files(tmp_path: Path) -> None:
    write_geographic_tracks([ScoredBoxes.none()], NORTH_UP, STAMPS_NS, tmp_path)

    assert json.loads((tmp_path / "tracks.geojson").read_text()) == {
        "type": "FeatureCollection",
        "features": [],
    }
    assert ElementTree.parse(tmp_path / "tracks.kml").getroot().tag == f"{KML}kml"
    assert (tmp_path / "tracks.csv").read_text().count("\n") == 1


def test_heading_just_below_north_is_rounded_to_zero() -> None:
    tracks = write_and_locate(NORTH_UP, make_frames({1: (100, 100)}, {1: (99.9999, 50)}, {1: (99.9998, 0)}))

    features = json.loads("".join(format_geojson(tracks)))["features"]

    assert features[1]["properties"]["heading_deg"] == 0.0
    assert {row.split(",")[-2] for row in format_csv(tracks)} == {"heading_deg", "0.00"}


def test_times_are_utc_to_the_microsecond() -> None:
    assert format_times(np.array([0, 1_500, -1])) == [
        "1970-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:00.000001Z",
        "1969-12-31T23:59:59.999999Z",
    ]
