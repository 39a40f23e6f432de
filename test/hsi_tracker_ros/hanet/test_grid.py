import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.hanet.rgb_branch import ResponseGrid

grids = st.builds(ResponseGrid, st.integers(5, 31), st.sampled_from([4, 8, 16]))


@given(grids, grids, st.floats(-2, 2), st.floats(-5, 5))
def test_interpolation_keeps_linear_functions(grid, other, slope, level):
    values = other.compute_offsets().numpy() * slope + level
    got = grid.compute_interpolation(other).numpy() @ values
    inside = np.clip(
        grid.compute_offsets().numpy(),
        other.compute_offsets().min().item(),
        other.compute_offsets().max().item(),
    )
    np.testing.assert_allclose(got, inside * slope + level, atol=1e-3)
