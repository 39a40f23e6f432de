"""Offline replay: a pass forward, passes backward where the target was lost, corrected tracks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tracking_runtime.boxes import ScoredBoxes, as_boxes, intersection_over_union
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.evaluation.offline_replay import (
    PrecomputedTracker,
    replay_offline,
    track_all_objects,
    track_targets,
)
from tracking_runtime.evaluation.replay import replay
from tracking_runtime.evaluation.run import EvaluateOptions, OptionsError, evaluate
from tracking_runtime.frames import Frame, GroundTruth

NUM_FRAMES = 30
NUM_ABSENT = 2
PERIOD_NS = 40_000_000


def make_box(index: int) -> list[float]:
    return [5.0 + 4 * index, 20.0, 20.0, 16.0]


class MovingTarget:
    """A video whose pixels are the number of the frame, with one target that moves."""

    name, rate_hz, class_names, spectral_info = "moving", 25.0, ("object",), None
    attributes: tuple[str, ...] = ()

    @property
    def truth(self) -> list[GroundTruth]:
        return [self._make_truth(index) for index in range(NUM_FRAMES)]

    def __len__(self) -> int:
        return NUM_FRAMES

    def __iter__(self) -> Iterator[Frame]:
        for index in range(NUM_FRAMES):
            image = np.full((4, 4), index, np.uint8)
            yield Frame((index + 1) * PERIOD_NS, image, "mono8", truth=self._make_truth(index))

    def _make_truth(self, index: int) -> GroundTruth:
        if index < NUM_ABSENT:
            return GroundTruth()
        return GroundTruth(np.ones(1, np.int64), np.zeros(1, np.uint8), as_boxes([make_box(index)]))


class ForgetfulTracker:
    """A tracker that loses its target for some frames in the direction of time in which it runs.

    Args:
        lost: frames in which the pass forward has lost the target.
        refused: frames that are refused.

    Attributes:
        tracked: numbers of the tracked frames in their order.
    """

    default_model = "forgetful"
    follows_one_target = True
    description = {"model": "forgetful"}

    def __init__(self, lost: range = range(12, 20), refused: tuple[int, ...] = ()) -> None:
        self._lost = lost
        self._refused = refused
        self._last = 0
        self._num_targets = 0
        self.tracked: list[int] = []

    def start_video(self, video: object) -> None:
        self._num_targets = 0

    def initialize(self, frame: Frame, box: np.ndarray) -> None:
        self._last = int(frame.image[0, 0])
        self._num_targets += 1

    def track(self, frame: Frame) -> ScoredBoxes:
        index = int(frame.image[0, 0])
        if index in self._refused:
            raise FrameRefusedError("too dark")
        is_forward = index > self._last
        self._last = index
        self.tracked.append(index)
        is_lost = index in self._lost and is_forward
        box = make_box(self._lost.start) if is_lost else make_box(index)
        count = self._num_targets
        return ScoredBoxes(
            np.arange(1, count + 1),
            as_boxes([box] * count),
            np.full(count, 0.1 if is_lost else 0.8),
            np.zeros(count, np.int64),
            ("lost" if is_lost else "tracking",) * count,
        )


def compute_mean_overlap(boxes: np.ndarray, first: int) -> float:
    truth = as_boxes([make_box(index) for index in range(first, first + len(boxes))])
    return float(np.mean([intersection_over_union(a, b)[0, 0] for a, b in zip(boxes, truth, strict=True)]))


def test_lost_frames_get_the_boxes_of_the_pass_backward() -> None:
    online = replay(ForgetfulTracker(), MovingTarget())
    backward = ForgetfulTracker()

    offline = replay_offline(ForgetfulTracker(), lambda: backward, MovingTarget())

    assert offline.first_frame == online.first_frame == NUM_ABSENT
    assert compute_mean_overlap(online.prediction, NUM_ABSENT) < 0.85
    assert compute_mean_overlap(offline.prediction, NUM_ABSENT) == pytest.approx(1.0)
    assert backward.tracked == list(range(19, 6, -1))


def test_target_that_is_never_lost_needs_no_second_tracker() -> None:
    def open_tracker() -> ForgetfulTracker:
        raise AssertionError("no pass backward is needed")

    offline = replay_offline(ForgetfulTracker(range(0)), open_tracker, MovingTarget())

    assert compute_mean_overlap(offline.prediction, NUM_ABSENT) == pytest.approx(1.0)


def test_target_that_is_not_found_again_stays_lost() -> None:
    tracks = track_targets(
        ForgetfulTracker(range(12, NUM_FRAMES)),
        ForgetfulTracker,
        MovingTarget(),
        as_boxes([make_box(0)]),
        MovingTarget(),
    )

    assert [objects.states[0] for objects in tracks.objects[12:]] == ["lost"] * (NUM_FRAMES - 12)
    assert tracks.num_merged == 0


def test_several_targets_are_merged_one_by_one() -> None:
    tracks = track_targets(
        ForgetfulTracker(), ForgetfulTracker, MovingTarget(), as_boxes([make_box(0)] * 2), MovingTarget()
    )

    assert tracks.num_merged == 2
    for target in range(2):
        boxes = as_boxes([objects.boxes[target] for objects in tracks.objects])
        assert compute_mean_overlap(boxes, 0) == pytest.approx(1.0)


def test_refused_frame_of_a_track_is_refused_again() -> None:
    tracks = track_targets(
        ForgetfulTracker(range(0), refused=(5,)),
        ForgetfulTracker,
        MovingTarget(),
        as_boxes([make_box(0)]),
        MovingTarget(),
    )
    precomputed = PrecomputedTracker(tracks, ForgetfulTracker())
    frames = list(MovingTarget())

    precomputed.start_video(MovingTarget())
    precomputed.initialize(frames[0], as_boxes([make_box(0)]))
    for frame in frames[1:5]:
        precomputed.track(frame)

    with pytest.raises(FrameRefusedError, match="too dark"):
        precomputed.track(frames[5])
    assert precomputed.track(frames[6]).boxes.tolist() == [make_box(6)]


def test_refused_frame_fails_an_offline_evaluation() -> None:
    with pytest.raises(FrameRefusedError, match="frame 6: too dark"):
        replay_offline(ForgetfulTracker(range(0), refused=(5,)), ForgetfulTracker, MovingTarget())


def test_video_without_a_true_box_is_refused() -> None:
    class EmptyVideo(MovingTarget):
        def _make_truth(self, index: int) -> GroundTruth:
            return GroundTruth()

    with pytest.raises(SourceError, match="no frame has a true box"):
        replay_offline(ForgetfulTracker(), ForgetfulTracker, EmptyVideo())


class TentativeTracker(ForgetfulTracker):
    """A tracker of all objects that confirms its object in the third frame."""

    follows_one_target = False

    def track(self, frame: Frame) -> ScoredBoxes:
        candidates = self.track_candidates(frame)
        return candidates if candidates.states == ("confirmed",) else ScoredBoxes.none()

    def track_candidates(self, frame: Frame) -> ScoredBoxes:
        index = int(frame.image[0, 0])
        state = "coasting" if index in self._lost else "tentative" if index < 2 else "confirmed"
        return ScoredBoxes(
            np.ones(1, np.int64), as_boxes([make_box(index)]), np.ones(1), np.zeros(1, np.int64), (state,)
        )


def test_objects_are_corrected_over_the_whole_video() -> None:
    online = replay(TentativeTracker(), MovingTarget())
    offline = replay_offline(TentativeTracker(), TentativeTracker, MovingTarget())

    assert sum(len(objects.ids) for objects in online.prediction) == NUM_FRAMES - 2 - 8
    assert sum(len(objects.ids) for objects in offline.prediction) == NUM_FRAMES
    boxes = as_boxes([objects.boxes[0] for objects in offline.prediction])
    assert compute_mean_overlap(boxes, 0) > 0.98


def test_refused_frame_has_interpolated_objects() -> None:
    class RefusingTracker(TentativeTracker):
        def track_candidates(self, frame: Frame) -> ScoredBoxes:
            if frame.image[0, 0] == 5:
                raise FrameRefusedError("too dark")
            return super().track_candidates(frame)

    tracks = track_all_objects(RefusingTracker(), MovingTarget())

    assert tracks.refusals == {5: "too dark"}
    assert tracks.objects[5].states == ("interpolated",)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"offline": True}, "needs a tracker"), ({"offline": True, "live": True, "tracker": "spax"}, "exclude")],
)
def test_offline_options_that_do_not_fit_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(OptionsError, match=reason):
        EvaluateOptions(places=["x"], **options).check()


@pytest.mark.slow
def test_offline_evaluation_is_marked_as_non_causal(tmp_path: Path) -> None:
    place = "scene:satellite?seed=3&frames=4&size=256"

    (run,) = evaluate(EvaluateOptions(places=[place], tracker="spax", offline=True, output=tmp_path))

    assert run.name == "spax spax_small offline"
    assert any("non-causal" in note for note in run.notes)
    description = json.loads((run.folder / "run.json").read_text())
    assert "non-causal" in description["ran"]["causality"]
    assert "non-causal" in (run.folder / "scores.json").read_text()
