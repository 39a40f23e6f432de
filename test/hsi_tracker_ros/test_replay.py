"""HA-Net in a replay of cubes whose bands are not described."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_tracker_ros.cubes.camera_presets import assume_camera, find_camera_preset
from hsi_tracker_ros.replay import HsiReplay
from tracking_runtime.io.cube_source import CubeSource
from tracking_runtime.io.notes import collect_notes
from tracking_runtime.io.sources import open_source


def test_assumed_camera_is_known_or_covers_the_range():
    assert assume_camera(16)[1].wavelengths_nm == find_camera_preset("vis16").wavelengths_nm
    assert assume_camera(25)[0] == "those of the camera nir25"
    assert assume_camera(31)[1].wavelengths_nm == pytest.approx(np.linspace(400, 1000, 31))


@pytest.mark.slow
def test_replay_of_unknown_bands_tracks_with_a_note(tmp_path):
    scene = list(open_source("scene:hyperspectral?seed=1&frames=3"))
    np.save(tmp_path / "video.npy", np.stack([frame.image for frame in scene]))
    video = CubeSource(tmp_path / "video.npy")
    frames = list(video)
    tracker = HsiReplay("hanet_edge_any", "pytorch")

    tracker.start_video(video)
    with collect_notes() as notes:
        tracker.initialize(frames[0], scene[0].truth.boxes[:1])
    predicted = tracker.track(frames[1])

    assert (
        len(notes) == 1 and "16 bands are not described, and taken as those of the camera vis16" in notes[0]
    )
    assert np.abs(predicted.boxes[0] - scene[1].truth.boxes[0]).max() < 5
