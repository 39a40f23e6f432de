"""`rstrack render`: overlays of recordings as videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.bags import BagWriter, Record, Topic
from tracking_runtime.cli import rstrack
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io import open_source
from tracking_runtime.messages.conversion import IMAGE, TRACKS, serialize_image, serialize_truth
from tracking_runtime.messages.definitions import find_interface

NUM_FRAMES = 6
WIDTH, HEIGHT = 700, 100  # not enlarged
PERIOD_NS = 50_000_000


def write_bag(
    folder: Path,
    *,
    tracks_topics: tuple[str, ...] = ("/spax_tracker/tracks",),
    tracked: tuple[int, ...] = tuple(range(NUM_FRAMES)),
    num_bad_bytes: int = 0,
) -> Path:
    """Write gray frames, ground truth of object 1, and tracks with id 2 that are 100 pixels to the right."""
    with BagWriter(folder) as writer:
        for name, kind in (("/image", IMAGE), ("/ground_truth", TRACKS)):
            writer.add_topic(Topic(name, find_interface(kind)))
        for name in tracks_topics:
            writer.add_topic(Topic(name, find_interface(TRACKS)))
        for index in range(NUM_FRAMES):
            stamp_ns = (index + 1) * PERIOD_NS
            image = serialize_image(Frame(stamp_ns, np.full((HEIGHT, WIDTH), 60, np.uint8), "mono8"))
            data = image[: len(image) - num_bad_bytes] if index == 3 else image
            writer.write(*Record("/image", data, stamp_ns, stamp_ns))
            writer.write(*Record("/ground_truth", make_tracks(1, index, 100), stamp_ns, stamp_ns))
            for name in tracks_topics if index in tracked else ():
                writer.write(*Record(name, make_tracks(2, index, 200), stamp_ns, stamp_ns))
    return folder


def make_tracks(track_id: int, index: int, left: int) -> bytes:
    truth = GroundTruth(
        np.array([track_id]), np.zeros(1, np.uint8), np.array([[left + 20.0 * index, 30.0, 40.0, 40.0]])
    )
    return serialize_truth(truth, (index + 1) * PERIOD_NS, "camera", (WIDTH, HEIGHT), ["car"])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["render", *map(str, arguments)])


def count_bright_pixels(image: np.ndarray) -> int:
    """Return the number of pixels that are clearly brighter than the frames."""
    return int((image.max(axis=2) > 110).sum())


def test_render_draws_tracks_and_truth_at_their_times(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag")

    result = run(bag, "-o", tmp_path / "out.mp4")

    assert result.exit_code == 0, result.output
    frames = list(open_source(tmp_path / "out.mp4"))
    assert len(frames) == NUM_FRAMES
    assert np.diff([frame.stamp_ns for frame in frames]).tolist() == [PERIOD_NS] * (NUM_FRAMES - 1)
    for index, frame in enumerate(frames):
        track = frame.image[20:80, 190 + 20 * index : 250 + 20 * index]
        assert count_bright_pixels(track) > 40
        assert count_bright_pixels(frame.image[20:80, 90 + 20 * index : 150 + 20 * index]) > 20


def test_render_without_truth_draws_none(tmp_path: Path) -> None:
    run(write_bag(tmp_path / "bag"), "--no-truth", "-o", tmp_path / "out.mp4")

    (first, *_) = open_source(tmp_path / "out.mp4")
    assert count_bright_pixels(first.image[20:80, 90:190]) == 0


def test_render_tells_frames_without_tracks(tmp_path: Path) -> None:
    result = run(write_bag(tmp_path / "bag", tracked=(0, 1, 5)))

    assert result.exit_code == 0, result.output
    assert "3 frames have no tracks" in result.output
    assert len(open_source(tmp_path / "bag.mp4")) == NUM_FRAMES


def test_render_without_tracks_draws_the_truth(tmp_path: Path) -> None:
    result = run(write_bag(tmp_path / "bag", tracks_topics=()))

    assert result.exit_code == 0, result.output
    assert "no tracks" not in result.output


def test_render_of_several_trackers_asks_for_the_topic(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", tracks_topics=("/a/tracks", "/b/tracks"))

    unclear = run(bag)
    chosen = run(bag, "--tracks-topic", "/b/tracks")

    assert unclear.exit_code == 1
    assert "(--tracks-topic); available: /a/tracks, /b/tracks" in unclear.output.replace("\n", " ")
    assert chosen.exit_code == 0, chosen.output


def test_render_keeps_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "bag.mp4").write_text("mine")

    refused = run(write_bag(tmp_path / "bag"))
    kept = (tmp_path / "bag.mp4").read_text()
    replaced = run(tmp_path / "bag", "--overwrite")

    assert (refused.exit_code, replaced.exit_code) == (1, 0)
    assert kept == "mine" and len(open_source(tmp_path / "bag.mp4")) == NUM_FRAMES


def test_render_of_a_damaged_recording_leaves_nothing(tmp_path: Path) -> None:
    result = run(write_bag(tmp_path / "bag", num_bad_bytes=5))

    assert result.exit_code == 1
    assert "/image" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


@pytest.mark.parametrize("name", ["out.avi", "out"])
def test_render_writes_mp4_only(tmp_path: Path, name: str) -> None:
    result = run(write_bag(tmp_path / "bag"), "-o", tmp_path / name)

    assert result.exit_code == 2
    assert "must be an MP4 file" in result.output.replace("\n", " ")
