"""Statistics of real traffic, and scenes that follow them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from spax_ros.simulation import SatelliteScene, measured_traffic
from spax_ros.simulation.traffic_statistics import (
    VehicleTrack,
    main,
    measure_contrasts,
    measure_traffic,
    read_tracks,
    to_quantiles,
)


def make_track(path: np.ndarray, size: tuple[float, float] = (6.0, 9.0)) -> VehicleTrack:
    boxes = np.concatenate([path - np.array(size) / 2, np.tile(size, (len(path), 1))], axis=1)
    return VehicleTrack(np.arange(len(path)), boxes)


def drive(speed: float, start: float = 0.0, num_frames: int = 80) -> np.ndarray:
    return np.stack([start + speed * np.arange(num_frames), np.full(num_frames, 50.0)], axis=1)


def test_statistics_of_two_vehicles_in_a_lane() -> None:
    statistics = measure_traffic([[make_track(drive(1.2)), make_track(drive(1.2, start=36.0), (5.0, 12.0))]])

    assert statistics.speeds == pytest.approx((1.2,) * 9)
    assert statistics.lengths[0] == 9
    assert statistics.lengths[-1] == 12
    assert statistics.gap_frames == pytest.approx((30,) * 9)
    assert statistics.followers == 0.5
    assert statistics.turns_per_px == statistics.stops_per_frame == 0


def test_vehicles_of_opposite_lanes_do_not_follow_each_other() -> None:
    other = drive(1.2, start=40.0)[::-1]

    assert measure_traffic([[make_track(drive(1.2)), make_track(other)]]).followers == 0


def test_stop_and_turn_are_counted() -> None:
    there = drive(1.0, num_frames=60)
    waits = np.repeat(there[-1:], 50, axis=0)
    turns = there[-1] + np.stack([np.zeros(60), np.arange(1, 61)], axis=1)

    statistics = measure_traffic([[make_track(np.concatenate([there, waits, turns]))]])

    assert statistics.stop_frames[0] == pytest.approx(50, abs=10)
    assert statistics.turns_per_px == pytest.approx(1 / 108, rel=0.3)


def test_no_long_tracks_are_an_error() -> None:
    with pytest.raises(ValueError, match="at least 40 boxes"):
        measure_traffic([[]])


def test_contrast_is_that_of_the_object_to_its_ring() -> None:
    images = [np.full((60, 60), 90, np.uint8) for _ in range(3)]
    for image in images:
        image[20:26, 30:38] = 140
    boxes = {0: [(1, np.array([30.0, 20, 8, 6]))], 2: [(1, np.array([30.0, 20, 8, 6])), (2, np.zeros(4))]}

    assert measure_contrasts(images, boxes) == (50.0,) * 9
    assert to_quantiles([]) == (0.0,) * 9


def test_module_prints_the_constants_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    track = make_track(drive(1.5))
    lines = [
        ",".join(map(str, [frame, 3, *box, 1, 1, 1, -1]))
        for frame, box in zip(track.frames, track.boxes, strict=True)
    ]
    (tmp_path / "truth.csv").write_text("\n".join(lines))
    monkeypatch.setattr(sys, "argv", ["traffic_statistics", str(tmp_path / "truth.csv")])

    main()

    assert "SPEEDS_PX = (1.5, 1.5" in capsys.readouterr().out
    assert [len(video) for video in read_tracks([tmp_path / "truth.csv"])] == [1]


def test_flow_has_the_measured_speeds_and_gaps() -> None:
    videos = []
    for seed in (1_000_500, 1_000_501):
        movers = SatelliteScene(seed, 200, 512, traffic="flow", density=60, color=False)._movers
        tracks = []
        for mover in movers:
            frames = np.flatnonzero(mover.is_present)
            if len(frames) >= 40 and mover.contrast is not None:
                tracks.append(VehicleTrack(frames, make_track(mover.positions[frames, 0]).boxes))
        videos.append(tracks)

    statistics = measure_traffic(videos)

    assert statistics.speeds[4] == pytest.approx(measured_traffic.SPEEDS_PX[4], rel=0.15)
    assert statistics.gap_frames[4] == pytest.approx(measured_traffic.GAP_FRAMES[4], rel=0.35)
    assert statistics.followers > 0.15


def test_blocks_of_a_codec_change_every_frame_but_key_frames_are_fine() -> None:
    plain, coded = (SatelliteScene(5, 20, 128, codec=codec) for codec in ("none", "video"))

    errors = [float(np.abs(a.image.astype(int) - b.image).mean()) for a, b in zip(plain, coded, strict=True)]

    assert errors[0] < 0.7 * np.median(errors)
    with pytest.raises(ValueError, match="codec must be one of none, video"):
        SatelliteScene(5, codec="blocks")
