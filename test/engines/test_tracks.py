"""Tracks are the same whatever runs the network."""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.scene import HyperspectralScene
from tracking_runtime.calibration import Excerpt
from tracking_runtime.engines import BACKENDS
from tracking_runtime.evaluation.replay import find_tracker, replay
from tracking_runtime.evaluation.scoring import score_video

FRAMES = 200
HERE = [backend for backend in BACKENDS if backend.unavailable() is None and backend.name != "pytorch"]
HALVES = [(each.name, half) for each in HERE for half in ("bfloat16", "float16") if half in each.precisions]


@cache
def video() -> Excerpt:
    scene = HyperspectralScene(1_000_007, frames=FRAMES, size=(160, 96))
    frames = tuple(islice(scene, FRAMES))
    return Excerpt(scene.name, scene.rate_hz, scene.class_names, scene.spectral_info, frames)


@cache
def tracks(engine: str) -> NDArray[np.float64]:
    """Boxes ``(frames, 4)`` of the one target."""
    answer = replay(find_tracker("hanet")("hanet_edge_vis16", engine), video()).answer
    assert isinstance(answer, np.ndarray)
    return answer


def success(engine: str) -> float:
    return score_video("video", video().truth, tracks(engine)).figures["success"]


@pytest.mark.parametrize("engine", [backend.name for backend in HERE])
def test_200_frames_have_the_same_tracks(engine: str) -> None:
    wanted, given = tracks("pytorch:float32"), tracks(f"{engine}:float32")
    assert np.isfinite(wanted).all()
    assert np.abs(wanted - given).max() < 1e-3  # pixels


@pytest.mark.parametrize(("engine", "precision"), HALVES)
def test_half_precision_follows_as_well(engine: str, precision: str) -> None:
    assert abs(success(f"{engine}:{precision}") - success("pytorch:float32")) < 0.01
