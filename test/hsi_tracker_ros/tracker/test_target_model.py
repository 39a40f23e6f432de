from dataclasses import replace

import numpy as np
import pytest

from hsi_tracker_ros.hanet.config import HANetConfig, SpectralConfig
from hsi_tracker_ros.tracker import SIAMBAN, TrackerSettings, make_tracker_settings
from hsi_tracker_ros.tracker.target_model import CandidateWeights, ExistenceModel, Reference, TargetModel
from tracking_runtime.errors import ModelError


def test_log_odds_are_the_weighted_sum_of_the_features():
    weights = CandidateWeights(1.0, 2.0, -3.0, 4.0, -5.0, -6.0)

    log_odds = weights.compute_log_odds(np.array([0.5, 0.1, 0.2, 0.3, 1.0]))

    assert log_odds == pytest.approx(1 + 2 * 0.5 - 3 * 0.1 + 4 * 0.2 - 5 * 0.3 - 6)


def test_features_without_reference_have_no_change():
    features = Reference().compute_features(3.0, -0.5, is_distractor=True)

    np.testing.assert_array_equal(features, [3.0, -0.5, 0.0, 0.0, 1.0])


def test_reference_is_the_mean_of_the_first_frames():
    reference = Reference()
    for response in range(40):
        reference = reference.add(float(response), -1.0)

    features = reference.compute_features(20.0, -0.5, is_distractor=False)

    assert reference.response == pytest.approx(np.mean(range(25)))
    np.testing.assert_allclose(features, [20.0, -0.5, 8.0, 0.5, 0.0])


def test_target_model_is_read_from_the_settings_of_a_manifest():
    tracking = {"target_model": {"view": {"offset": 1}, "existence": {"leave": 0.3}}, "size_rate": 0.5}

    settings = make_tracker_settings(HANetConfig(spectral=SpectralConfig(), tracking=tracking))

    expected = TargetModel(view=CandidateWeights(offset=1.0), existence=ExistenceModel(leave=0.3))
    assert settings == TrackerSettings(size_rate=0.5, target_model=expected)


@pytest.mark.parametrize("values", [{"view": {"unknown": 1.0}}, {"existence": {"leave": "often"}}, 3.0])
def test_invalid_target_model_is_refused(values):
    with pytest.raises(ModelError, match="target_model must contain the fitted numbers"):
        make_tracker_settings(HANetConfig(tracking={"target_model": values}))


def test_model_without_fitted_numbers_scores_each_frame_alone():
    assert make_tracker_settings(HANetConfig()) == SIAMBAN
    assert SIAMBAN.target_model is None


@pytest.mark.parametrize("name", ["online_score", "redetection_places", "redetection_scale", "fitting_gain"])
def test_setting_of_earlier_versions_is_ignored_with_a_warning(caplog, name):
    settings = make_tracker_settings(HANetConfig(tracking={name: 3, "size_rate": 0.5}))

    assert settings == replace(SIAMBAN, size_rate=0.5)
    assert f"setting {name} no longer exists and is ignored; now, " in caplog.text


def test_unknown_setting_is_refused():
    with pytest.raises(ModelError, match="settings of the tracker only: got lost_confidance"):
        make_tracker_settings(HANetConfig(tracking={"lost_confidance": 0.3}))
