"""Tracks of a target do not depend on the engine that runs HA-Net."""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.scene import HyperspectralScene
from tracking_runtime.engines import BACKENDS
from tracking_runtime.evaluation.int8_calibration import VideoExcerpt
from tracking_runtime.evaluation.replay import find_tracker, replay
from tracking_runtime.evaluation.video_scores import score_video

pytestmark = pytest.mark.slow

NUM_FRAMES = 200
AVAILABLE = [
    backend for backend in BACKENDS if backend.find_unavailable_reason() is None and backend.name != "pytorch"
]
HALF_PRECISIONS = [
    (backend.name, precision)
    for backend in AVAILABLE
    for precision in ("bfloat16", "float16")
    if precision in backend.precisions
]


def render_video(seed: int, num_frames: int, attributes: str | None = None) -> VideoExcerpt:
    scene = HyperspectralScene(seed, frames=num_frames, size=(160, 96), attributes=attributes)
    frames = tuple(islice(scene, num_frames))
    return VideoExcerpt(scene.name, scene.rate_hz, scene.class_names, scene.spectral_info, frames)


@cache
def render_long_video() -> VideoExcerpt:
    return render_video(1_000_007, NUM_FRAMES)


@cache
def render_short_videos() -> list[VideoExcerpt]:
    return [
        render_video(seed, 50, attributes)
        for attributes in ("", "BC", "IV")
        for seed in range(1_000_040, 1_000_050)
    ]


@cache
def track_target(engine: str) -> NDArray[np.float64]:
    """Return the boxes of the target in the long video, `(frames, 4)`."""
    prediction = replay(find_tracker("hanet")("hanet_edge_vis16", engine), render_long_video()).prediction
    assert isinstance(prediction, np.ndarray)
    return prediction


@cache
def compute_mean_success(engine: str) -> float:
    """Return the mean success over the short videos.

    In a single video, rounding can decide between two similar objects.
    """
    tracker = find_tracker("hanet")("hanet_edge_vis16", engine)
    videos = render_short_videos()
    scores = [score_video("", video.truth, replay(tracker, video).prediction) for video in videos]
    return float(np.mean([score.metrics["success"] for score in scores]))


@pytest.mark.parametrize("engine", [backend.name for backend in AVAILABLE])
def test_target_boxes_in_200_frames_match_pytorch(engine: str) -> None:
    expected = track_target("pytorch:float32")
    boxes = track_target(f"{engine}:float32")

    assert np.isfinite(expected).all()
    # Errors relative to the box's size: a re-detected box is the network's own, rounded to float32.
    errors = np.abs(expected - boxes).max(axis=1) / expected[:, 2:].max(axis=1)
    assert errors.max() < 1e-4


@pytest.mark.parametrize(("engine", "precision"), HALF_PRECISIONS)
def test_success_in_half_precision_matches_float32(engine: str, precision: str) -> None:
    success = compute_mean_success(f"{engine}:{precision}")

    assert abs(success - compute_mean_success("pytorch:float32")) < 0.01
