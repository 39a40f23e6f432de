from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from hsi_tracker_ros.tracker.existence import ExistenceFilter, RedetectionEvidence
from hsi_tracker_ros.tracker.target_model import ExistenceModel

MODEL = ExistenceModel(occlude=0.01, reveal=0.1, leave=0.2, enter=0.02, evidence_weight=0.5, correlation=0.75)


def update(existence, *log_odds, is_at_border=False, model=MODEL):
    """Update with one frame per value, and return the score after each."""
    scores = []
    for value in log_odds:
        existence.update(value, model, is_at_border=is_at_border)
        scores.append(existence.compute_score(model))
    return scores


def test_first_frame_follows_bayes_rule():
    (score,) = update(ExistenceFilter(), 2.0)

    odds = 0.99 * np.exp(0.5 * 2.0) / 0.01
    assert score == pytest.approx(odds / (1 + odds))


@given(st.lists(st.floats(-500, 500), min_size=1, max_size=40), st.booleans())
def test_probabilities_of_any_evidence_add_up_to_one(log_odds, is_at_border):
    existence = ExistenceFilter()

    update(existence, *log_odds, is_at_border=is_at_border)

    assert existence.probabilities.sum() == pytest.approx(1)
    assert (existence.probabilities >= 0).all()


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=10), st.floats(0.1, 5))
def test_more_evidence_gives_a_higher_score(log_odds, gain):
    weaker = update(ExistenceFilter(), *log_odds)
    stronger = update(ExistenceFilter(), *log_odds[:-1], log_odds[-1] + gain)

    assert stronger[-1] > weaker[-1]


def test_hidden_target_at_the_border_loses_its_score_sooner():
    central, border = ExistenceFilter(), ExistenceFilter()

    update(central, *[-1.0] * 4)
    update(border, *[-1.0] * 4, is_at_border=True)

    assert border.compute_score(MODEL) < central.compute_score(MODEL)
    assert central.probabilities[2] == 0


def test_restarted_filter_has_the_probability_of_the_redetection():
    existence = ExistenceFilter()
    update(existence, -6.0, -6.0)

    existence.restart(0.8)

    assert existence.compute_score(MODEL) == pytest.approx(0.8)


def test_confusion_bounds_the_score():
    model = replace(MODEL, confusion=0.1)

    scores = update(ExistenceFilter(), *[20.0] * 10, model=model)

    assert scores[-1] == pytest.approx(0.9)


def make_box(x):
    return np.array([x, 40.0, 20.0, 20.0])


def follow(*log_odds, x=60.0):
    """Return the candidate after one frame per value, all of the same object."""
    candidate = RedetectionEvidence(make_box(60.0), log_odds[0])
    for value in log_odds[1:]:
        candidate = candidate.follow(make_box(x), value)
    return candidate


def test_first_frame_of_a_candidate_follows_bayes_rule():
    score = follow(2.0).compute_score(MODEL)

    odds = MODEL.enter / (1 - MODEL.enter) * np.exp(2.0)
    assert score == pytest.approx(odds / (1 + odds))


@pytest.mark.parametrize(("correlation", "frames"), [(0.0, 10.0), (0.5, 10 / 5.5), (1.0, 1.0)])
def test_correlated_frames_of_a_candidate_count_less(correlation, frames):
    model = replace(MODEL, correlation=correlation)

    score = follow(*[1.0] * 10).compute_score(model)

    assert score == pytest.approx(expit(logit(MODEL.enter) + frames))


@given(st.floats(-3, 3), st.integers(1, 500))
def test_same_object_for_ever_is_bounded_by_its_correlation(log_odds, count):
    score = RedetectionEvidence(make_box(0.0), log_odds, count).compute_score(MODEL)

    bound = abs(log_odds) / MODEL.correlation
    assert abs(logit(score) - logit(MODEL.enter)) <= bound + 1e-6


def test_candidate_at_another_position_starts_anew():
    candidate = follow(6.0, 6.0).follow(make_box(300.0), -1.0)

    np.testing.assert_array_equal(candidate.box, make_box(300.0))
    assert candidate.compute_score(MODEL) == pytest.approx(expit(logit(MODEL.enter) - 1.0))


def test_candidate_that_moves_a_little_is_the_same_object():
    candidate = follow(6.0, 2.0, x=75.0)

    assert (candidate.num_frames, candidate.mean_log_odds) == (2, 4.0)
