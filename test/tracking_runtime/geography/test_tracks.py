"""Positions, speeds and headings of movers that an exact simulated camera sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tracking_runtime.boxes import ScoredBoxes, as_boxes
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.geography.reading import read_reference
from tracking_runtime.geography.tracks import locate_tracks

PLANE = LocalPlane(47.26, 11.39)
SIZE = np.array([1280.0, 720.0])
RATE_HZ = 10.0
NUM_FRAMES = 40
START_NS = 1_700_000_000 * 10**9
STAMPS_NS = START_NS + (np.arange(NUM_FRAMES) / RATE_HZ * 1e9).astype(np.int64)


class Camera:
    """A pinhole camera above flat ground. It looks down by a pitch and drifts to the east."""

    def __init__(self, pitch_deg: float, height_m: float, focal_px: float, drift_m_s: float = 0.0) -> None:
        pitch = np.radians(pitch_deg)
        forward = np.array([0, np.cos(pitch), -np.sin(pitch)])
        right = np.array([1.0, 0, 0])
        self._rotation = np.stack([right, np.cross(forward, right), forward])
        self._intrinsics = np.array([[focal_px, 0, SIZE[0] / 2], [0, focal_px, SIZE[1] / 2], [0, 0, 1]])
        self._height_m = height_m
        self._drift_m_s = drift_m_s

    def project(self, ground: np.ndarray, frame: int = 0) -> np.ndarray:
        """Return the pixels of points on the ground, by rotation and division, without a homography."""
        position = np.array([self._drift_m_s * frame / RATE_HZ, 0, self._height_m])
        points = np.column_stack([ground, np.zeros(len(ground))]) - position
        in_camera = points @ self._rotation.T @ self._intrinsics.T
        return in_camera[:, :2] / in_camera[:, 2:]

    def find_ground(self, pixels: np.ndarray) -> np.ndarray:
        """Return the ground points of pixels in the first frame."""
        rays = (
            np.column_stack([pixels, np.ones(len(pixels))])
            @ np.linalg.inv(self._intrinsics).T
            @ self._rotation
        )
        return rays[:, :2] * (-self._height_m / rays[:, 2:])


NADIR = Camera(90, 800, 1500)
OBLIQUE = Camera(35, 120, 900)


def make_movers(camera: Camera, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return start, (n, 2), and velocity, (n, 2), of movers that stay in the middle of the image."""
    rng = np.random.default_rng(7)
    start = camera.find_ground(rng.uniform(0.3, 0.7, (count, 2)) * SIZE)
    headings = rng.uniform(0, 2 * np.pi, count)
    speeds = rng.uniform(1, 6, count)
    return start, speeds[:, None] * np.stack([np.sin(headings), np.cos(headings)], axis=1)


def film(camera: Camera, start: np.ndarray, velocities: np.ndarray) -> list[ScoredBoxes]:
    frames = []
    for frame in range(NUM_FRAMES):
        centers = camera.project(start + velocities * frame / RATE_HZ, frame)
        boxes = as_boxes(np.concatenate([centers - [4, 3], np.full((len(start), 2), [8, 6])], axis=1))
        count = len(start)
        frames.append(ScoredBoxes(np.arange(1, count + 1), boxes, np.ones(count), np.zeros(count, np.int64)))
    return frames


def write_points(camera: Camera, path: Path, noise_px: float) -> Path:
    rng = np.random.default_rng(8)
    pixels = np.array([(x, y) for x in (0.05, 0.35, 0.65, 0.95) for y in (0.1, 0.5, 0.9)]) * SIZE
    coordinates = PLANE.to_geographic(camera.find_ground(pixels))
    noisy = pixels + rng.normal(0, noise_px, pixels.shape)
    points = [
        {"pixel": pixel.tolist(), "latitude": float(lat), "longitude": float(lon)}
        for pixel, (lat, lon) in zip(noisy, coordinates, strict=True)
    ]
    path.write_text(yaml.safe_dump({"points": points}))
    return path


@pytest.mark.parametrize("camera", [NADIR, OBLIQUE], ids=["nadir", "oblique"])
@pytest.mark.parametrize(("noise_px", "tolerance_px"), [(0.0, 1e-3), (0.3, 0.5)])
def test_movers_are_within_half_a_pixel_of_truth(
    camera: Camera, noise_px: float, tolerance_px: float, tmp_path: Path
) -> None:
    reference = read_reference(write_points(camera, tmp_path / "points.yaml", noise_px))
    start, velocities = make_movers(camera)

    tracks = locate_tracks(film(camera, start, velocities), reference, STAMPS_NS)

    seen = camera.project(PLANE.from_geographic(tracks.coordinates))
    movers = start[tracks.ids - 1] + velocities[tracks.ids - 1] * tracks.frame_indices[:, None] / RATE_HZ
    error_px = np.linalg.norm(seen - camera.project(movers), axis=1)
    assert error_px.max() < tolerance_px
    np.testing.assert_allclose(
        tracks.speeds_m_s, np.linalg.norm(velocities, axis=1)[tracks.ids - 1], rtol=0.02
    )
    expected = np.degrees(np.arctan2(*velocities.T))[tracks.ids - 1]
    assert np.nanmax(np.abs((tracks.headings_deg - expected + 180) % 360 - 180)) < 2.0
    assert not tracks.is_extrapolated.any()


def test_drifting_camera_is_stabilized_to_the_first_frame(tmp_path: Path) -> None:
    camera = Camera(60, 300, 1000, drift_m_s=8)
    path = write_points(camera, tmp_path / "points.yaml", 0.0)
    rows = []
    for frame in range(NUM_FRAMES):
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * SIZE
        ground = camera.find_ground(corners) + np.array([camera._drift_m_s * frame / RATE_HZ, 0])
        first = camera.project(ground)
        unknowns = []
        for (x, y), (u, v) in zip(corners, first, strict=True):
            unknowns += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
        rows.append(np.linalg.svd(np.array(unknowns))[2][-1])
    (tmp_path / "to_first.csv").write_text("\n".join(",".join(map(repr, row.tolist())) for row in rows))
    path.write_text(path.read_text() + "stabilization: to_first.csv\n")
    start, velocities = make_movers(camera)

    tracks = locate_tracks(film(camera, start, velocities), read_reference(path), STAMPS_NS)

    movers = start[tracks.ids - 1] + velocities[tracks.ids - 1] * tracks.frame_indices[:, None] / RATE_HZ
    np.testing.assert_allclose(PLANE.from_geographic(tracks.coordinates), movers, atol=1e-3)


def test_bottom_anchor_is_the_lower_edge_of_the_box(tmp_path: Path) -> None:
    reference = read_reference(write_points(OBLIQUE, tmp_path / "points.yaml", 0.0))
    box = ScoredBoxes(np.array([1]), as_boxes([[600, 300, 20, 40]]), np.ones(1), np.zeros(1, np.int64))

    tracks = locate_tracks([box], reference, [0], anchor="bottom")

    expected = OBLIQUE.find_ground(np.array([[610.0, 340.0]]))
    np.testing.assert_allclose(PLANE.from_geographic(tracks.coordinates), expected, atol=1e-3)


def test_boxes_above_the_horizon_have_no_position(tmp_path: Path) -> None:
    camera = Camera(10, 50, 900)
    pixels = np.array([[100, 400], [1200, 420], [1100, 700], [60, 690], [640, 500.0]])
    points = [
        {"pixel": pixel.tolist(), "latitude": float(lat), "longitude": float(lon)}
        for pixel, (lat, lon) in zip(pixels, PLANE.to_geographic(camera.find_ground(pixels)), strict=True)
    ]
    path = tmp_path / "points.yaml"
    path.write_text(yaml.safe_dump({"points": points}))
    boxes = as_boxes([[600, 100, 10, 10], [600, 500, 10, 10], [600, 300, 10, 10]])
    frame = ScoredBoxes(np.array([1, 2, 3]), boxes, np.ones(3), np.zeros(3, np.int64))
    reference = read_reference(path)

    tracks = locate_tracks([frame], reference, [0])

    assert tracks.is_located.tolist() == [False, True, True]
    assert tracks.is_extrapolated.tolist() == [True, False, True]
    sky = ScoredBoxes(np.array([1]), boxes[:1], np.ones(1), np.zeros(1, np.int64))
    with pytest.raises(GeographyError, match="no box is on the ground"):
        locate_tracks([sky], reference, [0])


def test_stamps_that_go_back_are_refused(tmp_path: Path) -> None:
    reference = read_reference(write_points(NADIR, tmp_path / "points.yaml", 0.0))

    with pytest.raises(GeographyError, match="stamps must ascend"):
        locate_tracks([ScoredBoxes.none()] * 2, reference, [1, 0])
    with pytest.raises(GeographyError, match="stamps must ascend"):
        locate_tracks([ScoredBoxes.none()] * 2, reference, [1])


def test_video_without_boxes_has_no_tracks(tmp_path: Path) -> None:
    reference = read_reference(write_points(NADIR, tmp_path / "points.yaml", 0.0))

    tracks = locate_tracks([ScoredBoxes.none()] * 2, reference, [0, 1])

    assert len(tracks) == 0
    assert list(tracks.split()) == []
