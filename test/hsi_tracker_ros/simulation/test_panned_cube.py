from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic
from hsi_tracker_ros.simulation import PannedCube
from tracking_runtime.errors import SourceError

SHARED = Path(__file__).parents[4] / "shared" / "data" / "hyperspectral"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data at {SHARED}")


@pytest.fixture
def cube() -> np.ndarray:
    """A cube in which every pixel is unlike every other."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(20, 200, (12, 16, 16)).astype(np.float32)
    fine = cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_LINEAR) * np.linspace(0.5, 1, 16)
    return (fine + rng.uniform(0, 20, fine.shape)).astype(np.uint8)


@pytest.fixture
def cube_file(cube: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "cube.tif"
    tifffile.imwrite(path, cube)
    return path


def outside(shape: tuple[int, ...], box: np.ndarray, rim: int = 3) -> np.ndarray:
    mask = np.ones(shape[:2], bool)
    x, y, w, h = box.astype(int)
    mask[max(y - rim, 0) : y + h + rim, max(x - rim, 0) : x + w + rim] = False
    return mask


@pytest.mark.parametrize("seed", range(4))
def test_samples_outside_target_are_real(cube: np.ndarray, cube_file: Path, seed: int) -> None:
    source = PannedCube(cube_file, seed=seed, frames=30)
    windows = set()
    for frame in source:
        assert frame.encoding == "8UC16"
        height, width = frame.image.shape[:2]
        real = outside(frame.image.shape, frame.truth.boxes[0])
        row, column = np.argwhere(real)[0]
        starts = np.argwhere((cube == frame.image[row, column]).all(axis=2)) - (row, column)
        places = [
            (top, left)
            for top, left in starts.tolist()
            if cube[top : top + height, left : left + width].shape == frame.image.shape
            and (cube[top : top + height, left : left + width][real] == frame.image[real]).all()
        ]
        assert len(places) == 1
        windows.add(places[0])
    assert len(windows) > 5


def test_target_moves_inside_the_window(cube_file: Path) -> None:
    boxes = np.concatenate([frame.truth.boxes for frame in PannedCube(cube_file, seed=2, frames=80)])
    assert len(boxes) == 80
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= 96).all()
    assert np.ptp(boxes[:, 0]) + np.ptp(boxes[:, 1]) > 10


def test_raw_mosaic_stays_a_mosaic(cube: np.ndarray, cube_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "raw.png"
    cv2.imwrite(str(path), convert_cube_to_mosaic(cube, find_camera_preset("vis16")))
    raw, whole = PannedCube(path, seed=1, frames=5), PannedCube(cube_file, seed=1, frames=5)
    assert raw.spectral_info.mosaic == (4, 4)
    for a, b in zip(raw, whole, strict=True):
        assert a.encoding == "mono8"
        np.testing.assert_array_equal(Decoder(raw.spectral_info).decode(a.image, a.encoding), b.image)
        np.testing.assert_array_equal(a.truth.boxes, b.truth.boxes)


def test_16_bit_cubes_stay_16_bit(cube: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, cube.astype(np.uint16) * 4)
    source = PannedCube(path, frames=2)
    frame = next(iter(source))
    assert frame.encoding == "16UC16"
    assert frame.image.dtype == np.uint16
    assert source.spectral_info.bit_depth == 10


def test_camera_file_gives_the_bands(cube: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "seven.tif", cube[..., :7])
    (tmp_path / "camera.yaml").write_text("wavelengths_nm: [450, 480, 510, 540, 570, 600, 630]")
    source = PannedCube(tmp_path / "seven.tif", frames=1, camera=str(tmp_path / "camera.yaml"))
    assert source.spectral_info.wavelengths_nm[-1] == 630
    with pytest.raises(SourceError, match="7 bands"):
        PannedCube(tmp_path / "seven.tif")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.tif", None, "none.tif"),
        ("a.tif", b"II", "is not a TIFF that can be read"),
        ("a.png", b"PNG", "is not an image that can be read"),
    ],
)
def test_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=reason):
        PannedCube(tmp_path / name)


def test_photograph_is_not_a_mosaic(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(
        np.random.default_rng(0).uniform(0, 255, (240, 320)).astype(np.float32), (0, 0), 3
    )
    cv2.imwrite(str(tmp_path / "gray.png"), smooth.astype(np.uint8))
    with pytest.raises(SourceError, match="mosaic=3x3"):
        PannedCube(tmp_path / "gray.png")


def test_wrong_mosaic_is_refused(cube: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "raw.png"
    cv2.imwrite(str(path), convert_cube_to_mosaic(cube, find_camera_preset("vis16")))
    with pytest.raises(SourceError, match="3 rows"):
        PannedCube(path, mosaic="3 rows")
    with pytest.raises(SourceError, match="5x5"):
        PannedCube(path, camera="vis16", mosaic="5x5")


@needs_shared
@pytest.mark.parametrize(("name", "bands"), [("vis_16band_256x512.tif", 16), ("nir_25band.tif", 25)])
def test_real_cube_is_panned(name: str, bands: int) -> None:
    source = PannedCube(SHARED / name, seed=3, frames=3)
    for frame in source:
        assert frame.image.shape[2] == bands
        assert len(frame.truth.boxes) == 1


@needs_shared
@pytest.mark.parametrize("scene", [1, 2, 3, 4])
def test_pattern_of_real_mosaic_is_found(scene: int) -> None:
    source = PannedCube(SHARED / "cms_v_mosaic" / f"scene_{scene}.png", frames=2)
    assert source.spectral_info.mosaic == (3, 3)
    frame = next(iter(source))
    assert frame.encoding == "mono8"
    cube = Decoder(source.spectral_info).decode(frame.image, frame.encoding)
    assert cube.shape[2] == 9


def test_envi_cube_is_panned_with_its_own_bands(cube: np.ndarray, tmp_path: Path) -> None:
    wavelengths = np.linspace(401, 1001, 16)
    (tmp_path / "cube.hdr").write_text(
        "ENVI\nsamples = 128\nlines = 96\nbands = 16\ndata type = 1\ninterleave = bip\n"
        f"wavelength units = nm\nwavelength = {{{', '.join(map(str, wavelengths))}}}\n"
    )
    cube.tofile(tmp_path / "cube.raw")

    source = PannedCube(tmp_path / "cube.hdr", frames=2)

    assert source.spectral_info.wavelengths_nm == pytest.approx(tuple(wavelengths))
    assert next(iter(source)).encoding == "8UC16"


def test_binned_mosaic_of_a_camera_file_is_refused(cube: np.ndarray, tmp_path: Path) -> None:
    camera = tmp_path / "camera.yaml"
    wavelengths = list(find_camera_preset("vis16").wavelengths_nm)
    camera.write_text(f"wavelengths_nm: {wavelengths}\nmosaic: [4, 4]\nsensor_size: [1024, 768]\n")
    path = tmp_path / "raw.png"
    cv2.imwrite(str(path), convert_cube_to_mosaic(cube, find_camera_preset("vis16")))

    with pytest.raises(SourceError, match=r"raw\.png: .* turn binning off"):
        PannedCube(path, camera=str(camera))


@pytest.mark.parametrize("kind", ["camouflage", "look-alikes"])
def test_target_has_spectra_that_no_window_shows(cube: np.ndarray, tmp_path: Path, kind: str) -> None:
    outside_spectrum = np.array([90, 30] * 8, np.uint8)
    cube[:, 85:] = outside_spectrum
    path = tmp_path / "cube.npy"
    np.save(path, cube)

    for frame in PannedCube(path, seed=5, frames=12, target=kind):
        x, y, width, height = frame.truth.boxes[0]
        center = frame.image[int(y + height / 2), int(x + width / 2)].astype(float)
        np.testing.assert_allclose(center[::2] / center[1::2], 3, rtol=0.1)
        real = frame.image[outside(frame.image.shape, frame.truth.boxes[0])].astype(float)
        assert (real[:, 0] / real[:, 1] < 2).mean() > 0.8


def test_look_alikes_are_drawn_behind_the_target(cube_file: Path) -> None:
    alone = PannedCube(cube_file, seed=4, frames=40, target="camouflage")
    among = PannedCube(cube_file, seed=4, frames=40, target="look-alikes")

    changed_frames = 0
    for one, other in zip(alone, among, strict=True):
        np.testing.assert_array_equal(one.truth.boxes, other.truth.boxes)
        x, y, width, height = one.truth.boxes[0]
        row, column = int(y + height / 2), int(x + width / 2)
        np.testing.assert_array_equal(one.image[row, column], other.image[row, column])
        changed_frames += not np.array_equal(one.image, other.image)
    assert changed_frames > 20


def test_unknown_kind_of_target_is_refused(cube_file: Path) -> None:
    with pytest.raises(SourceError, match="distinct, camouflage, look-alikes: got hidden"):
        PannedCube(cube_file, target="hidden")


def test_cube_too_small_for_camouflage_is_named(cube: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "small.npy"
    np.save(path, cube[:20])

    with pytest.raises(SourceError, match=r"small\.npy must have at least 24 pixels"):
        PannedCube(path, target="camouflage")


def test_folder_of_band_images_is_one_cube(cube: np.ndarray, cube_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bands"
    folder.mkdir()
    for band in range(16):
        cv2.imwrite(str(folder / f"{band:02}.png"), cube[..., band])

    source, whole = PannedCube(folder, seed=2, frames=3), PannedCube(cube_file, seed=2, frames=3)

    for a, b in zip(source, whole, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_bands_of_unknown_camera_are_assumed(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).integers(0, 255, (40, 50, 150), np.uint8)
    np.save(tmp_path / "many.npy", cube)

    source = PannedCube(tmp_path / "many.npy", frames=2, target="look-alikes", assume_bands=True, axes="yxc")

    assert next(iter(source)).image.shape[2] == 150
    assert source.spectral_info.wavelengths_nm[0] == 400
    assert source.spectral_info.wavelengths_nm[-1] == 1000


def test_axes_of_an_unclear_array_can_be_given(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).integers(0, 255, (40, 50, 150), np.uint8))

    with pytest.raises(SourceError, match="axes"):
        PannedCube(tmp_path / "cube.npy", assume_bands=True)
    source = PannedCube(tmp_path / "cube.npy", frames=1, assume_bands=True, axes="yxc")

    assert next(iter(source)).image.shape[2] == 150
