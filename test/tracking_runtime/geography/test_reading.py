"""References from YAML, world files and images, and files that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.errors import TrackingError
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.geography.reading import read_reference
from tracking_runtime.geography.reference import check_image_size

PLANE = LocalPlane(36.2, -115.1)
SIZE = (1000, 800)
GROUND_PER_PIXEL_M = 0.5


def to_ground(pixels: object) -> np.ndarray:
    """Return east, north of pixels of an image from straight above whose center is the origin of PLANE."""
    offsets = np.asarray(pixels, float).reshape(-1, 2) - np.array(SIZE) / 2
    return offsets * [GROUND_PER_PIXEL_M, -GROUND_PER_PIXEL_M]


def to_geographic(pixels: object) -> np.ndarray:
    return PLANE.to_geographic(to_ground(pixels))


def describe_position(pixel: tuple[float, float]) -> dict[str, float]:
    ((latitude, longitude),) = to_geographic([pixel])
    return {"latitude": float(latitude), "longitude": float(longitude)}


def make_corners() -> dict[str, object]:
    width, height = SIZE
    pixels = {
        "top_left": (0, 0),
        "top_right": (width, 0),
        "bottom_right": (width, height),
        "bottom_left": (0, height),
    }
    return {"size": list(SIZE), "corners": {name: describe_position(p) for name, p in pixels.items()}}


def make_points(*pixels: tuple[float, float]) -> dict[str, object]:
    return {"points": [{"pixel": list(pixel), **describe_position(pixel)} for pixel in pixels]}


GRID = [(x, y) for x in (100.0, 500.0, 900.0) for y in (100.0, 400.0, 700.0)]
PROBES = np.random.default_rng(0).uniform(0, 1, (30, 2)) * SIZE


@pytest.fixture
def write(tmp_path: Path):
    def write_yaml(content: object, name: str = "geography.yaml") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write_yaml


@pytest.mark.parametrize("content", [make_corners(), make_points(*GRID)])
def test_yaml_locates_pixels_where_the_camera_saw_them(write, content: dict[str, object]) -> None:
    reference = read_reference(write(content))

    located = PLANE.from_geographic(reference.locate(PROBES))

    np.testing.assert_allclose(located, to_ground(PROBES), atol=1e-3)


def test_points_in_utm_equal_points_in_degrees(write) -> None:
    pyproj = pytest.importorskip("pyproj")
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32611", always_xy=True)
    points = []
    for pixel in GRID:
        ((latitude, longitude),) = to_geographic([pixel])
        x, y = to_utm.transform(longitude, latitude)
        points.append({"pixel": list(pixel), "x": x, "y": y})

    reference = read_reference(write({"crs": "EPSG:32611", "points": points}))

    np.testing.assert_allclose(PLANE.from_geographic(reference.locate(PROBES)), to_ground(PROBES), atol=1e-3)


def test_residuals_and_extrapolation_are_told(write) -> None:
    content = make_points(*GRID)
    content["points"][4]["pixel"][0] += 3

    reference = read_reference(write(content))

    assert "9 control points, residual" in reference.description
    assert "the worst is point 5" in reference.description
    is_extrapolated = reference.find_extrapolated([(500, 400), (100, 100), (95, 400), (500, 790)])
    assert is_extrapolated.tolist() == [False, False, True, True]


def test_images_of_another_size_are_refused(write) -> None:
    reference = read_reference(write({**make_points(*GRID), "size": [1000, 800]}))
    unknown = read_reference(write(make_points(*GRID)))

    check_image_size(reference, (1000, 800))
    check_image_size(unknown, (500, 400))
    with pytest.raises(GeographyError, match="got 1000 x 800, expected 500 x 400"):
        check_image_size(reference, (500, 400))


def test_four_points_tell_that_accuracy_is_unknown(write) -> None:
    assert "accuracy is unknown" in read_reference(write(make_corners())).description


def test_frames_are_stabilized_to_the_first(write) -> None:
    shift = np.array([[1, 0, 12.5], [0, 1, -7], [0, 0, 1.0]])  # pixel of frame 2 to pixel of frame 1
    rows = [np.eye(3), shift]
    write("\n".join(",".join(map(str, matrix.ravel())) for matrix in rows), "to_first.csv")
    reference = read_reference(write({**make_corners(), "stabilization": "to_first.csv"}))

    first, second = reference.locate([(500, 400)], 0), reference.locate([(500 - 12.5, 400 + 7)], 1)

    np.testing.assert_allclose(first, second, atol=1e-12)
    assert "2 frames stabilized" in reference.description
    with pytest.raises(GeographyError, match="tracks reach frame 3"):
        reference.locate([(0, 0)], 2)


@pytest.mark.parametrize("scale", [1.0, -2.0])
def test_homography_of_each_frame_gives_degrees(write, scale: float) -> None:
    matrices = [np.array([[1e-5, 0, -115], [0, -1e-5, 36 + k], [0, 0, 1]]) * scale for k in range(2)]
    write("\n".join(" ".join(map(repr, matrix.ravel().tolist())) for matrix in matrices), "h.txt")

    reference = read_reference(write({"homographies": "h.txt"}))

    np.testing.assert_allclose(reference.locate([(1000, 2000)], 1), [[36.98, -114.99]])


def test_transform_needs_no_pyproj_in_degrees(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyproj", None)
    path = write({"transform": [1e-5, 0, -115, 0, -1e-5, 36]})

    reference = read_reference(path)

    np.testing.assert_allclose(reference.locate([(100, 200)]), [[35.998, -114.999]])
    with pytest.raises(GeographyError, match=r"pip install 'remote_sensing_tracking\[geography\]'"):
        read_reference(write({"transform": [1, 0, 5e5, 0, -1, 4e6], "crs": "EPSG:32611"}))


def test_numbers_with_an_exponent_but_no_point_are_read(write) -> None:
    path = write("transform: [1e-5, 0, 11, 0, -1E-5, 4.8e+1]\n")  # YAML takes 1e-5 for text

    reference = read_reference(path)

    np.testing.assert_allclose(reference.locate([(100, 200)]), [[47.998, 11.001]])


def test_world_file_beside_an_image_and_by_itself(write, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "frame.png"), np.zeros((20, 30), np.uint8))
    world_file = write("0.5\n0\n0\n-0.5\n600000.25\n4000000.75\n", "frame.pgw")
    pyproj = pytest.importorskip("pyproj")
    write(pyproj.CRS("EPSG:32611").to_wkt("WKT1_ESRI"), "frame.prj")
    longitude, latitude = pyproj.Transformer.from_crs(32611, 4326, always_xy=True).transform(600000, 4000001)

    for path in (tmp_path / "frame.png", world_file):
        np.testing.assert_allclose(read_reference(path).locate([(0, 0)]), [[latitude, longitude]])
    linked = read_reference(write({"world_file": "frame.pgw", "crs": "EPSG:32611"}))
    np.testing.assert_allclose(linked.locate([(0, 0)]), [[latitude, longitude]])


def test_world_file_without_crs_is_refused(write) -> None:
    path = write("0.5\n0\n0\n-0.5\n600000.25\n4000000.75\n", "frame.wld")

    with pytest.raises(GeographyError, match="coordinate reference system must be known"):
        read_reference(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "exactly one of the keys"),
        ([1, 2], "must contain keys and values"),
        ("a: [", "not a YAML file"),
        ({**make_corners(), "points": []}, "got corners and points"),
        ({"corner": 1}, "unknown key 'corner'"),
        ({"corners": make_corners()["corners"]}, "size"),
        ({**make_corners(), "size": [0, 5]}, "size must be positive"),
        ({**make_corners(), "size": [99.5, 5]}, "size must be positive whole"),
        ({**make_corners(), "crs": 4326}, "crs must be text"),
        ({**make_corners(), "crs": "EPSG:32611"}, "must have the keys x and y"),
        (make_points(*GRID[:3]), "at least 4 control points are needed: got 3"),
        ({"points": []}, "at least 4 control points are needed"),
        ({"points": [{"pixel": [0, 0], "latitude": 1}]}, "must have the keys latitude and longitude"),
        ({"points": [{"pixel": [0], "latitude": 1, "longitude": 2}]}, "pixel"),
        ({"points": [{"pixel": [0, True], "latitude": 1, "longitude": 2}]}, "must be 2 numbers"),
        (
            {"points": [{"pixel": [0, 0], "latitude": -115, "longitude": 36}] * 4},
            "check the order of the two",
        ),
        (
            {"points": [{"pixel": [0, 0], "latitude": 10**400, "longitude": 36}]},
            "a number has 401 characters",
        ),
        ({"points": [{"pixel": [0, 0], "latitude": float("inf"), "longitude": 36}]}, "must be finite"),
        (make_points((0, 0), (1, 1), (2, 2), (3, 3)), "on one line"),
        ({"transform": [1, 0, 0, 1, 0, 0]}, "invertible"),
        ({"transform": [1, 0, 500, 0, -1, 500]}, "latitude must be"),
        ({"transform": [1, 0, 0, 0, -1, 0], "crs": "EPSG:nonsense"}, "crs must be"),
        ({"homographies": "absent.csv"}, "does not exist"),
        ({"homographies": "../secret.csv"}, "must be a path inside"),
        ({"homographies": "/etc/passwd"}, "must be a path inside"),
        ({"homographies": 5}, "must be the name of a file"),
    ],
)
def test_useless_yaml_is_refused_with_the_reason(write, content: object, reason: str) -> None:
    with pytest.raises(TrackingError, match=reason):
        read_reference(write(content))


def test_mirrored_corners_are_refused(write) -> None:
    content = make_corners()
    corners = content["corners"]
    corners["top_left"], corners["top_right"] = corners["top_right"], corners["top_left"]
    corners["bottom_left"], corners["bottom_right"] = corners["bottom_right"], corners["bottom_left"]

    with pytest.raises(GeographyError, match="mirrored"):
        read_reference(write(content))


@pytest.mark.parametrize("text", ["1 2 3", "1 2 3 4 5 6 7 8 x", "0 0 0 0 0 0 0 0 0", "1 0 0 0 1 0 0 0 nan"])
def test_useless_homographies_are_refused_by_line(write, text: str) -> None:
    write(f"1 0 0 0 1 0 0 0 1\n{text}\n", "h.txt")

    with pytest.raises(TrackingError, match=r"h\.txt:2"):
        read_reference(write({"homographies": "h.txt"}))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GeographyError, match=r"absent\.yaml must be a file"):
        read_reference(tmp_path / "absent.yaml")


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = (
    "corners",
    "points",
    "homographies",
    "transform",
    "world_file",
    "raster",
    "crs",
    "size",
    "stabilization",
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=4))
def test_any_yaml_gives_a_reference_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: dict
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(content))

    try:
        reference = read_reference(path)
    except TrackingError:
        return
    assert reference.description
