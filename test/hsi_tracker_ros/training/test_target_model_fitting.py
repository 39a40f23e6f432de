"""Tests of the fit of the tracker's numbers to labeled videos."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from hsi_tracker_ros.tracker.existence import ExistenceFilter, RedetectionEvidence
from hsi_tracker_ros.tracker.target_model import ExistenceModel
from hsi_tracker_ros.training.target_model_fitting import (
    LabeledFrame,
    LabeledVideo,
    fit_target_model,
    predict_scores,
)
from tracking_runtime.errors import SourceError

STAY, RETURN = 0.98, 0.05


def make_frame(response: float, *, is_correct: bool, **flags: bool) -> LabeledFrame:
    """Return a frame with one candidate, of which only the response tells something."""
    features = np.array([response, 0.0, 0.0, 0.0, 0.0])
    overlap = 0.8 if is_correct else 0.1
    defaults = {"is_lost": False, "continues": True, "is_at_border": False}
    return LabeledFrame(features[None], np.array([overlap]), features, overlap, **{**defaults, **flags})


def draw_videos(seed: int, count: int = 30, frames: int = 80) -> list[LabeledVideo]:
    """Return videos whose boxes turn wrong and right again as a Markov chain, with Gaussian responses."""
    rng = np.random.default_rng(seed)
    videos = []
    for index in range(count):
        is_correct = True
        drawn = []
        for _ in range(frames):
            is_correct = rng.random() < (STAY if is_correct else RETURN)
            drawn.append(make_frame(rng.normal(1.0 if is_correct else -1.0), is_correct=is_correct))
        videos.append(LabeledVideo(str(index), drawn, ()))
    return videos


def compute_calibration_error(videos: list[LabeledVideo], scores: list[np.ndarray]) -> float:
    predicted = np.concatenate(scores)
    labels = np.concatenate([[frame.best_overlap >= 0.5 for frame in video.frames] for video in videos])
    bins = np.minimum((predicted * 10).astype(int), 9)
    return sum(abs((predicted - labels)[bins == index].sum()) for index in range(10)) / len(labels)


def test_fit_finds_frequencies_and_weights() -> None:
    model = fit_target_model(draw_videos(0))

    # Two Gaussians at 1 and -1 have the log likelihood ratio 2 x.
    assert model.view.response == pytest.approx(2.0, rel=0.15)
    assert model.view.offset == pytest.approx(0.0, abs=0.2)
    assert model.existence.occlude == pytest.approx(1 - STAY, rel=0.5)
    assert model.existence.reveal == pytest.approx(RETURN, rel=0.5)
    assert model.existence.evidence_weight > 0.8  # independent frames


def test_fitted_scores_are_calibrated_on_other_videos() -> None:
    model = fit_target_model(draw_videos(0))

    others = draw_videos(1)

    assert compute_calibration_error(others, predict_scores(others, model)) < 0.03


def test_repeated_frames_get_less_weight() -> None:
    videos = [
        LabeledVideo(video.name, [frame for frame in video.frames for _ in range(5)], ())
        for video in draw_videos(0)
    ]

    assert fit_target_model(videos).existence.evidence_weight < 0.5


def test_predicted_scores_are_those_of_the_filter() -> None:
    frames = [
        make_frame(2.0, is_correct=True),
        make_frame(-1.0, is_correct=True, is_at_border=True),
        make_frame(-2.0, is_correct=False, is_lost=True, continues=False),
        make_frame(1.0, is_correct=True, is_lost=True),
        make_frame(2.0, is_correct=True),
    ]
    model = fit_target_model(draw_videos(0))

    (scores,) = predict_scores([LabeledVideo("video", frames, ())], model)

    log_odds = [
        model.get_weights(is_lost=frame.is_lost).compute_log_odds(frame.best_features) for frame in frames
    ]
    box = np.array([0.0, 0.0, 10.0, 10.0])
    existence = ExistenceFilter()
    existence.update(log_odds[0], model.existence, is_at_border=False)
    in_view = [existence.compute_score(model.existence)]
    existence.update(log_odds[1], model.existence, is_at_border=True)
    in_view.append(existence.compute_score(model.existence))
    first = RedetectionEvidence(box, log_odds[2])
    second = first.follow(box, log_odds[3])
    lost = [candidate.compute_score(model.existence) for candidate in (first, second)]
    existence.restart(lost[1])
    existence.update(log_odds[4], model.existence, is_at_border=False)
    np.testing.assert_allclose(scores, [*in_view, *lost, existence.compute_score(model.existence)])


def test_look_alikes_bound_the_score() -> None:
    rng = np.random.default_rng(2)
    videos = []
    for index in range(40):
        is_look_alike = index % 5 == 0
        frames = [make_frame(rng.normal(-3.0), is_correct=False) for _ in range(10)]
        frames += [make_frame(rng.normal(3.0), is_correct=not is_look_alike) for _ in range(40)]
        videos.append(LabeledVideo(str(index), frames, ()))

    model = fit_target_model(videos)

    scores = np.concatenate(predict_scores(videos, model))
    assert scores.max() == pytest.approx(0.8, abs=0.05)
    assert isinstance(model.existence, ExistenceModel)
    assert expit(model.view.compute_log_odds(np.array([3.0, 0, 0, 0, 0]))) > 0.9


@pytest.mark.parametrize("is_correct", [True, False])
def test_fit_of_one_kind_of_boxes_is_refused(is_correct: bool) -> None:
    frames = [make_frame(float(value), is_correct=is_correct) for value in range(20)]

    with pytest.raises(SourceError, match="correct and with wrong"):
        fit_target_model([LabeledVideo("video", frames, ())])
