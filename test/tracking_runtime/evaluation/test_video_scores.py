"""Metrics of one video and summaries of many: values computed by hand, and JSON without loss."""

from __future__ import annotations

import json
import math
import tracemalloc
from itertools import repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.boxes import FrameBoxes, ScoredBoxes, as_boxes
from tracking_runtime.errors import EvaluationError
from tracking_runtime.evaluation.multi_object import combine_counts, compute_counts
from tracking_runtime.evaluation.summary import summarize
from tracking_runtime.evaluation.video_scores import ScoringRules, VideoScores, score_video
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io import disk_list
from tracking_runtime.io.disk_list import DiskList

BOX = [10.0, 10.0, 20.0, 20.0]
FAR_BOX = [300.0, 10.0, 20.0, 20.0]
FALSE_BOX = [600.0, 0.0, 20.0, 20.0]
NO_BOX = [np.nan] * 4
CAR, SHIP = 0, 2


def make_truth(*boxes: list[float], class_ids: list[int] | None = None) -> GroundTruth:
    """Make the ground truth of a frame, with ids from 1. The default class is 0."""
    ids = np.arange(1, len(boxes) + 1)
    return GroundTruth(ids, np.array(class_ids or [0] * len(boxes), np.uint8), as_boxes(list(boxes)))


def make_tracks(*objects: tuple[int, list[float]], class_ids: list[int] | None = None) -> ScoredBoxes:
    """Make the tracks of a frame from ids and boxes, with score 1. The default class is 0."""
    return ScoredBoxes(
        np.array([identity for identity, _ in objects], np.int64),
        as_boxes([box for _, box in objects]),
        np.ones(len(objects)),
        np.array(class_ids or [0] * len(objects), np.int64),
    )


def make_random_video(rng: np.random.Generator) -> tuple[list[GroundTruth], list[ScoredBoxes]]:
    """Make 8 frames of up to four objects and noisy tracks."""
    truth, tracks = [], []
    for t in range(8):
        boxes = as_boxes([[60 * k + t, 20, 10, 10] for k in range(4)])
        is_visible = rng.random(4) < 0.9
        is_found = rng.random(4) < 0.8
        num_visible, num_found = int(is_visible.sum()), int(is_found.sum())
        truth.append(
            GroundTruth(np.arange(1, 5)[is_visible], np.zeros(num_visible, np.uint8), boxes[is_visible])
        )
        noisy = boxes[is_found] + rng.normal(0, 1, (num_found, 4))
        tracks.append(
            ScoredBoxes(np.arange(4)[is_found], noisy, rng.random(num_found), np.zeros(num_found, np.int64))
        )
    return truth, tracks


def test_single_target_scores_by_hand():
    """Overlaps 1, 1/3, 0, and a failure (NaN). Frames without target or ground truth do not count."""
    truth = [make_truth(BOX)] * 4 + [make_truth(), None]
    prediction = as_boxes([BOX, [20, 10, 20, 20], FAR_BOX, NO_BOX, BOX, BOX])

    scores = score_video("car", truth, prediction)

    # OTB has 21 thresholds: overlap 1 exceeds 20, overlap 1/3 exceeds 0, 0.05, ..., 0.30: 7. MATLAB: 50 and
    # 16.
    metrics = scores.metrics
    assert scores.num_frames == 4
    assert metrics["success"] == pytest.approx((20 + 7) / 21 / 4)
    assert metrics["success_matlab"] == pytest.approx((50 + 16) / 50 / 4)
    assert metrics["precision"] == metrics["precision_matlab"] == 0.5
    assert metrics["mean_overlap"] == pytest.approx((1 + 1 / 3) / 4)
    np.testing.assert_allclose(scores.frame_errors, [0, 2 / 3, 1, 1, np.nan, np.nan])


def test_summary_averages_videos_and_attributes():
    good = score_video("a", [make_truth(BOX)] * 9, as_boxes([BOX] * 9), attributes=("OCC",))
    bad = score_video("b", [make_truth(BOX)], as_boxes([FAR_BOX]), attributes=("OCC", "SV"))
    empty = score_video("c", [make_truth()], as_boxes([BOX]))

    summary = summarize([good, bad, empty])

    success = {name: metrics["success_matlab"] for name, metrics in summary.metrics_by_attribute.items()}
    assert summary.num_videos == 2
    assert summary.metrics["success_matlab"] == 0.5
    assert success == {"OCC": 0.5, "SV": 0}


def test_summary_without_frames_is_refused():
    empty = score_video("c", [make_truth()], as_boxes([BOX]))

    with pytest.raises(EvaluationError, match="no video has a frame that counts"):
        summarize([empty])


def test_single_target_with_several_objects_is_refused():
    with pytest.raises(ValueError, match="car: a single target is scored, but frame 1 has 2 objects"):
        score_video("car", [make_truth(BOX, FAR_BOX)], as_boxes([BOX]))


def test_prediction_of_another_length_is_refused():
    with pytest.raises(ValueError, match="predictions for 2 frames, ground truth for 1"):
        score_video("car", [make_truth(BOX)], as_boxes([BOX, BOX]))


def test_multi_object_scores_by_hand():
    """Frame 1: both found. Frame 2: one with a new id, one missed, one false. Frame 3: no ground truth."""
    truth = [make_truth(BOX, FAR_BOX), make_truth(BOX, FAR_BOX), None, make_truth()]
    prediction = [
        make_tracks((5, BOX), (6, FAR_BOX)),
        make_tracks((7, BOX), (6, FALSE_BOX)),
        make_tracks((9, BOX)),
        make_tracks(),
    ]

    scores = score_video("001", truth, prediction)

    metrics = scores.metrics
    assert (metrics["FN"], metrics["FP"], metrics["IDs"], scores.num_frames) == (1, 1, 1, 3)
    assert metrics["MOTA"] == pytest.approx(1 - 3 / 4)
    assert metrics["IDF1"] == pytest.approx(2 * 2 / (4 + 4))
    assert metrics["recall"] == metrics["precision"] == metrics["detection_F1"] == 0.75
    np.testing.assert_array_equal(scores.frame_errors, [0, 2, np.nan, 0])


def test_multi_object_summary_pools_all_boxes():
    perfect = score_video("a", [make_truth(BOX)] * 3, [make_tracks((1, BOX))] * 3)
    wrong = score_video("b", [make_truth(BOX)], [make_tracks((1, FAR_BOX))])

    summary = summarize([perfect, wrong])

    assert summary.metrics["MOTA"] == pytest.approx(1 - 2 / 4)


def test_multi_object_without_tracks_misses_everything():
    metrics = score_video("c", [make_truth(BOX)] * 2, [make_tracks()] * 2).metrics

    assert (metrics["MOTA"], metrics["FN"], metrics["ML"]) == (0, 2, 1)


def test_multi_object_without_objects_has_nan_precision():
    scores = score_video("d", [make_truth()], [make_tracks((1, BOX))])

    assert scores.metrics["FP"] == 1
    assert math.isnan(scores.metrics["detection_AP"])
    json.dumps(scores.to_json(), allow_nan=False)


def test_summary_of_both_kinds_of_videos_is_refused():
    single = score_video("car", [make_truth(BOX)], as_boxes([BOX]))
    many = score_video("001", [make_truth(BOX)], [make_tracks((1, BOX))])

    with pytest.raises(EvaluationError, match="car is scored as a single target and 001 as many objects"):
        summarize([many, single])


@pytest.fixture
def two_class_scores() -> VideoScores:
    """A car, tracked, and a ship, tracked but called a car in the second frame."""
    truth = [make_truth(BOX, FAR_BOX, class_ids=[CAR, SHIP])] * 2
    prediction = [make_tracks((1, BOX), (2, FAR_BOX), class_ids=[CAR, class_id]) for class_id in (SHIP, CAR)]
    return score_video("001", truth, prediction, class_names=("car", "airplane", "ship"))


def test_metrics_by_class_by_hand(two_class_scores):
    by_class = summarize([two_class_scores, two_class_scores]).metrics_by_class

    assert {name: (metrics["FP"], metrics["FN"]) for name, metrics in by_class.items()} == {
        "car": (2, 0),
        "ship": (0, 2),
    }
    assert two_class_scores.metrics["MOTA"] == 1
    assert by_class["ship"]["MOTA"] == 0.5
    assert by_class["car"]["challenge_score"] == pytest.approx((0.5 + 2 * 4 / (4 + 6)) / 2)


def test_metrics_by_class_survive_json(two_class_scores):
    text = json.dumps(two_class_scores.to_json(), allow_nan=False)

    read = VideoScores.from_json(json.loads(text))

    expected = summarize([two_class_scores, two_class_scores]).metrics_by_class
    assert summarize([read, read]).metrics_by_class == expected


@pytest.mark.parametrize("class_ids", [[-1, -1], [SHIP, CAR]], ids=["unknown", "numbered otherwise"])
def test_no_metrics_by_class_without_matching_classes(class_ids):
    truth = [make_truth(BOX, FAR_BOX, class_ids=[CAR, SHIP])]
    prediction = [make_tracks((1, BOX), (2, FAR_BOX), class_ids=class_ids)]

    scores = score_video("a", truth, prediction)

    assert summarize([scores]).metrics_by_class == {}


def test_metrics_of_the_only_class_count_all_tracks():
    prediction = [make_tracks((1, BOX), (2, FAR_BOX), class_ids=[-1, -1])]
    several = score_video("a", [make_truth(BOX, FAR_BOX, class_ids=[CAR, SHIP])], prediction)
    single = score_video("b", [make_truth(BOX, FAR_BOX)], prediction, class_names=("airplane",))

    summary = summarize([several, single])

    assert summary.metrics_by_class == {"airplane": pytest.approx(single.metrics)}


def test_duplicate_id_is_refused_with_the_video_name():
    with pytest.raises(ValueError, match="001: id 5 is twice in frame 0"):
        score_video("001", [make_truth(BOX)], [make_tracks((5, BOX), (5, FAR_BOX))])


def measure_peak_bytes(num_frames: int) -> int:
    """Return the peak memory of scoring a video of five objects."""
    boxes = as_boxes([[20 * lane, 0, 10, 10] for lane in range(5)])
    truth = GroundTruth(np.arange(5), np.zeros(5, np.uint8), boxes)
    tracks = ScoredBoxes(np.arange(5), boxes + 1, np.full(5, 0.5), np.zeros(5, np.int64))
    tracemalloc.start()
    scores = score_video("a", DiskList(repeat(truth, num_frames)), DiskList(repeat(tracks, num_frames)))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scores.metrics["FN"] == 0
    return peak_bytes


def test_memory_does_not_grow_with_frames(monkeypatch):
    """A frame has kilobytes of boxes. In memory are only its error and its position on disk."""
    for name, value in {"_MAX_MEMORY_BYTES": 1 << 12, "_ITEMS_PER_RUN": 64, "_ITEMS_PER_BATCH": 8}.items():
        monkeypatch.setattr(disk_list, name, value)
    measure_peak_bytes(10)  # imports and caches

    growth = measure_peak_bytes(250) - measure_peak_bytes(50)

    assert growth < 200 * 300


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_scores_survive_json(seed):
    rng = np.random.default_rng(seed)
    truth, tracks = make_random_video(rng)
    many = score_video("a", truth, tracks, attributes=("OCC",), rules=ScoringRules("centre5px"))
    noisy = as_boxes(BOX + rng.normal(0, 5, (5, 4)))
    single = score_video("b", [make_truth(BOX)] * 5, noisy)

    for scores in (many, single):
        read = VideoScores.from_json(json.loads(json.dumps(scores.to_json(), allow_nan=False)))

        expected = summarize([scores, scores]).metrics
        assert summarize([read, read]).metrics == pytest.approx(expected, nan_ok=True)
        assert read.to_json() == scores.to_json()


def test_combined_counts_equal_one_long_sequence():
    """If no object is in two sequences, counts add up."""
    rng = np.random.default_rng(4)
    parts = [make_random_video(rng) for _ in range(3)]
    counts = []
    all_truth, all_tracks = [], []
    for number, (part_truth, part_tracks) in enumerate(parts):
        truth = [FrameBoxes(frame.ids, frame.boxes) for frame in part_truth]
        counts.append(compute_counts(truth, part_tracks))
        all_truth += [FrameBoxes(frame.ids + 100 * number, frame.boxes) for frame in part_truth]
        all_tracks += [FrameBoxes(frame.ids + 100 * number, frame.boxes) for frame in part_tracks]

    combined = combine_counts(counts).scores

    expected = compute_counts(all_truth, all_tracks).scores
    for name in ("mota", "idf1", "hota", "identity_switches", "mostly_tracked", "objects", "truths"):
        assert getattr(combined, name) == pytest.approx(getattr(expected, name)), name
