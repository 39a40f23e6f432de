"""Affine maps from pixels to the Earth: exact positions, world files and their errors."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io.georeference import GeoReference, find_georeference, read_world_file

NORTH_UP = GeoReference(((10.0, 0.0, 399960.0), (0.0, -10.0, 4700040.0)), "EPSG:32633")


def test_georeference_first_corner_and_center_are_exact():
    positions = NORTH_UP.to_map([[0, 0], [0.5, 0.5], [100, 20]])

    np.testing.assert_allclose(positions, [[399960, 4700040], [399965, 4700035], [400960, 4699840]])


@given(
    st.floats(0.01, 100),
    st.floats(-4, 4),
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
    st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
)
def test_georeference_to_pixels_inverts_to_map(scale, angle, offset, pixel):
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    georeference = GeoReference(((cosine, sine, offset[0]), (sine, -cosine, offset[1])))

    np.testing.assert_allclose(georeference.to_pixels(georeference.to_map(pixel)), pixel, atol=1e-4)


@pytest.mark.parametrize(
    "transform", [((1, 0, 0), (2, 0, 0)), ((1, 0, float("nan")), (0, 1, 0)), ((1, 0), (0, 1))]
)
def test_georeference_invalid_transform_is_an_error(transform):
    with pytest.raises(ValueError, match="transform must be"):
        GeoReference(transform)


@pytest.mark.parametrize("name", ["a.tfw", "a.tifw", "a.wld", "a.TFW"])
def test_find_georeference_reads_world_file_and_projection(tmp_path, name):
    # World files give the center of the first pixel.
    (tmp_path / name).write_text("10.0\n0.0\n0.0\n-10.0\n399965.0\n4700035.0\n")
    (tmp_path / "a.prj").write_text("PROJCS[...]\n")

    georeference = find_georeference(tmp_path / "a.tif")

    assert georeference == GeoReference(NORTH_UP.transform, "PROJCS[...]")


@pytest.mark.parametrize("text", ["\ufeff2\n0\n0\n-2\n11\n19\n", "2,0\r\n0\r\n0\r\n-2,0\r\n11,0\r\n19,0\r\n"])
def test_read_world_file_of_windows_programs_is_read(tmp_path, text):
    path = tmp_path / "a.jgw"
    path.write_bytes(text.encode())

    assert read_world_file(path).transform == ((2.0, 0.0, 10.0), (0.0, -2.0, 20.0))


def test_find_georeference_without_world_file_is_none(tmp_path):
    assert find_georeference(tmp_path / "a.png") is None


@given(st.binary(max_size=60))
def test_read_world_file_any_bytes_give_a_map_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("world") / "a.wld"
    path.write_bytes(content)

    with suppress(SourceError):
        read_world_file(path)


def test_read_world_file_of_words_names_the_file(tmp_path):
    (tmp_path / "a.wld").write_text("not a world file")

    with pytest.raises(SourceError, match=r"a\.wld is not a world file"):
        read_world_file(tmp_path / "a.wld")
