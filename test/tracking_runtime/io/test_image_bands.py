"""Bands of folders of images, in the source and in datasets."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.io.sources import open_source

CUBE = np.random.default_rng(10).integers(0, 4000, (6, 7, 3)).astype(np.uint16)
ITEMS = "".join(f'<Item name="wavelength" sample="{band}">{450 + band * 100}</Item>' for band in range(3))
TAG = (42112, "s", 0, f"<GDALMetadata>{ITEMS}</GDALMetadata>", True)


@pytest.fixture
def folder(tmp_path):
    """Folder of two TIFF cubes that describe their bands."""
    for number in (1, 2):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, CUBE, photometric="minisblack", planarconfig="contig", extratags=[TAG])
    return tmp_path


def test_folder_of_tiff_cubes_has_the_bands_of_its_files(folder):
    (video,) = open_dataset(folder)

    for source in (open_source(folder), video):
        assert source.spectral_info.wavelengths_nm == (450.0, 550.0, 650.0)


def test_folder_with_described_bands_prefers_the_description(folder):
    (folder / "spectral_info.yaml").write_text("wavelengths_nm: [1, 2, 3]\n")
    (video,) = open_dataset(folder)

    for source in (open_source(folder), video):
        assert source.spectral_info.wavelengths_nm == (1.0, 2.0, 3.0)


def test_folder_with_a_damaged_image_has_unknown_bands(folder):
    (folder / "1.tif").write_bytes(b"II*\0damaged")

    assert open_source(folder).spectral_info is None
