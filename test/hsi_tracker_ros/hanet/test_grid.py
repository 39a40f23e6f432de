import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.hanet.rgb_branch import ResponseGrid

grids = st.builds(ResponseGrid, st.integers(5, 31), st.sampled_from([4, 8, 16]))


@given(grids, grids, st.floats(-2, 2), st.floats(-5, 5))
def test_interpolation_keeps_straight_lines_where_the_other_grid_has_values(grid, other, slope, level):
    values = other.offsets().numpy() * slope + level
    got = grid.interpolation(other).numpy() @ values
    inside = np.clip(grid.offsets().numpy(), other.offsets().min().item(), other.offsets().max().item())
    np.testing.assert_allclose(got, inside * slope + level, atol=1e-3)
