from dataclasses import replace

import numpy as np
import pytest

from hsi_tracker_ros.tracker.box_refinement import fitted
from hsi_tracker_ros.tracker.candidates import spectral_misfit
from hsi_tracker_ros.tracker.frame_context import Viewer
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.spectral_signature import Signature, core_spectra, sampled_spectra
from hsi_tracker_ros.tracker.target import Sighting, Target
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.spectral_info import SpectralInfo

TARGET, TOUCHING = np.array([40.0, 30, 20, 16]), np.array([60.0, 26, 24, 24])
BOTH = np.array([40.0, 26, 44, 24])
SETTINGS = TrackerSettings()


@pytest.fixture(scope="module")
def view():
    rng = np.random.default_rng(0)
    cube = rng.integers(400, 600, (96, 128, 4)).astype(np.uint16)
    for (x, y, width, height), spectrum in ((TARGET, (900, 500, 500, 300)), (TOUCHING, (900, 300, 500, 900))):
        cube[int(y) : int(y + height), int(x) : int(x + width)] = spectrum
    return Viewer(SpectralInfo((500.0, 550.0, 600.0, 650.0)), None).view(cube)


@pytest.fixture
def target(view):
    return Target(1, "", TARGET.copy(), (), (), Signature(view.spectra(TARGET)), 0)


@pytest.fixture
def seen(view, target):
    def sighting(box):
        box = np.asarray(box, float)
        return Sighting(
            2.0, 0.9, 0.8, box, np.zeros((25, 25), np.float32), spectral_misfit(target, view, box)
        )

    return sighting


def overlap(sighting):
    return intersection_over_union(sighting.box, TARGET)[0, 0]


@pytest.mark.parametrize("grown", [1.0, 1.15])
def test_of_a_box_around_two_things_the_one_with_the_targets_spectrum_is_taken(view, target, grown, seen):
    target.box = np.concatenate([TARGET[:2], grown * TARGET[2:]])
    around = seen(BOTH)
    inside = fitted(around, target, view, SETTINGS)
    assert overlap(around) < 0.35
    assert overlap(inside) > 0.5
    assert inside.evidence >= around.evidence + SETTINGS.fitting_gain
    assert (inside.penalty, inside.window) == (around.penalty, around.window)


@pytest.mark.parametrize(
    "box", [TARGET, TARGET + np.array([-1, -1, 2, 2]), TARGET + np.array([3, 2, -6, -4])]
)
def test_a_box_that_holds_the_target_alone_stays_as_it_is(view, target, box, seen):
    sighting = seen(box)
    assert fitted(sighting, target, view, SETTINGS) is sighting


def test_a_lost_target_may_have_any_size(view, target, seen):
    target.presence.lose()
    around = seen(BOTH)
    assert fitted(around, target, view, SETTINGS) is around


def test_without_spectra_the_response_draws_the_box(view, target, seen):
    around = seen(BOTH)
    assert fitted(around, target, view, replace(SETTINGS, score_misfit=0.0)) is around


def test_sampled_spectra_are_those_of_the_middles_and_of_the_rim_outside(view):
    boxes = np.stack(
        [TARGET, TOUCHING, TARGET - np.array([60, 0, 0, 0]), TARGET + np.array([500, 500, 0, 0])]
    )
    sampled = sampled_spectra(view.pixels, boxes, 0.0, view.means)
    middles = [core_spectra(view.pixels, box, 0.0, view.means)[0] for box in boxes[:2]]
    assert sampled[:2] == pytest.approx(np.stack(middles))
    assert sampled[3] == pytest.approx(view.pixels[-1, -1] / view.means)
    rim = view.pixels[30:46, 0] / view.means
    assert (rim.min(axis=0) <= sampled[2]).all()
    assert (sampled[2] <= rim.max(axis=0)).all()
