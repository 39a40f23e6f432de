"""Tests of the benchmark's videos from real cubes."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from hsi_tracker_ros.benchmark.base import BenchmarkSettingsError
from hsi_tracker_ros.benchmark.cube_videos import CubeVideo, find_cubes, make_cube_videos
from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic
from tracking_runtime.errors import SourceError


def make_cube(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 200, (8, 10, 16)).astype(np.float32)
    fine: np.ndarray = cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_LINEAR)
    return fine.astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a cube, a folder of bands, mosaics with references, and files that are no cubes."""
    (tmp_path / "bands").mkdir()
    (tmp_path / "raw").mkdir()
    tifffile.imwrite(tmp_path / "cube.tif", make_cube())
    for band in range(9):
        smooth = cv2.GaussianBlur(make_cube(1)[..., band], (0, 0), 2)
        cv2.imwrite(str(tmp_path / "bands" / f"{band}.png"), smooth)
    for name in ("scene", "dark_field", "flat_field"):
        gained = (make_cube(2) * np.linspace(0.3, 1, 16)).astype(np.uint8)
        mosaic = convert_cube_to_mosaic(gained, find_camera_preset("vis16"))
        cv2.imwrite(str(tmp_path / "raw" / f"{name}.png"), mosaic)
    (tmp_path / "notes.txt").write_text("no cube")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / ".hidden.tif").write_bytes((tmp_path / "cube.tif").read_bytes())
    return tmp_path


def test_cubes_of_a_folder_are_found(folder: Path) -> None:
    assert find_cubes(folder) == [folder / "cube.tif", folder / "bands", folder / "raw" / "scene.png"]
    assert find_cubes(folder / "cube.tif") == [folder / "cube.tif"]


def test_place_without_cubes_is_named(folder: Path) -> None:
    empty = folder / "empty"
    empty.mkdir()

    with pytest.raises(SourceError, match="empty must contain a cube"):
        find_cubes(empty)
    with pytest.raises(SourceError, match=r"broken\.npz"):
        find_cubes(folder / "broken.npz")


def test_each_cube_gives_videos_of_each_kind(folder: Path) -> None:
    videos = make_cube_videos([folder / "cube.tif"], 2, 30)

    assert [video.name for video in videos] == [
        "cube-distinct-0",
        "cube-distinct-1",
        "cube-camouflage-0",
        "cube-camouflage-1",
        "cube-look-alikes-0",
        "cube-look-alikes-1",
    ]
    assert videos[2].attributes == ("camouflage",)
    assert all(len(video) == 30 for video in videos)


def test_cubes_of_equal_names_are_refused(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    tifffile.imwrite(other / "cube.tif", make_cube(3))

    with pytest.raises(BenchmarkSettingsError, match="got several of cube"):
        make_cube_videos([folder / "cube.tif", other], 1, 5)


def test_truth_is_that_of_the_frames(folder: Path) -> None:
    video = CubeVideo(folder / "cube.tif", "look-alikes", frames=6)

    copy = pickle.loads(pickle.dumps(video))

    for frame, truth, other in zip(video, video.truth, copy, strict=True):
        assert truth is not None
        assert frame.truth is not None
        np.testing.assert_array_equal(frame.truth.boxes, truth.boxes)
        np.testing.assert_array_equal(frame.image, other.image)
    assert len(video.spectral_info.wavelengths_nm) == 16


def test_array_of_unclear_shape_has_its_bands_last(tmp_path: Path) -> None:
    np.savez(tmp_path / "scene.npz", cube=np.random.default_rng(0).integers(0, 255, (40, 50, 150), np.uint8))

    assert find_cubes(tmp_path) == [tmp_path / "scene.npz"]
    assert next(iter(CubeVideo(tmp_path / "scene.npz", "camouflage", frames=1))).image.shape[2] == 150
