"""Tests of the control with three broad channels."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_tracker_ros.benchmark.base import BenchmarkFrame, Box, TargetPrediction
from hsi_tracker_ros.benchmark.control import BroadChannels, BroadChannelTracker
from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from tracking_runtime.spectral_info import SpectralInfo

VIS16 = find_camera_preset("vis16")


class RecordingTracker:
    """Tracker that keeps the frames that it gets."""

    def __init__(self, camera: SpectralInfo | None) -> None:
        self.camera = camera
        self.frames: list[BenchmarkFrame] = []

    def initialize(self, frame: BenchmarkFrame, box: Box) -> None:
        self.frames.append(frame)

    def track(self, frame: BenchmarkFrame) -> TargetPrediction:
        self.frames.append(frame)
        return TargetPrediction(np.zeros(4), is_lost=False)


def test_channels_are_thirds_of_the_spectrum_in_order() -> None:
    channels = BroadChannels.of_camera(VIS16)

    centers = [[VIS16.wavelengths_nm[band] for band in group] for group in channels.bands]
    assert sorted(band for group in channels.bands for band in group) == list(range(16))
    assert [len(group) for group in channels.bands] == [6, 5, 5]
    assert max(centers[0]) < min(centers[1])
    assert max(centers[1]) < min(centers[2])
    assert channels.spectral_info.wavelengths_nm == pytest.approx([np.mean(group) for group in centers])
    assert channels.spectral_info.mosaic is None


def test_channel_is_mean_of_its_bands() -> None:
    cube = np.random.default_rng(0).integers(0, 255, (4, 5, 16), np.uint8)
    channels = BroadChannels.of_camera(VIS16)

    reduced = channels.reduce(BenchmarkFrame(cube, VIS16, 7))

    assert reduced.cube.dtype == np.float32
    assert reduced.stamp_ns == 7
    for channel, group in enumerate(channels.bands):
        np.testing.assert_allclose(reduced.cube[..., channel], cube[..., group].mean(axis=2), rtol=1e-6)


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_camera_with_few_bands_keeps_them(bands: int) -> None:
    camera = SpectralInfo(tuple(np.linspace(500, 600, bands).tolist()))

    channels = BroadChannels.of_camera(camera)

    assert channels.bands == tuple((band,) for band in range(bands))
    assert channels.spectral_info.wavelengths_nm == camera.wavelengths_nm


def test_tracker_gets_broad_channels_only() -> None:
    made: list[RecordingTracker] = []

    def make_tracker(camera: SpectralInfo | None) -> RecordingTracker:
        made.append(RecordingTracker(camera))
        return made[-1]

    frame = BenchmarkFrame(np.ones((4, 5, 16), np.uint8), VIS16, 0)
    tracker = BroadChannelTracker(make_tracker, VIS16)
    tracker.initialize(frame, np.array([0, 0, 2, 2.0]))
    tracker.track(frame)

    assert made[0].camera is not None
    assert len(made[0].camera.wavelengths_nm) == 3
    assert [seen.cube.shape for seen in made[0].frames] == [(4, 5, 3)] * 2
    assert made[0].frames[0].false_color.shape == (4, 5, 3)


def test_color_images_stay_as_they_are() -> None:
    tracker = BroadChannelTracker(RecordingTracker, None)
    frame = BenchmarkFrame(np.ones((4, 5, 3), np.uint8), None, 0)

    tracker.initialize(frame, np.array([0, 0, 2, 2.0]))

    assert tracker._tracker.frames == [frame]
