import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_tracker_ros.tracker.frame_context import FrameContextFactory
from hsi_tracker_ros.tracker.redetection import advance_search, find_search_regions
from hsi_tracker_ros.tracker.search_regions import make_search_region
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.spectral_signature import SpectralSignature
from hsi_tracker_ros.tracker.target import Target
from hsi_tracker_ros.tracker.templates import Templates
from tracking_runtime.spectral_info import SpectralInfo

WIDTH, HEIGHT = 128, 64
SETTINGS = TrackerSettings()
CONTEXT = FrameContextFactory(SpectralInfo((500.0, 600.0)), None).make_context(
    np.random.default_rng(0).integers(1, 200, (HEIGHT, WIDTH, 2), np.uint8)
)

centers = st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT))
sizes = st.tuples(st.floats(8, 60), st.floats(8, 60))


def make_target(center, size):
    box = np.array([*(np.array(center) - np.array(size) / 2), *size])
    kernels = (np.zeros(1, np.float32),)
    signature = SpectralSignature(CONTEXT.compute_core_spectra(box))
    return Target(1, "", box, Templates(kernels, kernels, 0), signature)


@settings(deadline=None, max_examples=30)
@given(centers, sizes)
def test_target_in_view_is_searched_around_last_box(center, size):
    target = make_target(center, size)

    regions = find_search_regions(target, CONTEXT, SETTINGS)

    assert regions == [make_search_region(target.box)]


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(centers, sizes)
def test_lost_target_is_searched_in_whole_image_outwards(center, size):
    target = make_target(center, size)
    target.confidence.mark_lost()
    last_region = make_search_region(target.box)

    regions = []
    for _ in range(300):
        regions.append(find_search_regions(target, CONTEXT, SETTINGS)[0])
        advance_search(target, SETTINGS)

    # In every second frame around the last box.
    last_center = np.array([last_region.x, last_region.y])
    region_centers = np.array([(region.x, region.y) for region in regions])
    assert (region_centers[::2] == last_center).all()

    # Otherwise outward, and from the beginning again.
    spiral = region_centers[1::2]
    distances = np.hypot(*(spiral - last_center).T)
    restart = np.flatnonzero(distances == 0)[0]
    assert (np.diff(distances[:restart]) >= -0.5).all()
    np.testing.assert_array_equal(spiral[restart + 1 : 2 * restart + 1], spiral[:restart])

    # Every pixel is in a region.
    y, x = np.indices((HEIGHT, WIDTH)).reshape(2, -1) + 0.5
    pixels = np.stack([x, y], axis=1)[:, None]
    nearest = np.abs(pixels - region_centers).max(axis=2).min(axis=1)
    assert (nearest <= 0.46 * last_region.side).all()


def test_find_search_regions_changes_nothing():
    target = make_target((60.0, 30.0), (12.0, 10.0))
    target.confidence.mark_lost()
    state_before = target.search

    first = find_search_regions(target, CONTEXT, SETTINGS)
    second = find_search_regions(target, CONTEXT, SETTINGS)

    assert first == second
    assert target.search == state_before


def test_search_of_target_in_view_does_not_advance():
    target = make_target((60.0, 30.0), (12.0, 10.0))
    state_before = target.search

    advance_search(target, SETTINGS)

    assert target.search == state_before
