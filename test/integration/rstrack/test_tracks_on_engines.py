"""Tracks are the same whatever runs the network."""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.scene import HyperspectralScene
from spax_ros.association.tracks import TrackState
from spax_ros.simulation import SatelliteScene
from spax_ros.sparse.grid import TILE
from spax_ros.sparse.tile_budget import active_tiles, bucket
from spax_ros.tracker import load_tracker
from tracking_runtime.engines import BACKENDS, EngineSettings
from tracking_runtime.evaluation.int8_calibration import Excerpt
from tracking_runtime.evaluation.replay import find_tracker, replay
from tracking_runtime.evaluation.video_scores import score_video

FRAMES = 200
HERE = [backend for backend in BACKENDS if backend.unavailable() is None and backend.name != "pytorch"]
HALVES = [(each.name, half) for each in HERE for half in ("bfloat16", "float16") if half in each.precisions]


def video(seed: int, frames: int, attributes: str | None = None) -> Excerpt:
    scene = HyperspectralScene(seed, frames=frames, size=(160, 96), attributes=attributes)
    shown = tuple(islice(scene, frames))
    return Excerpt(scene.name, scene.rate_hz, scene.class_names, scene.spectral_info, shown)


@cache
def long_video() -> Excerpt:
    return video(1_000_007, FRAMES)


@cache
def short_videos() -> list[Excerpt]:
    return [video(seed, 50, kind) for kind in ("", "BC", "IV") for seed in range(1_000_040, 1_000_050)]


@cache
def tracks(engine: str) -> NDArray[np.float64]:
    """Boxes ``(frames, 4)`` of the one target."""
    answer = replay(find_tracker("hanet")("hanet_edge_vis16", engine), long_video()).answer
    assert isinstance(answer, np.ndarray)
    return answer


@cache
def success(engine: str) -> float:
    """Mean of videos: in any one of them it may be rounding that decides between two things alike."""
    tracker = find_tracker("hanet")("hanet_edge_vis16", engine)
    answers = [(each.truth, replay(tracker, each).answer) for each in short_videos()]
    return float(np.mean([score_video("", truth, boxes).figures["success"] for truth, boxes in answers]))


@pytest.mark.parametrize("engine", [backend.name for backend in HERE])
def test_200_frames_have_the_same_tracks(engine: str) -> None:
    wanted, given = tracks("pytorch:float32"), tracks(f"{engine}:float32")
    assert np.isfinite(wanted).all()
    # Of a box's side: where a target is found again its box is the network's own, rounded as float32 is.
    errors = np.abs(wanted - given).max(axis=1) / wanted[:, 2:].max(axis=1)
    assert errors.max() < 1e-4


@pytest.mark.parametrize("engine", [backend.name for backend in HERE])
def test_200_frames_have_the_same_tracks_of_all_that_moves(engine: str) -> None:
    scene = SatelliteScene(12, frames=FRAMES, size=(384, 384), color=False)
    settings = EngineSettings(precision="float32", threads=1)
    by_pytorch, by_engine = (
        load_tracker("spax_small", name, engine_settings=settings) for name in ("pytorch", engine)
    )
    confirmed, buckets = 0, set()
    for frame in islice(scene, FRAMES):
        wanted, given = (each.track(frame.image, frame.stamp_ns) for each in (by_pytorch, by_engine))
        np.testing.assert_array_equal(given.ids, wanted.ids)
        np.testing.assert_array_equal(given.states, wanted.states)
        np.testing.assert_allclose(given.boxes, wanted.boxes, atol=1e-3)
        np.testing.assert_allclose(by_engine.detections.scores, by_pytorch.detections.scores, atol=1e-3)
        confirmed += np.count_nonzero(wanted.states == TrackState.CONFIRMED)
        buckets.add(bucket(active_tiles(by_engine.motion_mask, TILE)))
    assert confirmed > FRAMES
    assert len(buckets) >= 3


@pytest.mark.parametrize(("engine", "precision"), HALVES)
def test_half_precision_follows_as_well(engine: str, precision: str) -> None:
    assert abs(success(f"{engine}:{precision}") - success("pytorch:float32")) < 0.01
