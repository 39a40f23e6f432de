"""References of georeferenced folders: one map for all images, or one for each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from tracking_runtime.geography.source_reference import make_source_reference
from tracking_runtime.io import open_source

pytest.importorskip("pyproj")

UTM_11_NORTH = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32611]


def write_geotiff(path: Path, x: float, y: float) -> None:
    tags = [
        (33550, "d", 3, (0.5, 0.5, 0.0)),
        (33922, "d", 6, (0.0, 0.0, 0.0, x, y, 0.0)),
        (34735, "H", len(UTM_11_NORTH), tuple(UTM_11_NORTH)),
    ]
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8), photometric="minisblack", extratags=tags)


def from_utm(x: float, y: float) -> tuple[float, float]:
    import pyproj

    longitude, latitude = pyproj.Transformer.from_crs(32611, 4326, always_xy=True).transform(x, y)
    return latitude, longitude


def test_folder_of_geotiffs_has_their_common_map(tmp_path: Path) -> None:
    for number in range(3):
        write_geotiff(tmp_path / f"{number}.tif", 660_000, 4_000_000)

    reference = make_source_reference(open_source(tmp_path))

    assert reference is not None and reference.num_frames is None
    np.testing.assert_allclose(reference.locate([[10, 4]], 2), [from_utm(660_005, 3_999_998)])


def test_moving_orthophotos_have_a_map_of_each_image(tmp_path: Path) -> None:
    for number in range(3):
        write_geotiff(tmp_path / f"{number}.tif", 660_000 + 100 * number, 4_000_000)

    reference = make_source_reference(open_source(tmp_path))

    assert reference is not None and reference.num_frames == 3
    for number in (0, 2, 1):
        located = reference.locate([[10, 4]], number)
        np.testing.assert_allclose(located, [from_utm(660_005 + 100 * number, 3_999_998)])
    assert "each of 3 images" in reference.description


def test_folder_with_a_world_file_and_without(tmp_path: Path) -> None:
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((20, 30), np.uint8))
    source = open_source(tmp_path)
    assert make_source_reference(source) is None

    (tmp_path / "1.pgw").write_text("0.5\n0\n0\n-0.5\n660000.25\n3999999.75\n")
    (tmp_path / "1.prj").write_text("EPSG:32611")

    reference = make_source_reference(open_source(tmp_path))
    assert reference is not None
    np.testing.assert_allclose(reference.locate([[0, 0]], 1), [from_utm(660_000, 4_000_000)])
