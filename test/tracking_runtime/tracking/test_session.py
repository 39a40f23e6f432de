"""Runs of a tracker over a source: files, interruptions, refused frames, damaged input."""

from __future__ import annotations

import csv
import gc
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.boxes import ScoredBoxes, as_boxes
from tracking_runtime.datasets.result_files import read_tracks
from tracking_runtime.errors import FrameRefusedError, SourceError, TargetRefusedError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io import open_source
from tracking_runtime.tracking.ground_scale import ConstantScale
from tracking_runtime.tracking.output_folder import FILE_NAMES, OutputFolder
from tracking_runtime.tracking.session import TrackOptions, TrackRun, track_source
from tracking_runtime.tracking.statistics import Thinned, TrackStatistics

NUM_FRAMES = 12


class MovingBox:
    """A source of 64 x 48 frames with a bright box that moves 2 pixels a frame.

    Args:
        num_frames: number of frames.
        error_at: number of the frame that cannot be read.
    """

    name = "moving_box"
    rate_hz = 25.0
    class_names = ("object",)
    spectral_info = None

    def __init__(self, num_frames: int = NUM_FRAMES, error_at: int | None = None) -> None:
        self._num_frames = num_frames
        self._error_at = error_at

    def __len__(self) -> int:
        return self._num_frames

    def __iter__(self) -> Iterator[Frame]:
        for number in range(1, self._num_frames + 1):
            if number == self._error_at:
                raise SourceError(f"frame {number} is damaged")
            image = np.zeros((48, 64, 3), np.uint8)
            left = 2 * number % 50
            image[20:28, left : left + 10] = 255
            truth = GroundTruth(np.array([1]), np.array([0], np.uint8), as_boxes([[left, 20, 10, 8]]))
            yield Frame(number * 40_000_000, image, "bgr8", truth=truth)


class BrightTracker:
    """A tracker of the bright pixels.

    Args:
        refused: numbers of frames that are refused.
        interrupt_at: number of the frame at which the process is interrupted.
        interruption: what is raised then.
        lost_at: number of the frame in which the target is lost.
    """

    default_model = "bright"
    follows_one_target = False
    class_names = ("car", "ship")
    description: dict[str, str] = {}

    def __init__(
        self,
        *,
        refused: tuple[int, ...] = (),
        interrupt_at: int | None = None,
        interruption: BaseException | None = None,
        lost_at: int | None = None,
    ) -> None:
        self._refused = refused
        self._interrupt_at = interrupt_at
        self._interruption = interruption or KeyboardInterrupt()
        self._lost_at = lost_at
        self.initialized: list[list[float]] = []

    def start_video(self, video: Any) -> None:
        pass

    def initialize(self, frame: Frame, box: np.ndarray) -> None:
        if box[0, 0] >= frame.image.shape[1]:
            raise TargetRefusedError("the box is outside of the image")
        self.initialized.append(box[0].tolist())

    def track(self, frame: Frame) -> ScoredBoxes:
        number = frame.stamp_ns // 40_000_000
        if number in self._refused:
            raise FrameRefusedError("the image is dark")
        if number == self._interrupt_at:
            raise self._interruption
        rows, columns = np.nonzero(frame.image[..., 0])
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        state = "lost" if number == self._lost_at else "tracking"
        return ScoredBoxes(np.array([7]), as_boxes([box]), np.array([0.5]), np.array([1]), (state,))


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    return OutputFolder(tmp_path / "a" / "out", overwrites=False)


def read_csv(folder: OutputFolder) -> list[dict[str, str]]:
    return list(csv.DictReader((folder.path / "tracks.csv").open()))


def read_lines(folder: OutputFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / "tracks.jsonl").read_text().splitlines()]


def test_run_writes_the_same_tracks_to_all_files(folder: OutputFolder) -> None:
    run = track_source(MovingBox(), BrightTracker(), TrackOptions(), folder)

    rows, lines = read_csv(folder), read_lines(folder)
    mot = read_tracks(folder.path / "tracks.txt", NUM_FRAMES)
    assert run.num_tracked == len(rows) == len(lines) == len(mot) == NUM_FRAMES
    assert rows[0] == {
        "frame": "1",
        "id": "7",
        "x": "2.0",
        "y": "20.0",
        "width": "10.0",
        "height": "8.0",
        "score": "0.5",
        "class": "ship",
        "state": "tracking",
        "time_s": "0.040000",
    }
    assert lines[2] == {
        "frame": 3,
        "stamp_ns": 120_000_000,
        "tracks": [
            {"id": 7, "box": [6.0, 20.0, 10.0, 8.0], "score": 0.5, "class": "ship", "state": "tracking"}
        ],
    }
    np.testing.assert_array_equal([frame.boxes[0, 0] for frame in mot], 2 * np.arange(1, NUM_FRAMES + 1))


def test_memory_of_a_run_does_not_grow_with_frames(folder: OutputFolder) -> None:
    used_bytes: list[int] = []

    def measure(run: TrackRun) -> None:
        if run.num_tracked in (200, 1500):
            gc.collect()
            used_bytes.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    track_source(MovingBox(1500), BrightTracker(), TrackOptions(draws_video=False), folder, on_frame=measure)
    tracemalloc.stop()

    after_200, after_1500 = used_bytes
    assert after_1500 - after_200 < 100_000


def test_run_with_a_pixel_size_writes_speeds_and_sizes(folder: OutputFolder) -> None:
    scale = ConstantScale(0.5)  # the box has 10 x 8 pixels and moves 2 pixels a frame, 25 frames per second

    run = track_source(
        MovingBox(), BrightTracker(lost_at=4), TrackOptions(ground_scale=scale, draws_video=False), folder
    )

    rows = read_csv(folder)
    assert [row["speed_m_s"] for row in rows] == ["", *["25.0"] * (NUM_FRAMES - 1)]
    assert {(row["length_m"], row["width_m"]) for row in rows} == {("5.0", "4.0")}
    (track,) = read_lines(folder)[5]["tracks"]
    assert (track["speed_m_s"], track["length_m"], track["width_m"]) == (25.0, 5.0, 4.0)
    assert read_lines(folder)[0]["tracks"][0]["speed_m_s"] is None
    summary = run.statistics.tracks[7]
    assert summary.speed_m_s.value == pytest.approx(25) and summary.length_m.value == pytest.approx(5)


def test_run_without_a_pixel_size_has_no_measures(folder: OutputFolder) -> None:
    track_source(MovingBox(), BrightTracker(), TrackOptions(draws_video=False), folder)

    assert "speed_m_s" not in read_csv(folder)[0]
    assert "speed_m_s" not in read_lines(folder)[0]["tracks"][0]


def test_run_overlay_has_every_frame_with_its_time(folder: OutputFolder) -> None:
    track_source(MovingBox(), BrightTracker(), TrackOptions(), folder)

    overlay = list(open_source(folder.path / "overlay.mp4"))

    assert np.diff([frame.stamp_ns for frame in overlay]).tolist() == [40_000_000] * (NUM_FRAMES - 1)
    assert overlay[0].image.shape == (192, 256, 3)  # enlarged


def test_run_without_video_writes_none(folder: OutputFolder) -> None:
    run = track_source(MovingBox(), BrightTracker(), TrackOptions(draws_video=False), folder)

    assert not (folder.path / "overlay.mp4").exists()
    assert 1 <= len(run.pictures) <= 6


def test_run_selects_frames_by_number(folder: OutputFolder) -> None:
    options = TrackOptions(first_frame=3, every=4, num_frames=2)

    run = track_source(MovingBox(), BrightTracker(), options, folder)

    assert run.num_tracked == 2
    assert [line["frame"] for line in read_lines(folder)] == [3, 7]


def test_run_after_the_last_frame_is_an_error(folder: OutputFolder) -> None:
    with pytest.raises(SourceError, match="moving_box has no frame 13: got 12 frames; lower --start"):
        track_source(MovingBox(), BrightTracker(), TrackOptions(first_frame=13), folder)

    assert not folder.path.parent.exists()


def test_run_with_boxes_sets_every_target(folder: OutputFolder) -> None:
    tracker = BrightTracker()
    boxes = as_boxes([[1, 2, 3, 4], [5, 6, 7, 8]])

    track_source(MovingBox(), tracker, TrackOptions(boxes=boxes), folder)

    assert tracker.initialized == [[1, 2, 3, 4], [5, 6, 7, 8]]
    first = read_lines(folder)[0]["tracks"]
    assert [track["id"] for track in first] == [1, 2]
    assert [track["box"] for track in first] == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_run_with_a_box_outside_writes_nothing(folder: OutputFolder) -> None:
    options = TrackOptions(boxes=as_boxes([[900, 2, 3, 4]]))

    with pytest.raises(TargetRefusedError, match="--box 900,2,3,4: the box is outside"):
        track_source(MovingBox(), BrightTracker(), options, folder)

    assert not folder.path.exists()


def test_lost_target_is_no_row_of_mot_text(folder: OutputFolder) -> None:
    track_source(MovingBox(), BrightTracker(lost_at=4), TrackOptions(), folder)

    mot = read_tracks(folder.path / "tracks.txt", NUM_FRAMES)
    assert [len(frame.ids) for frame in mot[2:5]] == [1, 0, 1]
    assert read_csv(folder)[3]["state"] == "lost"


def test_refused_frames_are_counted_and_told(folder: OutputFolder) -> None:
    run = track_source(MovingBox(), BrightTracker(refused=(5, 6)), TrackOptions(), folder)

    assert (run.num_tracked, run.num_refused) == (NUM_FRAMES - 2, 2)
    assert run.notes == ["frame 5 refused: the image is dark", "frame 6 refused: the image is dark"]
    assert [line["frame"] for line in read_lines(folder)] == [1, 2, 3, 4, *range(7, NUM_FRAMES + 1)]


def test_refused_first_frame_writes_nothing(folder: OutputFolder) -> None:
    with pytest.raises(FrameRefusedError, match="the image is dark"):
        track_source(MovingBox(), BrightTracker(refused=(1,)), TrackOptions(), folder)

    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("interruption", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143), (SystemExit(), 1)]
)
def test_interrupted_run_keeps_what_it_has(
    folder: OutputFolder, interruption: BaseException, status: int
) -> None:
    tracker = BrightTracker(interrupt_at=8, interruption=interruption)

    run = track_source(MovingBox(), tracker, TrackOptions(), folder)

    assert run.was_interrupted and run.exit_status == status
    assert run.num_tracked == len(read_csv(folder)) == len(open_source(folder.path / "overlay.mp4")) == 7


def test_refused_first_frame_is_named_with_its_file(make_video: Callable[..., Path]) -> None:
    path = make_video("tiny.mkv", np.zeros((2, 16, 16, 3), np.uint8), codec="ffv1", pixel_format="bgr0")

    with pytest.raises(FrameRefusedError, match=rf"{path}: frame 2 cannot be tracked: "):
        track_source(open_source(path), BrightTracker(refused={1, 2}), TrackOptions(first_frame=2), None)


def test_rows_are_on_the_disk_after_each_frame(folder: OutputFolder) -> None:
    counts: list[int] = []

    track_source(
        MovingBox(),
        BrightTracker(),
        TrackOptions(),
        folder,
        on_frame=lambda _: counts.append(len(read_csv(folder))),
    )

    assert counts == list(range(1, NUM_FRAMES + 1))


def test_damaged_input_leaves_nothing_behind(folder: OutputFolder, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="frame 9 is damaged"):
        track_source(MovingBox(error_at=9), BrightTracker(), TrackOptions(), folder)

    assert list(tmp_path.iterdir()) == []


def test_damaged_input_leaves_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("mine")
    folder = OutputFolder(tmp_path, overwrites=True)

    with pytest.raises(SourceError, match="frame 9 is damaged"):
        track_source(MovingBox(error_at=9), BrightTracker(), TrackOptions(), folder)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.md"]


def test_live_stream_that_ends_keeps_what_it_has(folder: OutputFolder) -> None:
    run = track_source(MovingBox(error_at=9), BrightTracker(), TrackOptions(), folder, is_live=True)

    assert run.notes == ["the stream ended: frame 9 is damaged"]
    assert len(read_csv(folder)) == 8


def test_row_stream_gets_a_line_for_each_frame() -> None:
    stream = io.StringIO()

    track_source(MovingBox(), BrightTracker(), TrackOptions(row_stream=stream), None)

    assert [json.loads(line)["frame"] for line in stream.getvalue().splitlines()] == list(
        range(1, NUM_FRAMES + 1)
    )


def test_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tracks.txt").touch()

    with pytest.raises(
        SourceError, match=rf"{tmp_path} must be empty: got 1 files, as tracks.txt; choose another"
    ):
        OutputFolder(tmp_path, overwrites=False)


def test_overwritten_folder_loses_only_files_of_a_run(tmp_path: Path) -> None:
    for name in (*FILE_NAMES, "notes.md"):
        (tmp_path / name).touch()

    OutputFolder(tmp_path, overwrites=True).create()

    assert [path.name for path in tmp_path.iterdir()] == ["notes.md"]


def test_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SourceError, match="cannot be written"):
        OutputFolder(tmp_path / "file" / "out", overwrites=False).create()


def test_statistics_count_frames_scores_and_classes() -> None:
    statistics = TrackStatistics()
    box = ScoredBoxes(np.array([3]), as_boxes([[0, 0, 4, 2]]), np.array([0.5]), np.array([1]), ("confirmed",))

    for number in (2, 3, 5):
        statistics.update(number, number / 10, box)
    statistics.update(6, 0.6, replace(box, states=("lost",)))

    track = statistics.tracks[3]
    assert (track.first_frame, track.last_frame, track.num_frames, track.mean_score) == (2, 5, 3, 0.5)
    assert track.centers.values == [(2.0, 1.0)] * 3
    assert statistics.num_boxes == 3


@given(st.integers(0, 1000), st.integers(2, 20))
def test_thinned_values_are_bounded_and_evenly_spread(num_values: int, max_values: int) -> None:
    thinned = Thinned(max_values)

    for value in range(num_values):
        thinned.append(float(value), 0.0)

    values = [value for value, _ in thinned.values]
    assert len(values) <= max_values
    assert values == list(np.arange(0, num_values, values[1] if len(values) > 1 else 1))[: len(values)]
    assert num_values == 0 or num_values - values[-1] <= 2 * max(1, num_values / max_values) + 1


def test_progress_is_reported_for_each_frame() -> None:
    seen: list[int] = []

    def report(run: TrackRun) -> None:
        seen.append(run.num_tracked)

    track_source(MovingBox(), BrightTracker(), TrackOptions(), None, on_frame=report)

    assert seen == list(range(1, NUM_FRAMES + 1))


def test_video_is_tracked_as_its_frames(make_video: Callable[..., Path], folder: OutputFolder) -> None:
    images = [frame.image for frame in MovingBox()]
    source = open_source(make_video("a.mkv", images, codec="ffv1", pixel_format="bgr0"))

    track_source(source, BrightTracker(), TrackOptions(), folder)

    boxes = [line["tracks"][0]["box"] for line in read_lines(folder)]
    assert boxes == [[2.0 * number, 20.0, 10.0, 8.0] for number in range(1, NUM_FRAMES + 1)]
