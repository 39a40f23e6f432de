"""Clips of SPAX that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spax_ros.training.clips import Clip, ClipFrame
from tracking_runtime.frames import GroundTruth

MakeClip = Callable[..., Clip]


@pytest.fixture(scope="session")
def make_clip() -> MakeClip:
    """Return a function that makes a clip: random inputs, one object that moves by two pixels a frame."""

    def make(seed: int = 0, num_frames: int = 8, side: int = 96) -> Clip:
        rng = np.random.default_rng(seed)
        mask = np.zeros((side, side), bool)
        mask[32:56, 20:70] = True
        pixels = np.flatnonzero(mask).astype(np.int32)
        frames = []
        for index in range(num_frames):
            box = np.array([[30.0 + 2 * index, 40.5, 8, 5]])
            truth = GroundTruth(np.array([7]), np.array([0], np.uint8), box)
            inputs = rng.standard_normal((len(pixels), 2)).astype(np.float16)
            frames.append(ClipFrame(pixels, inputs, np.array([0.4, -1.6]), truth))
        return Clip(side, side, tuple(frames))

    return make


@pytest.fixture
def clip_folder(tmp_path: Path, make_clip: MakeClip) -> Path:
    """Return a folder of three clips."""
    for seed in range(3):
        make_clip(seed).save(tmp_path / f"{seed}.npz")
    return tmp_path
