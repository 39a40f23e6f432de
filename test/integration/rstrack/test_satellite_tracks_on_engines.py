"""Tracks of satellite video do not depend on the engine that runs SPAX."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from spax_ros.association.tracks import TrackState
from spax_ros.simulation import SatelliteScene
from spax_ros.sparse.grid import TILE_PX
from spax_ros.sparse.tile_budget import count_active_tiles, round_to_bucket
from spax_ros.tracker import load_tracker
from tracking_runtime.engines import BACKENDS, EngineSettings

pytestmark = pytest.mark.slow

NUM_FRAMES = 200
AVAILABLE = [
    backend.name
    for backend in BACKENDS
    if backend.find_unavailable_reason() is None and backend.name != "pytorch"
]


@pytest.mark.parametrize("engine", AVAILABLE)
def test_satellite_tracks_in_200_frames_match_pytorch(engine: str) -> None:
    scene = SatelliteScene(12, frames=NUM_FRAMES, size=(384, 384), color=False)
    settings = EngineSettings(precision="float32", threads=1)
    reference = load_tracker("spax_small", "pytorch", engine_settings=settings)
    tracker = load_tracker("spax_small", engine, engine_settings=settings)
    num_confirmed = 0
    buckets = set()

    for frame in islice(scene, NUM_FRAMES):
        expected = reference.track(frame.image, frame.stamp_ns)
        actual = tracker.track(frame.image, frame.stamp_ns)

        np.testing.assert_array_equal(actual.tracks.ids, expected.tracks.ids)
        np.testing.assert_array_equal(actual.tracks.states, expected.tracks.states)
        np.testing.assert_allclose(actual.tracks.boxes, expected.tracks.boxes, atol=1e-3)
        np.testing.assert_allclose(actual.detections.scores, expected.detections.scores, atol=1e-3)
        num_confirmed += np.count_nonzero(expected.tracks.states == TrackState.CONFIRMED)
        buckets.add(round_to_bucket(count_active_tiles(actual.motion_mask, TILE_PX)))

    assert num_confirmed > NUM_FRAMES
    assert len(buckets) >= 3
