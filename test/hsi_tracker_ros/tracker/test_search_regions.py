import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_tracker_ros.tracker.frame_context import Viewer
from hsi_tracker_ros.tracker.search_regions import search_area, search_areas
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.spectral_signature import Signature
from hsi_tracker_ros.tracker.target import Target
from tracking_runtime.spectral_info import SpectralInfo

WIDTH, HEIGHT = 128, 64
VIEW = Viewer(SpectralInfo((500.0, 600.0)), None).view(
    np.random.default_rng(0).integers(1, 200, (HEIGHT, WIDTH, 2), np.uint8)
)


def target(place, size):
    box = np.array([*(np.array(place) - np.array(size) / 2), *size])
    kernels = (np.zeros(1, np.float32),)
    return Target(1, "", box, kernels, kernels, Signature(VIEW.spectra(box)), 0)


places = st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT))
sizes = st.tuples(st.floats(8, 60), st.floats(8, 60))


@settings(deadline=None, max_examples=30)
@given(places, sizes)
def test_a_target_in_sight_is_looked_for_where_it_was(place, size):
    seen = target(place, size)
    assert search_areas(seen, VIEW, TrackerSettings()) == [search_area(seen.box)]


@settings(deadline=None, max_examples=30)
@given(places, sizes)
def test_a_lost_target_is_looked_for_in_the_whole_image_from_its_last_place_outwards(place, size):
    lost = target(place, size)
    lost.presence.lose()
    around = search_area(lost.box)
    squares = [search_areas(lost, VIEW, TrackerSettings())[0] for _ in range(300)]
    home = np.array([around.x, around.y])
    centres = np.array([(square.x, square.y) for square in squares])
    assert (centres[::2] == home).all()

    beside = centres[1::2]
    distances = np.hypot(*(beside - home).T)
    again = np.flatnonzero(distances == 0)[0]
    assert (np.diff(distances[:again]) >= -0.5).all()
    np.testing.assert_array_equal(beside[again + 1 : 2 * again + 1], beside[:again])

    y, x = np.indices((HEIGHT, WIDTH)).reshape(2, -1) + 0.5
    pixels = np.stack([x, y], axis=1)[:, None]
    assert (np.abs(pixels - centres).max(axis=2).min(axis=1) <= 0.46 * around.side).all()
