import numpy as np
import pytest

from hsi_tracker_ros.frame_cache import CachedFrame, FrameCache
from tracking_runtime.errors import TargetRefusedError

CUBE = np.zeros((2, 2, 1), np.uint8)


@pytest.fixture
def cache():
    """Return a full cache with the stamps 2, 3 and 4 s."""
    cache = FrameCache(3)
    for second in (1, 2, 3, 4):
        cache.add(CachedFrame(second * 10**9, CUBE))
    return cache


@pytest.mark.parametrize(("stamp_s", "expected_s"), [(2, [2, 3, 4]), (4, [4]), (0, [4])])
def test_frames_since_a_stamp_are_in_order(cache, stamp_s, expected_s):
    frames = cache.get_frames_since(stamp_s * 10**9)

    assert [frame.stamp_ns for frame in frames] == [second * 10**9 for second in expected_s]


def test_stamp_of_dropped_frame_is_refused(cache):
    with pytest.raises(
        TargetRefusedError, match=r"stamp 1\.000000 s .* 3 cached frames .* 2\.000000 to 4\.000000 s"
    ):
        cache.get_frames_since(10**9)


def test_cleared_cache_is_empty(cache):
    cache.clear()

    assert len(cache) == 0
