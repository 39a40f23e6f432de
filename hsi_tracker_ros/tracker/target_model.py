"""Numbers of the tracker that are fitted to labeled videos: weights of candidates, and how targets disappear.

`rstrack train tracker` fits them. A model's manifest has them under `tracking: target_model`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

_NUM_REFERENCE_FRAMES = 25  # first TRACKING frames, whose mean is the reference: a second of video


@dataclass(frozen=True)
class Reference:
    """Mean features of a target in its first frames. Targets differ in how well they match themselves.

    Attributes:
        response: mean response of the network, in logits.
        log_distance: mean log spectral distance.
        num_frames: number of frames in the mean; 0: no reference yet.
    """

    response: float = 0.0
    log_distance: float = 0.0
    num_frames: int = 0

    def add(self, response: float, log_distance: float) -> Reference:
        """Return the mean with one more frame; unchanged if it has all its frames."""
        if self.num_frames == _NUM_REFERENCE_FRAMES:
            return self
        count = self.num_frames + 1
        return Reference(
            self.response + (response - self.response) / count,
            self.log_distance + (log_distance - self.log_distance) / count,
            count,
        )

    def compute_features(
        self, response: float, log_distance: float, *, is_distractor: bool
    ) -> NDArray[np.float64]:
        """Return the features ``(5,)`` of a candidate, in the order of `CandidateWeights`.

        Args:
            response: response of the network, in logits.
            log_distance: log spectral distance to the target.
            is_distractor: True if the candidate matches a distractor.
        """
        change = response - self.response, log_distance - self.log_distance
        if not self.num_frames:
            change = 0.0, 0.0
        return np.array([response, log_distance, *change, float(is_distractor)])


@dataclass(frozen=True)
class CandidateWeights:
    """Logistic regression from the features of a candidate to the log odds that it is the target.

    The log odds are a log likelihood ratio: without other knowledge, both are equally probable.

    Attributes:
        offset: log odds of a candidate whose features are 0.
        response: weight of the network's response, per logit.
        distance: weight of the log spectral distance to the target; 0 ignores spectra.
        response_change: weight of the response's difference to the target's reference.
        distance_change: weight of the log distance's difference to the reference.
        distractor: weight of a match with a distractor, 0 or 1; 0 ignores distractors.
    """

    offset: float = 0.0
    response: float = 1.0
    distance: float = 0.0
    response_change: float = 0.0
    distance_change: float = 0.0
    distractor: float = 0.0

    def compute_log_odds(self, features: NDArray[np.float64]) -> float:
        """Return the log odds of a candidate with these features ``(5,)``."""
        offset, *slopes = astuple(self)
        return float(offset + np.dot(features, slopes))


@dataclass(frozen=True)
class ExistenceModel:
    """Probabilities by which targets disappear and return, per frame, and the information of a frame.

    Attributes:
        occlude: probability that a visible target is occluded in the next frame.
        reveal: probability that an occluded target is visible in the next frame.
        leave: probability that a target at the border of the image leaves it. "At the border": nearer than
            the size of its box.
        enter: probability that a candidate of a lost target is the target before its evidence counts.
        evidence_weight: factor of each frame's log odds for a target in view. Successive frames are
            correlated; 1: they are independent.
        evidence_offset: log odds that each frame of a target in view adds to its own, before the factor.
        confusion: probability that an object is another one although all features say that it is the target.
        correlation: correlation of the log odds in the frames of one candidate of a lost target. 0: frames
            are independent; 1: further frames tell nothing.
    """

    occlude: float = 0.01
    reveal: float = 0.1
    leave: float = 0.2
    enter: float = 0.02
    evidence_weight: float = 0.5
    evidence_offset: float = 0.0
    confusion: float = 0.0
    correlation: float = 0.75


@dataclass(frozen=True)
class TargetModel:
    """All fitted numbers.

    Attributes:
        view: weights of the candidates of a target in view.
        redetection: weights of the candidates of a lost target, which may be anywhere.
        existence: model of occlusion, leaving and return.
    """

    view: CandidateWeights = CandidateWeights()
    redetection: CandidateWeights = CandidateWeights()
    existence: ExistenceModel = ExistenceModel()

    def get_weights(self, *, is_lost: bool) -> CandidateWeights:
        """Return the weights of the candidates of a lost target, or of one in view."""
        return self.redetection if is_lost else self.view
