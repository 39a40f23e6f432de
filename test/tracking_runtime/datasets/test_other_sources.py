"""Files and addresses of any kind of source as datasets."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.datasets.sequences import ImageSequence, find_source_path
from tracking_runtime.errors import SourceError

CUBES = np.random.default_rng(9).integers(0, 4000, (3, 6, 8, 4)).astype(np.uint16)


def write_envi(path, cube):
    height, width, bands = cube.shape
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {bands}\ndata type = 12\ninterleave = bip\n"
        "wavelength = {450, 550, 650, 750}\n"
    )
    path.write_bytes(cube.astype("<u2").tobytes())


def test_open_dataset_folder_of_envi_cubes_is_one_video(tmp_path):
    for number, cube in enumerate(CUBES, start=1):
        write_envi(tmp_path / f"{number}.raw", cube)
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((6, 8), np.uint8))  # a preview
    (tmp_path / "groundtruth_rect.txt").write_text("1,2,3,4\n2,2,3,4\n3,2,3,4\n")

    (video,) = open_dataset(tmp_path)

    np.testing.assert_array_equal([frame.image for frame in video], CUBES)
    np.testing.assert_array_equal([truth.boxes[0, 0] for truth in video.truth], [1, 2, 3])
    assert video.spectral_info.wavelengths_nm == (450.0, 550.0, 650.0, 750.0)
    assert find_source_path(video) == tmp_path.resolve()


def test_open_dataset_file_with_frames_is_one_video(tmp_path):
    np.save(tmp_path / "video.npy", CUBES)
    (tmp_path / "video_gt.txt").write_text("1,1,1,2,3,4,1,2,1\n")

    (by_path,) = open_dataset(tmp_path / "video.npy", class_names=("car", "ship"))
    (by_address,) = open_dataset(f"cube:{tmp_path / 'video.npy'}?rate=25&bands=2")
    (by_options,) = open_dataset(f"{tmp_path / 'video.npy'}?rate=25")

    assert (by_path.name, len(by_path), by_path.class_names) == ("video", 3, ("car", "ship"))
    assert by_path.truth[0].class_ids.tolist() == [1]
    assert by_address.rate_hz == by_options.rate_hz == 25.0
    np.testing.assert_array_equal([frame.image for frame in by_address], CUBES[..., 1])


def test_open_dataset_scene_is_a_video_with_truth():
    (video,) = open_dataset("scene:hyperspectral?seed=1&frames=2")

    assert len(video) == 2 and [len(truth.boxes) for truth in video.truth] == [1, 1]


def test_open_dataset_images_stay_folders_of_frames(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((6, 8), np.uint8))
    np.save(tmp_path / "notes.npy", np.zeros(3))

    (video,) = open_dataset(tmp_path)

    assert isinstance(video, ImageSequence)


def test_open_dataset_with_references_gives_reflectance(tmp_path):
    np.save(tmp_path / "video.npy", CUBES)
    np.save(tmp_path / "white.npy", np.full((6, 8, 4), 4000, np.uint16))

    (video,) = open_dataset(tmp_path / "video.npy", white=str(tmp_path / "white.npy"))

    np.testing.assert_allclose([frame.image for frame in video], CUBES / 4000, rtol=1e-6)


def test_open_dataset_live_camera_is_refused():
    with pytest.raises(SourceError, match="live camera, whose frames have no end"):
        open_dataset("rtsp://localhost/stream")


def test_open_dataset_file_of_words_names_it(tmp_path):
    (tmp_path / "notes.docx").write_text("words")

    with pytest.raises(SourceError, match=r"notes\.docx is not a source of frames"):
        open_dataset(tmp_path / "notes.docx")
