import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.tracker.existence import ExistenceFilter
from hsi_tracker_ros.tracker.target_model import ExistenceModel

MODEL = ExistenceModel(occlude=0.01, reveal=0.1, leave=0.2, enter=0.02, evidence_weight=0.5)


def update(existence, *log_odds, is_at_border=False, is_restarted=False, model=MODEL):
    """Update with one frame per value, and return the score after each."""
    scores = []
    for value in log_odds:
        existence.update(value, model, is_at_border=is_at_border, is_restarted=is_restarted)
        scores.append(existence.compute_score(model))
    return scores


def test_first_frame_follows_bayes_rule():
    (score,) = update(ExistenceFilter(), 2.0)

    odds = 0.99 * np.exp(0.5 * 2.0) / 0.01
    assert score == pytest.approx(odds / (1 + odds))


@given(st.lists(st.floats(-500, 500), min_size=1, max_size=40), st.booleans(), st.booleans())
def test_probabilities_of_any_evidence_add_up_to_one(log_odds, is_at_border, is_restarted):
    existence = ExistenceFilter()

    update(existence, *log_odds, is_at_border=is_at_border, is_restarted=is_restarted)

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


def test_other_candidate_of_a_lost_target_starts_without_evidence():
    existence = ExistenceFilter()
    update(existence, 6.0, 6.0)

    (score,) = update(existence, 0.0, is_restarted=True)

    assert score == pytest.approx(MODEL.enter)


def test_rejected_object_has_no_score():
    existence = ExistenceFilter()
    update(existence, 6.0)

    existence.reject()

    assert existence.compute_score(MODEL) == 0


def test_confusion_bounds_the_score():
    model = ExistenceModel(confusion=0.1)

    scores = update(ExistenceFilter(), *[20.0] * 10, model=model)

    assert scores[-1] == pytest.approx(0.9)
