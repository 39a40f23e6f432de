"""Cubes as a camera: folders as video, bands by option, ground truth, and odd folders."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
import tifffile

from tracking_runtime.errors import SourceError
from tracking_runtime.io.cube_source import CubeSource
from tracking_runtime.io.image_folder import ImageFolderSource
from tracking_runtime.io.sources import open_source

CUBES = np.random.default_rng(5).integers(0, 4000, (12, 6, 7, 4)).astype(np.uint16)


def write_envi(path, cube, fields=""):
    height, width, bands = cube.shape
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {bands}\ndata type = 12\n"
        f"interleave = bip\n{fields}"
    )
    path.write_bytes(cube.astype("<u2").tobytes())


WRITERS = {
    ".npy": np.save,
    ".mat": lambda path, cube: pytest.importorskip("scipy.io").savemat(path, {"cube": cube}),
    ".raw": lambda path, cube: write_envi(path, cube, "wavelength = {450, 550, 650, 750}\n"),
    ".tif": lambda path, cube: tifffile.imwrite(path, cube, photometric="minisblack", planarconfig="contig"),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_folder_of_cubes_is_a_video_in_natural_order(tmp_path, suffix):
    for number, cube in enumerate(CUBES, start=1):
        WRITERS[suffix](tmp_path / f"cube{number}{suffix}", cube)
    (tmp_path / f"._cube3{suffix}").write_bytes(b"hidden")
    (tmp_path / "gt.txt").write_text("".join(f"{number},1,{number},2,3,3,1,1\n" for number in range(1, 13)))

    source = open_source(f"{tmp_path}?rate=5")
    frames = list(source)

    assert (len(source), source.rate_hz, source.name) == (12, 5.0, tmp_path.name)
    np.testing.assert_array_equal([frame.image for frame in frames], CUBES)
    assert [frame.stamp_ns for frame in frames[:2]] == [200_000_000, 400_000_000]
    np.testing.assert_array_equal([frame.truth.boxes[0, 0] for frame in frames], np.arange(1, 13))
    if suffix == ".raw":
        assert source.spectral_info.wavelengths_nm == (450.0, 550.0, 650.0, 750.0)


def test_folder_of_cubes_pairs_truth_by_the_numbers_of_files(tmp_path):
    for number in (1, 2, 4):
        np.save(tmp_path / f"{number:06d}.npy", CUBES[number])
    (tmp_path / "gt.txt").write_text("".join(f"{number},1,{number},2,3,3,1,1\n" for number in (1, 2, 4)))

    truth = CubeSource(tmp_path).truth

    assert [float(each.boxes[0, 0]) for each in truth] == [1.0, 2.0, 4.0]


def test_truth_option_of_cubes_names_a_file(tmp_path):
    np.save(tmp_path / "cube.npy", CUBES[0])
    (tmp_path / "gt.txt").write_text("broken")
    (tmp_path / "mine.txt").write_text("1,2,3,4\n")

    (stated,) = open_source(f"{tmp_path}?truth={tmp_path / 'mine.txt'}")
    (without,) = open_source(f"{tmp_path}?truth=none")

    assert stated.truth.boxes.tolist() == [[1, 2, 3, 4]]
    assert without.truth is None
    with pytest.raises(SourceError, match="no ground truth at nowhere: check the path"):
        open_source(f"{tmp_path}?truth=nowhere")


def test_folder_of_a_capture_leaves_its_references_out(tmp_path):
    for name in ("scene.raw", "WHITEREF_scene.raw", "DARKREF_scene.raw"):
        write_envi(tmp_path / name, CUBES[0])
    cv2.imwrite(str(tmp_path / "scene.png"), np.zeros((3, 3), np.uint8))

    assert len(open_source(tmp_path)) == 1


def test_folder_of_cubes_of_two_sizes_is_refused_by_name(tmp_path):
    np.save(tmp_path / "1.npy", CUBES[0])
    np.save(tmp_path / "2.npy", CUBES[0, :, :, :3])

    with pytest.raises(
        SourceError, match=r"2\.npy must have the size of the first .* 3 bands, expected .* 4 bands"
    ):
        list(CubeSource(tmp_path))


def test_folder_of_videos_is_refused(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", CUBES[:2])

    with pytest.raises(SourceError, match=r"a\.npy has 2 frames"):
        CubeSource(tmp_path)


def test_images_of_a_folder_are_bands_if_asked(tmp_path):
    for band in range(4):
        cv2.imwrite(str(tmp_path / f"scene_{450 + band * 100}nm.png"), CUBES[0, ..., band])

    frames, cube, even = (
        open_source(f"{tmp_path}{query}")
        for query in ("", "?bands=files", "?bands=files&wavelengths=400-700")
    )

    assert isinstance(frames, ImageFolderSource) and len(frames) == 4
    assert len(cube) == 1
    np.testing.assert_array_equal(cube.read_frame(0).image, CUBES[0])
    assert cube.spectral_info.wavelengths_nm == (450.0, 550.0, 650.0, 750.0)
    assert even.spectral_info.wavelengths_nm == (400.0, 500.0, 600.0, 700.0)


def test_images_of_two_sizes_are_no_bands(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), CUBES[0, ..., 0])
    cv2.imwrite(str(tmp_path / "2.png"), CUBES[0, 1:, ..., 0])

    with pytest.raises(SourceError, match=r"2\.png must be a band as the first"):
        list(CubeSource(tmp_path, bands="files"))


def test_bands_option_selects_samples_and_wavelengths(tmp_path):
    write_envi(tmp_path / "a.raw", CUBES[0], "wavelength = {450, 550, 650, 750}\nfwhm = {1, 2, 3, 4}\n")

    source = open_source(f"{tmp_path / 'a.raw'}?bands=4,2-3")

    np.testing.assert_array_equal(source.read_frame(0).image, CUBES[0][..., [3, 1, 2]])
    assert source.spectral_info.wavelengths_nm == (750.0, 550.0, 650.0)
    assert source.spectral_info.fwhm_nm == (4.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bands": "5"}, "bands must be between 1 and 4"),
        ({"bands": "3-2"}, "bands must be between 1 and 4"),
        ({"bands": "1,1"}, "named once"),
        ({"bands": "red"}, "bands must be numbers"),
        ({"bands": "files"}, "needs a folder"),
        ({"wavelengths": "400,500"}, "one for each of 4 bands: got 2"),
        ({"wavelengths": "blue"}, "wavelengths must be as in"),
        ({"rate": 0.0}, "rate 0.0 of .* must be above 0"),
        ({"rate": float("nan")}, "must be above 0"),
    ],
)
def test_cube_source_invalid_option_is_an_error(tmp_path, options, reason):
    write_envi(tmp_path / "a.raw", CUBES[0])

    with pytest.raises(SourceError, match=reason):
        CubeSource(tmp_path / "a.raw", **options)


def test_cube_source_described_bands_come_before_the_header(tmp_path):
    write_envi(tmp_path / "a.raw", CUBES[0], "wavelength = {450, 550, 650, 750}\n")
    (tmp_path / "spectral_info.yaml").write_text("wavelengths_nm: [1, 2, 3, 4]\nbit_depth: 12\n")

    info = CubeSource(tmp_path / "a.raw").spectral_info

    assert (info.wavelengths_nm, info.bit_depth) == ((1.0, 2.0, 3.0, 4.0), 12)


def test_cube_source_with_wrong_number_of_described_bands_is_an_error(tmp_path):
    write_envi(tmp_path / "a.raw", CUBES[0])
    (tmp_path / "spectral_info.yaml").write_text("wavelengths_nm: [1, 2, 3]\n")

    with pytest.raises(SourceError, match="has 4 bands: got 3 wavelengths"):
        CubeSource(tmp_path / "a.raw")


def test_cube_source_survives_pickling(tmp_path):
    np.save(tmp_path / "a.npy", CUBES)

    source = pickle.loads(pickle.dumps(CubeSource(tmp_path / "a.npy", rate=25, bands="2")))

    assert source.rate_hz == 25.0
    np.testing.assert_array_equal([frame.image for frame in source], CUBES[..., 1])


def test_cube_source_samples_without_data_get_the_smallest_value(tmp_path):
    cube = CUBES[0].astype(np.float32)
    cube[2, 3] = [np.nan, np.inf, 1, -np.inf]
    np.save(tmp_path / "a.npy", cube)

    image = CubeSource(tmp_path / "a.npy").read_frame(0).image

    assert np.isfinite(image).all()
    np.testing.assert_array_equal(
        image[2, 3],
        np.nanmin(np.where(np.isfinite(cube), cube, np.nan)) * np.array([1, 1, 0, 1]) + [0, 0, 1, 0],
    )


def test_cube_source_without_any_data_is_an_error(tmp_path):
    np.save(tmp_path / "a.npy", np.full((3, 4, 2), np.nan, np.float32))

    with pytest.raises(SourceError, match=r"a\.npy holds no valid sample"):
        CubeSource(tmp_path / "a.npy").read_frame(0)
