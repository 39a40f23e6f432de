"""Clips and trainers of HA-Net that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hsi_tracker_ros.hanet.config import HANET_EDGE
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.training.clips import CubeClip, make_clip, read_clips, write_clip
from hsi_tracker_ros.training.simulated_clips import simulate_clip
from hsi_tracker_ros.training.trainer import EDGE_RECIPE, HANetTrainer, TrainingRecipe

RECIPE = replace(EDGE_RECIPE, steps=4, batch=2)

MakeTrainer = Callable[..., HANetTrainer]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four simulated clips."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        write_clip(folder, f"{number}", simulate_clip(np.random.default_rng(number), 3))
    return folder


@pytest.fixture(scope="session")
def clips(clip_folder: Path) -> list[CubeClip]:
    return read_clips(clip_folder)


@pytest.fixture
def recipe() -> TrainingRecipe:
    """Return a recipe of four small batches."""
    return RECIPE


@pytest.fixture
def make_trainer(clips: list[CubeClip]) -> MakeTrainer:
    """Return a function that makes a trainer in a folder. All trainers have the same initial weights."""

    def make(folder: Path, recipe: TrainingRecipe = RECIPE, device: str = "cpu") -> HANetTrainer:
        torch.manual_seed(0)
        return HANetTrainer(HANet(HANET_EDGE), clips, recipe, folder, device=device)

    return make


@pytest.fixture
def make_random_clip() -> Callable[[int], CubeClip]:
    """Return a function from a number of bands to a clip of noise."""

    def make(num_bands: int) -> CubeClip:
        rng = np.random.default_rng(num_bands)
        cubes = [rng.random((60, 80, num_bands), np.float32) for _ in range(2)]
        return make_clip(cubes, np.array([[20.0, 20, 24, 18]] * 2), np.linspace(450, 950, num_bands))

    return make


@pytest.fixture(scope="session")
def hot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two videos as in the HOT challenge of 2020: 16-bit mosaics and tab-separated truth."""
    root = tmp_path_factory.mktemp("hot") / "train"
    for seed in (900_001, 900_002):
        folder = root / f"scene{seed}" / "HSI"
        folder.mkdir(parents=True)
        lines = []
        for number, frame in enumerate(HyperspectralScene(seed, frames=12), start=1):
            height, width, _ = frame.image.shape
            filters = frame.image.reshape(height, width, 4, 4).transpose(0, 2, 1, 3)
            mosaic = filters.reshape(4 * height, 4 * width)
            cv2.imwrite(str(folder / f"{number:04d}.png"), mosaic.astype(np.uint16))
            box = frame.truth.boxes[0] if len(frame.truth.boxes) else np.zeros(4)
            lines.append("\t".join(str(round(value)) for value in box) + "\t")
        (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def write_jumping_targets(tmp_path: Path) -> Callable[[int], Path]:
    """Return a function from a number of frames to a data set of two videos of this length.

    In each video, the target jumps to the other side of the image halfway.
    """

    def write(num_frames: int) -> Path:
        rng = np.random.default_rng(3)
        for name in ("a", "b"):
            background = cv2.GaussianBlur(rng.integers(0, 255, (160, 320, 3), np.uint8), (0, 0), 4)
            target = cv2.resize(rng.integers(0, 255, (4, 5, 3), np.uint8), (30, 24))
            (tmp_path / f"data/{name}/img").mkdir(parents=True)
            rows = []
            for index in range(num_frames):
                x = 20 + index if index < num_frames // 2 else 260
                image = background.copy()
                image[60:84, x : x + 30] = target
                cv2.imwrite(str(tmp_path / f"data/{name}/img/{index + 1:04}.png"), image)
                rows.append(f"{x},60,30,24\n")
            (tmp_path / f"data/{name}/groundtruth_rect.txt").write_text("".join(rows))
        return tmp_path / "data"

    return write
