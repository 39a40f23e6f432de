"""Tests of SPAX in a replay: the profile, and the note about a camera of another profile."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spax_ros.replay import SpaxReplay
from tracking_runtime.frames import Frame
from tracking_runtime.io.notes import collect_notes

NUM_FRAMES = 32
SIDE = 320


def make_frames(tilt_step: float) -> list[Frame]:
    """Return frames of textured ground whose perspective changes by a step in each frame."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.uniform(40, 200, (160, 160)).astype(np.float32), (800, 800))
    frames = []
    for index in range(NUM_FRAMES):
        tilt = tilt_step * (index % 16)
        to_image = np.array([[1.0, 0, -240], [0, 1.0, -240], [0, 0, 1]])
        perspective = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, tilt / SIDE, 1]])
        image = cv2.warpPerspective(ground, perspective @ to_image, (SIDE, SIDE)).astype(np.uint8)
        frames.append(Frame(index * 40_000_000, image, "mono8", "camera", None))
    return frames


@pytest.mark.parametrize(
    ("profile", "tilt_step", "is_noted"),
    [("satellite", 0.02, True), ("drone", 0.02, False), ("satellite", 0.0, False)],
)
def test_camera_of_another_profile_is_noted(profile: str, tilt_step: float, is_noted: bool) -> None:
    tracker = SpaxReplay("spax_small", "pytorch", profile=profile)  # type: ignore[arg-type]

    with collect_notes() as notes:
        for frame in make_frames(tilt_step):
            tracker.track(frame)

    assert tracker.description["profile"] == profile
    assert any("use --profile drone" in note for note in notes) == is_noted
