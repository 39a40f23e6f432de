from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_tracker_ros.tracker.box_refinement import refine_box
from hsi_tracker_ros.tracker.candidate_finder import compute_log_spectral_distance
from hsi_tracker_ros.tracker.candidates import Candidate
from hsi_tracker_ros.tracker.frame_context import FrameContext, FrameContextFactory
from hsi_tracker_ros.tracker.search_batch import TargetSearch
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.spectral_signature import (
    SpectralSignature,
    compute_core_spectra,
    compute_sampled_spectra,
)
from hsi_tracker_ros.tracker.target import Target
from hsi_tracker_ros.tracker.templates import Templates
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.spectral_info import SpectralInfo

TARGET, NEIGHBOR = np.array([40.0, 30, 20, 16]), np.array([60.0, 26, 24, 24])
BOTH = np.array([40.0, 26, 44, 24])
SETTINGS = TrackerSettings()


@dataclass
class Scene:
    """A frame with a target and an object that touches the target."""

    context: FrameContext
    target: Target

    @property
    def search(self) -> TargetSearch:
        return TargetSearch(self.target, self.context, [])

    def make_candidate(self, box: NDArray[np.float64]) -> Candidate:
        box = np.asarray(box, float)
        log_distance = compute_log_spectral_distance(self.search, box)
        return Candidate(2.0, 0.9, 0.8, box, np.zeros((25, 25), np.float32), log_distance)


@pytest.fixture(scope="module")
def context():
    rng = np.random.default_rng(0)
    cube = rng.integers(400, 600, (96, 128, 4)).astype(np.uint16)
    for box, spectrum in ((TARGET, (900, 500, 500, 300)), (NEIGHBOR, (900, 300, 500, 900))):
        x, y, width, height = box.astype(int)
        cube[y : y + height, x : x + width] = spectrum
    return FrameContextFactory(SpectralInfo((500.0, 550.0, 600.0, 650.0)), None).make_context(cube)


@pytest.fixture
def scene(context):
    signature = SpectralSignature(context.compute_core_spectra(TARGET))
    return Scene(context, Target(1, "", TARGET.copy(), Templates((), (), 0), signature))


def compute_overlap(candidate):
    return intersection_over_union(candidate.box, TARGET)[0, 0]


@pytest.mark.parametrize("growth", [1.0, 1.15])
def test_box_around_two_objects_is_refined_to_target(scene, growth):
    scene.target.box = np.concatenate([TARGET[:2], growth * TARGET[2:]])
    candidate = scene.make_candidate(BOTH)

    refined = refine_box(candidate, scene.search, SETTINGS)

    assert compute_overlap(candidate) < 0.35
    assert compute_overlap(refined) > 0.5
    assert refined.log_odds >= candidate.log_odds + 0.5 * SETTINGS.score_misfit
    assert refined.scale_penalty == candidate.scale_penalty
    assert refined.window_weight == candidate.window_weight


@pytest.mark.parametrize(
    "box", [TARGET, TARGET + np.array([-1, -1, 2, 2]), TARGET + np.array([3, 2, -6, -4])]
)
def test_box_around_target_only_is_unchanged(scene, box):
    candidate = scene.make_candidate(box)

    assert refine_box(candidate, scene.search, SETTINGS) is candidate


def test_box_of_lost_target_is_unchanged(scene):
    scene.target.confidence.mark_lost()
    candidate = scene.make_candidate(BOTH)

    assert refine_box(candidate, scene.search, SETTINGS) is candidate


def test_box_without_spectral_score_is_unchanged(scene):
    candidate = scene.make_candidate(BOTH)

    assert refine_box(candidate, scene.search, replace(SETTINGS, score_misfit=0.0)) is candidate


def test_sampled_spectra_are_of_cores_and_of_border_outside(context):
    outside_left, outside_corner = TARGET - np.array([60, 0, 0, 0]), TARGET + np.array([500, 500, 0, 0])
    boxes = np.stack([TARGET, NEIGHBOR, outside_left, outside_corner])

    sampled = compute_sampled_spectra(context.cube, boxes, context.statistics)

    cores = [compute_core_spectra(context.cube, box, context.statistics)[0] for box in boxes[:2]]
    means = context.statistics.band_means
    border = context.cube[30:46, 0] / means
    assert sampled[:2] == pytest.approx(np.stack(cores))
    assert sampled[3] == pytest.approx(context.cube[-1, -1] / means)
    assert (border.min(axis=0) <= sampled[2]).all()
    assert (sampled[2] <= border.max(axis=0)).all()
