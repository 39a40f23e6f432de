"""Scores of videos and of many together: golden numbers worked out by hand, and JSON without loss."""

from __future__ import annotations

import contextlib
import io
import json
import math
import tracemalloc
from dataclasses import replace
from itertools import count as numbers_from
from itertools import repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tracking_runtime.boxes import as_boxes
from tracking_runtime.evaluation.detection import score_detections
from tracking_runtime.evaluation.multi_object import CENTRE_5PX, FrameBoxes, ScoredBoxes, combined, count
from tracking_runtime.evaluation.video_scores import Rules, VideoScores, score_video, summarise
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io import disk_list
from tracking_runtime.io.disk_list import Spool

NUMBERS = numbers_from(1)


def truth_of(*boxes: list[float] | None) -> GroundTruth:
    known = [(k, box) for k, box in enumerate(boxes, start=1) if box is not None]
    ids = np.array([k for k, _ in known], np.int64)
    return GroundTruth(ids, np.zeros(len(ids), np.uint8), as_boxes([box for _, box in known]))


def seen(*objects: tuple[int, list[float], float]) -> ScoredBoxes:
    return ScoredBoxes(
        np.array([number for number, _, _ in objects], np.int64),
        as_boxes([box for _, box, _ in objects]),
        np.array([score for _, _, score in objects], np.float64),
        np.zeros(len(objects), np.int64),
    )


BOX = [10.0, 10.0, 20.0, 20.0]
FAR = [300.0, 10.0, 20.0, 20.0]


def test_one_target_by_hand():
    """Overlaps 1, 1/3, 0 and a NaN that fails; frames without target or truth don't count."""
    truth = [truth_of(BOX)] * 4 + [truth_of(), None]
    answer = [BOX, [20, 10, 20, 20], FAR, [np.nan] * 4, BOX, BOX]
    scores = score_video("car", truth, as_boxes(answer))
    assert scores.frames == 4
    figures = scores.figures
    # OTB: of 21 thresholds overlap 1 exceeds 20, overlap 1/3 exceeds 0, 0.05, .., 0.30: 7. MATLAB: 50 and 16.
    assert figures["success"] == pytest.approx((20 + 7) / 21 / 4)
    assert figures["success_matlab"] == pytest.approx((50 + 16) / 50 / 4)
    assert figures["precision"] == figures["precision_matlab"] == 0.5
    assert figures["mean_overlap"] == pytest.approx((1 + 1 / 3) / 4)
    np.testing.assert_allclose(scores.badness, [0, 2 / 3, 1, 1, np.nan, np.nan])


def test_means_are_of_videos_and_attributes_of_those_that_have_them():
    good = score_video("a", [truth_of(BOX)] * 9, as_boxes([BOX] * 9), attributes=("OCC",))
    bad = score_video("b", [truth_of(BOX)], as_boxes([FAR]), attributes=("OCC", "SV"))
    never = score_video("c", [truth_of()], as_boxes([BOX]))
    summary = summarise([good, bad, never])
    assert summary.videos == 2
    assert summary.figures["success_matlab"] == 0.5
    assert {name: each["success_matlab"] for name, each in summary.by_attribute.items()} == {
        "OCC": 0.5,
        "SV": 0,
    }
    with pytest.raises(ValueError, match="no video has a frame that counts"):
        summarise([never])


def test_one_target_against_a_truth_of_several_is_refused():
    with pytest.raises(ValueError, match="car: 2 objects in frame 1 where one target is scored"):
        score_video("car", [truth_of(BOX, FAR)], as_boxes([BOX]))
    with pytest.raises(ValueError, match="answers for 2 frames, but there are 1"):
        score_video("car", [truth_of(BOX)], as_boxes([BOX, BOX]))


def test_many_objects_by_hand():
    """Frame 1: both found. Frame 2: one under a new id, one missed, one false. Frame 3: no truth."""
    truth = [truth_of(BOX, FAR), truth_of(BOX, FAR), None, truth_of()]
    answer = [seen((5, BOX, 0.9), (6, FAR, 0.8)), seen((7, BOX, 0.9), (6, [600, 0, 20, 20], 0.2))]
    answer += [seen((9, BOX, 1.0)), seen()]
    scores = score_video("001", truth, answer)
    figures = scores.figures
    assert (figures["FN"], figures["FP"], figures["IDs"], scores.frames) == (1, 1, 1, 3)
    assert figures["MOTA"] == pytest.approx(1 - 3 / 4)
    assert figures["IDF1"] == pytest.approx(2 * 2 / (4 + 4))
    assert figures["recall"] == figures["precision"] == figures["detection_F1"] == 0.75
    np.testing.assert_array_equal(scores.badness, [0, 2, np.nan, 0])


def test_summaries_of_many_objects_are_of_all_boxes_together():
    one = score_video("a", [truth_of(BOX)] * 3, [seen((1, BOX, 1.0))] * 3)
    other = score_video("b", [truth_of(BOX)], [seen((1, FAR, 1.0))])
    assert summarise([one, other]).figures["MOTA"] == pytest.approx(1 - 2 / 4)
    none = score_video("c", [truth_of(BOX)] * 2, [seen()] * 2)
    assert (none.figures["MOTA"], none.figures["FN"], none.figures["ML"]) == (0, 2, 1)
    empty = score_video("d", [truth_of()], [seen((1, BOX, 1.0))])
    assert empty.figures["FP"] == 1
    assert math.isnan(empty.figures["detection_AP"])
    json.dumps(empty.as_json(), allow_nan=False)


def test_videos_of_both_kinds_are_not_summed_up():
    one = score_video("car", [truth_of(BOX)], as_boxes([BOX]))
    many = score_video("001", [truth_of(BOX)], [seen((1, BOX, 1.0))])
    with pytest.raises(ValueError, match="car is scored as one target and 001 as many objects"):
        summarise([many, one])


def test_classes_by_hand():
    """Two cars, one found; one ship, found but called a car in the second frame."""
    car, ship = 0, 2
    truth = [GroundTruth(np.array([1, 2]), np.array([car, ship], np.uint8), as_boxes([BOX, FAR]))] * 2
    answer = [
        ScoredBoxes(np.array([1, 2]), as_boxes([BOX, FAR]), np.ones(2), np.array([car, kind]))
        for kind in (ship, car)
    ]
    names = ("car", "airplane", "ship")
    scores = score_video("001", truth, answer, class_names=names)
    by_class = summarise([scores, scores]).by_class
    assert {name: (each["FP"], each["FN"]) for name, each in by_class.items()} == {
        "car": (2, 0),
        "ship": (0, 2),
    }
    assert scores.figures["MOTA"] == 1 and by_class["ship"]["MOTA"] == 0.5
    assert by_class["car"]["challenge_score"] == pytest.approx((0.5 + 2 * 4 / (4 + 6)) / 2)
    again = VideoScores.from_json(json.loads(json.dumps(scores.as_json(), allow_nan=False)))
    assert summarise([again, again]).by_class == by_class


def test_tracks_whose_classes_are_unknown_have_figures_by_class_only_where_there_is_one():
    kinds = np.array([0, 2], np.uint8)
    answer = [ScoredBoxes(np.array([1, 2]), as_boxes([BOX, FAR]), np.ones(2), np.array([-1, -1]))]
    several = score_video("a", [GroundTruth(np.array([1, 2]), kinds, as_boxes([BOX, FAR]))], answer)
    assert summarise([several]).by_class == {}
    swapped = [ScoredBoxes(np.array([1, 2]), as_boxes([BOX, FAR]), np.ones(2), kinds[::-1].astype(np.int64))]
    numbered_otherwise = score_video(
        "c", [GroundTruth(np.array([1, 2]), kinds, as_boxes([BOX, FAR]))], swapped
    )
    assert summarise([numbered_otherwise]).by_class == {}
    one = score_video("b", [truth_of(BOX, FAR)], answer, class_names=("airplane",))
    assert summarise([several, one]).by_class == {"airplane": pytest.approx(one.figures)}


def test_a_doubled_id_is_refused_with_the_video_s_name():
    with pytest.raises(ValueError, match="001: id 5 is twice in frame 0"):
        score_video("001", [truth_of(BOX)], [seen((5, BOX, 1.0), (5, FAR, 1.0))])


def test_average_precision_by_hand():
    """Ranked by score: right, wrong, right, of 2 objects: precision 1 up to recall 1/2, then 2/3."""
    truth = [FrameBoxes(np.arange(2), as_boxes([BOX, FAR]))]
    detected = [seen((1, FAR, 0.9), (2, [600, 0, 20, 20], 0.5), (3, BOX, 0.2))]
    scores = score_detections(truth, detected)
    assert scores.average_precision == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert (scores.precision, scores.recall) == (pytest.approx(2 / 3), 1)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_average_precision_is_what_pycocotools_sums_up(seed):
    """Scores of few values, so that many are equal, within a frame and between frames."""
    rng = np.random.default_rng(seed)
    videos = [random_video(rng) for _ in range(4)]
    truth = [FrameBoxes(t.ids, t.boxes) for part, _ in videos for t in part]
    detected = [replace(d, scores=np.round(d.scores, 1)) for _, part in videos for d in part]
    reference = COCO()
    reference.dataset = {
        "images": [{"id": number} for number in range(1, len(truth) + 1)],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": next(NUMBERS), "image_id": number, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}
            for number, frame in enumerate(truth, start=1)
            for box in frame.boxes.tolist()
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
        found = reference.loadRes(
            [
                {"image_id": number, "category_id": 1, "bbox": box, "score": score}
                for number, frame in enumerate(detected, start=1)
                for box, score in zip(frame.boxes.tolist(), frame.scores.tolist(), strict=True)
            ]
        )
        theirs = COCOeval(reference, found, "bbox")
        theirs.params.iouThrs = np.array([0.3])
        theirs.evaluate()
        theirs.accumulate()
    expected = theirs.eval["precision"][0, :, 0, 0, -1].mean()
    assert score_detections(truth, detected).average_precision == pytest.approx(expected, abs=1e-12)


def test_memory_does_not_grow_with_frames(monkeypatch):
    """Of each frame, kilobytes of objects and tracks, little is held: its error, and where it is on disk."""
    for name, value in {"_IN_MEMORY_BYTES": 1 << 12, "_RUN": 64, "_BATCH": 8}.items():
        monkeypatch.setattr(disk_list, name, value)
    peak_of_scoring(10)
    assert peak_of_scoring(250) - peak_of_scoring(50) < 200 * 300


def peak_of_scoring(frames: int) -> int:
    boxes = as_boxes([[20 * lane, 0, 10, 10] for lane in range(5)])
    truth = GroundTruth(np.arange(5), np.zeros(5, np.uint8), boxes)
    answer = ScoredBoxes(np.arange(5), boxes + 1, np.full(5, 0.5), np.zeros(5, np.int64))
    tracemalloc.start()
    kept = Spool(repeat(truth, frames)), Spool(repeat(answer, frames))
    assert score_video("a", *kept).figures["FN"] == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_average_precision_with_500_objects_in_a_frame_and_by_centres():
    """COCO would stop at 100 detections of a frame."""
    boxes = as_boxes([[40 * (k % 25), 40 * (k // 25), 4, 4] for k in range(500)])
    detected = ScoredBoxes(
        np.arange(500), boxes + np.array([3, 0, 0, 0]), np.linspace(1, 0.5, 500), np.zeros(500, np.int64)
    )
    scores = score_detections([FrameBoxes(np.arange(500), boxes)], [detected], CENTRE_5PX)
    assert (scores.average_precision, scores.f1) == (pytest.approx(1), 1)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_scores_go_through_json_without_loss(seed):
    rng = np.random.default_rng(seed)
    truth, answer = random_video(rng)
    many = score_video("a", truth, answer, attributes=("OCC",), rules=Rules("centre5px"))
    one = score_video("b", [truth_of(BOX)] * 5, as_boxes(BOX + rng.normal(0, 5, (5, 4))))
    for scores in (many, one):
        again = VideoScores.from_json(json.loads(json.dumps(scores.as_json(), allow_nan=False)))
        assert summarise([again, again]).figures == pytest.approx(
            summarise([scores, scores]).figures, nan_ok=True
        )
        assert again.as_json() == scores.as_json()


def test_sequences_combine_as_one_long_sequence_does():
    """With objects of their own, counts add up; CLEAR and identity know nothing of sequences."""
    rng = np.random.default_rng(4)
    parts = [random_video(rng) for _ in range(3)]
    counts = [count([FrameBoxes(t.ids, t.boxes) for t in truth], answer) for truth, answer in parts]
    shift = [100 * number for number in range(3)]
    truth = [FrameBoxes(t.ids + s, t.boxes) for (part, _), s in zip(parts, shift, strict=True) for t in part]
    answer = [FrameBoxes(a.ids + s, a.boxes) for (_, part), s in zip(parts, shift, strict=True) for a in part]
    together, apart = count(truth, answer).scores, combined(counts).scores
    for name in ("mota", "idf1", "hota", "identity_switches", "mostly_tracked", "objects", "truths"):
        assert getattr(together, name) == pytest.approx(getattr(apart, name)), name


def random_video(rng: np.random.Generator) -> tuple[list[GroundTruth], list[ScoredBoxes]]:
    """Eight frames of up to four objects, found more or less."""
    truth, answer = [], []
    for t in range(8):
        boxes = as_boxes([[60 * k + t, 20, 10, 10] for k in range(4)])
        there, found = rng.random(4) < 0.9, rng.random(4) < 0.8
        truth.append(GroundTruth(np.arange(1, 5)[there], np.zeros(int(there.sum()), np.uint8), boxes[there]))
        n = int(found.sum())
        noisy = boxes[found] + rng.normal(0, 1, (n, 4))
        answer.append(ScoredBoxes(np.arange(4)[found], noisy, rng.random(n), np.zeros(n, np.int64)))
    return truth, answer
