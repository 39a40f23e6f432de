"""Settings of the tracker: defaults, SiamBAN's, and those in a model's manifest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import dacite

from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.tracker.target_model import TargetModel
from tracking_runtime.errors import ModelError

_log = logging.getLogger(__name__)

_TARGET_MODEL = "target_model"  # name of the fitted numbers among the settings of a manifest


_REMOVED_SETTINGS = {
    "online_score": "the best frame of each interval becomes the online template",
    "redetection_places": "6 positions are searched in turn",
    "redetection_scale": "every second round searches regions 1.5 times as large, every third smaller ones",
    "fitting_gain": "a refined box must have a log spectral distance that is lower by 0.5",
}
"""Settings of earlier versions, with what holds instead."""


@dataclass(frozen=True)
class TrackerSettings:
    """Settings of the tracker. A model's manifest may set each of them under `tracking`.

    Attributes:
        window_influence: weight of the cosine window in the rank of a response, 0..1. Higher keeps the target
            nearer to its last position (SiamBAN).
        penalty_k: strength of the penalty for a change of size or shape; 0 disables (SiamBAN).
        peak_width: logits below the best response at which a response scores 1/e. 0: the score is the
            probability, which is near 1 for all strong responses (SiamBAN).
        size_rate: smoothing factor of the box size, 0..1. Higher adapts the size faster (SiamBAN's LR).
        size_calibration: exponent of the size correction. The ratio of given to predicted size in the first
            frame, to this power, scales all later boxes. 0 disables (SiamBAN).
        motion_rate: weight of the newest movement in the predicted movement, which shifts the search region.
            0 disables (SiamBAN).
        minimum_side: minimum side of a box in pixels (SiamBAN: 10).
        online_interval: number of frames between two online updates; 0 disables the online template.
        online_confidence: minimum confidence of a frame that counts in this interval.
        online_weight: weight of the online template's response, 0..1; the initial template has the rest.
        certain_score: minimum score of a target that is TRACKING.
        lost_score: minimum score at which the box follows the best candidate.
        confidence_rate: weight of the newest frame in the confidence, a running mean. 1: as good as in the
            first frames. Higher loses a target sooner.
        lost_confidence: confidence below which a target is LOST; -1 disables.
        hidden_allowance: value that is subtracted from `lost_confidence` if the target is farther from the
            border than its own size. The target may be occluded there, but cannot have left the image.
        leaving_frames: number of frames without a visible target after which the target is LOST if its motion
            has led out of the image; 0 disables.
        found_rate: smoothing factor while the confidence of a re-detection candidate rises. Higher finds a
            lost target sooner, and more false ones.
        fading_rate: smoothing factor while this confidence falls. Lower tolerates a longer occlusion.
        suspect_confidence: confidence of a re-detection candidate from which the target is UNCERTAIN instead
            of LOST, until the candidate is given up.
        found_confidence: confidence of a re-detection candidate from which the target is TRACKING again.
        alibi_evidence: threshold of the backward check. A re-detection is rejected if the same position in
            the last confident frame scored at least this fraction of the reference log odds. 0 disables.
        redetection_crops: number of further search regions per frame for a LOST target; 0 disables.
        peaks: maximum number of peaks per search region whose spectra are compared.
        score_offset: log odds of a candidate without a response and without a spectral distance.
        score_logit: log odds per logit of the response.
        score_misfit: log-odds penalty per unit of log spectral distance; 0 disables.
        score_elsewhere: log-odds penalty of a candidate outside the search region of the last box, while the
            target is LOST.
        score_distractor: log-odds penalty of a candidate that matches a distractor.
        score_unlike: log-odds penalty of a LOST target's candidate, per unit of log spectral distance above
            the maximum of the target.
        target_model: numbers of the score that are fitted to videos; None: the score is the probability by
            the candidate of one frame. No setting for users: `rstrack train tracker` fits them.
    """

    window_influence: float = 0.35
    penalty_k: float = 0.08
    peak_width: float = 3.0
    size_rate: float = 0.40
    size_calibration: float = 0.5
    motion_rate: float = 0.7
    minimum_side: float = 3.0
    online_interval: int = 10
    online_weight: float = 0.3
    online_confidence: float = 0.8
    certain_score: float = 0.75
    lost_score: float = 0.5
    confidence_rate: float = 0.2
    lost_confidence: float = 0.05
    hidden_allowance: float = 0.15
    leaving_frames: int = 4
    found_rate: float = 0.7
    fading_rate: float = 0.2
    suspect_confidence: float = 0.05
    found_confidence: float = 0.5
    alibi_evidence: float = 0.6
    redetection_crops: int = 3
    peaks: int = 4
    score_offset: float = 2.3
    score_logit: float = 0.8
    score_misfit: float = 3.0
    score_elsewhere: float = 2.4
    score_distractor: float = 4.0
    score_unlike: float = 10.0
    target_model: TargetModel | None = None


SIAMBAN = TrackerSettings(
    window_influence=0.463253,
    penalty_k=0.085136,
    peak_width=0.0,
    size_rate=0.444182,
    size_calibration=0.0,
    motion_rate=0.0,
    minimum_side=10.0,
    online_interval=0,
    lost_score=0.2,
    lost_confidence=-0.2,
    hidden_allowance=0.0,
    leaving_frames=0,
    suspect_confidence=0.2,
    alibi_evidence=0.0,
    redetection_crops=0,
    peaks=1,
    score_offset=0.0,
    score_logit=1.0,
    score_misfit=0.0,
    score_elsewhere=0.0,
    score_distractor=0.0,
    score_unlike=0.0,
)
"""Settings of SiamBAN as tuned for VOT2018, with this package's thresholds on its probability."""


def make_tracker_settings(config: HANetConfig) -> TrackerSettings:
    """Return the settings of a network: its own, and the defaults of its kind for all others.

    Settings of earlier versions are ignored with a warning.

    Raises:
        ModelError: the network has a setting that the tracker does not know.
    """
    defaults = SIAMBAN if config.spectral is None else TrackerSettings()
    given = dict(config.tracking)
    if _TARGET_MODEL in given:
        defaults = replace(defaults, target_model=_read_target_model(given.pop(_TARGET_MODEL)))
    for name in sorted(given.keys() & _REMOVED_SETTINGS.keys()):
        del given[name]
        _log.warning(
            "tracking: the setting %s no longer exists and is ignored; now, %s", name, _REMOVED_SETTINGS[name]
        )
    unknown = set(given) - {setting.name for setting in fields(defaults)}
    if unknown:
        raise ModelError(
            f"tracking must contain settings of the tracker only: got {', '.join(sorted(unknown))}"
        )
    values = {name: type(getattr(defaults, name))(value) for name, value in given.items()}
    return replace(defaults, **values)


def disable_spectra(settings: TrackerSettings) -> TrackerSettings:
    """Return the settings for a tracker without spectra, whose scores depend on the response only."""
    return replace(
        settings,
        online_interval=0,
        lost_score=0.1,
        lost_confidence=SIAMBAN.lost_confidence,
        hidden_allowance=SIAMBAN.hidden_allowance,
        leaving_frames=SIAMBAN.leaving_frames,
        suspect_confidence=SIAMBAN.suspect_confidence,
        score_offset=0.0,
        score_misfit=0.0,
        score_distractor=0.0,
        score_unlike=0.0,
        alibi_evidence=SIAMBAN.alibi_evidence,
        redetection_crops=0,
        target_model=None,
    )


def _read_target_model(values: Mapping[str, Any]) -> TargetModel:
    try:
        return dacite.from_dict(TargetModel, dict(values), dacite.Config(cast=[float], strict=True))
    except (dacite.DaciteError, TypeError, ValueError) as error:
        raise ModelError(f"tracking: {_TARGET_MODEL} must contain the fitted numbers: {error}") from error
