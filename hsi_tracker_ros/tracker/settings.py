"""The tracker's settings: ours, SiamBAN's, and those that a model brings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from hsi_tracker_ros.hanet.config import HANetConfig
from tracking_runtime.errors import ModelError


@dataclass(frozen=True)
class TrackerSettings:
    """How responses become boxes, and when a target is lost.

    Attributes:
        window_influence: weight of the cosine window, which holds a target where it was (SiamBAN).
        penalty_k: how strongly a change of size or shape counts against a response (SiamBAN).
        peak_width: a response this much below the best, in logits, is worth 1/e of it; 0: a response is worth
            its probability (SiamBAN), which tells responses that are all near 1 from each other no more.
        size_rate: how fast a box takes the size that the response gives (SiamBAN's LR).
        size_calibration: the network draws some things larger or smaller than people do; its boxes are
            corrected by this share, in logarithms, of what sets the two apart on the frame that the target
            was given on; 0: not at all (SiamBAN).
        motion_rate: share of the newest step in the motion expected for the next frame, by which the search
            crop is moved; 0: none is expected (SiamBAN).
        minimum_side: no side of a box becomes smaller, in pixels (SiamBAN: 10).
        online_interval: frames after which the most confident of them becomes the online template; 0: never.
        online_confidence: only frames count of which the confidence is no less.
        online_weight: of the online template's score map in the sum with the first template's.
        online_score: a frame less confident than this never becomes a template.
        certain_score: at and above it a target is TRACKING.
        lost_score: below it a target's box stays where it was.
        confidence_rate: share of the newest frame in the confidence, a running mean of the evidence; what is
            usual of the target is 1.
        lost_confidence: below it a target is LOST; -1: never.
        hidden_allowance: by this much lower is that bound where the target is farther from the image's border
            than it is large: there it may be hidden, but cannot have left.
        leaving_frames: a target that was not seen as usual for so many frames, and by its motion has left the
            image since, is LOST, whatever is seen in its place; 0: its motion tells nothing.
        found_rate: share of the newest frame in the confidence that something is a LOST target, if it rises,
        fading_rate: and if it falls, so that what is seen badly for a while is not lost sight of.
        suspect_confidence: where this is reached a LOST target is UNCERTAIN, until that is dismissed.
        found_confidence: where this is reached it is found, and TRACKING.
        alibi_evidence: a LOST target is not found where the last frame that surely showed it elsewhere has
            something like it: with at least this share of the evidence that is usual of it; 0: never mind.
        redetection_crops: further crops per frame in which a LOST target is looked for.
        redetection_places: places with the best fitting spectra that these crops show in turns.
        redetection_scale: in every second round it is looked for this much larger, in every third smaller.
        peaks: of the responses in a crop, so many are compared by their spectra as well.
        score_offset: log odds that a box holds the target, where response and spectrum say nothing.
        score_logit: what each logit of the response adds to them.
        score_misfit: what the logarithm of the distance between its spectra and the target's takes from them.
        fitting_gain: log odds that a box of about the target's last size must gain by its spectra over the
            response's box to take its place.
        score_elsewhere: what it takes from them that a LOST target is seen elsewhere than where it was last.
        score_distractor: what it takes from them that it was seen beside the target before.
        score_unlike: what each unit takes from them by which that logarithm exceeds what is usual of the
            target, if that is LOST.
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
    online_score: float = 0.99
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
    redetection_places: int = 6
    redetection_scale: float = 1.5
    peaks: int = 4
    score_offset: float = 2.3
    score_logit: float = 0.8
    score_misfit: float = 3.0
    fitting_gain: float = 1.5
    score_elsewhere: float = 2.4
    score_distractor: float = 4.0
    score_unlike: float = 10.0


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
    score_distractor=0.0,
    score_unlike=0.0,
)
"""SiamBAN's own tracker, as tuned for VOT2018, and thresholds of ours on its probability."""


def tuned_settings(config: HANetConfig) -> TrackerSettings:
    """The settings that go with a network: its own, and for what it does not say those of its kind.

    Raises:
        ModelError: there is no setting of that name.
    """
    usual = SIAMBAN if config.spectral is None else TrackerSettings()
    unknown = set(config.tracking) - {setting.name for setting in fields(usual)}
    if unknown:
        raise ModelError(f"the tracker has no settings {', '.join(sorted(unknown))}")
    return replace(usual, **{name: type(getattr(usual, name))(v) for name, v in config.tracking.items()})


def without_spectra(settings: TrackerSettings) -> TrackerSettings:
    """The same where there are no spectra, so that the response alone tells how sure a box is."""
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
    )
