"""Tests of the loss against a teacher's responses and boxes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsi_tracker_ros.hanet.rgb_branch import SIAMBAN_GRID, ResponseGrid
from hsi_tracker_ros.training.distillation import compute_teacher_loss, interpolate_responses

NANOTRACK_GRID = ResponseGrid(15, 16)
SEARCH_SIZE = 255
coordinates = st.floats(-100, 100)


def compute_distances(grid: ResponseGrid, box: tuple[float, ...]) -> Tensor:
    """Return the distances (1, 4, size, size) from the points of a grid to the sides of a box."""
    offsets = grid.compute_offsets()
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    left, top, right, bottom = box
    return torch.stack([x - left, y - top, right - x, bottom - y])[None]


def make_logits(certainty: Tensor) -> Tensor:
    return torch.stack([-certainty / 2, certainty / 2], dim=1)


@settings(max_examples=30, deadline=None)
@given(st.tuples(coordinates, coordinates, coordinates, coordinates))
def test_interpolated_distances_are_those_of_the_same_box(box: tuple[float, ...]) -> None:
    logits = torch.zeros(1, 2, 15, 15)

    _, found = interpolate_responses(
        logits, compute_distances(NANOTRACK_GRID, box), NANOTRACK_GRID, SIAMBAN_GRID
    )

    torch.testing.assert_close(found, compute_distances(SIAMBAN_GRID, box), rtol=0, atol=1e-3)


def test_interpolation_to_the_same_grid_changes_nothing() -> None:
    torch.manual_seed(0)
    logits, distances = torch.randn(2, 2, 25, 25), torch.rand(2, 4, 25, 25) * 50

    certainty, found = interpolate_responses(logits, distances, SIAMBAN_GRID, SIAMBAN_GRID)

    torch.testing.assert_close(certainty, logits[:, 1] - logits[:, 0])
    torch.testing.assert_close(found, distances, rtol=0, atol=1e-4)


def test_loss_is_lowest_for_the_outputs_of_the_teacher() -> None:
    torch.manual_seed(0)
    certainty = 4 * torch.randn(2, 25, 25)
    wanted = torch.rand(2, 4, 25, 25) * 60 + 2
    same = compute_teacher_loss(make_logits(certainty), wanted, certainty, wanted, SEARCH_SIZE)

    for shift in (-1.0, 1.0):
        other_logits = make_logits(certainty + shift)
        assert compute_teacher_loss(other_logits, wanted, certainty, wanted, SEARCH_SIZE) > same
        other = wanted * 2.0**shift
        assert compute_teacher_loss(make_logits(certainty), other, certainty, wanted, SEARCH_SIZE) > same


def test_boxes_are_learned_only_where_the_teacher_responds() -> None:
    certainty = torch.full((1, 25, 25), -6.0)
    certainty[0, 12, 12] = 6.0
    wanted = torch.full((1, 4, 25, 25), 20.0)
    elsewhere = wanted * 3
    elsewhere[..., 12, 12] = 20.0
    logits = make_logits(certainty)

    losses = [
        compute_teacher_loss(logits, distances, certainty, wanted, SEARCH_SIZE)
        for distances in (wanted, elsewhere, 3 * wanted)
    ]

    assert losses[0] == losses[1]
    assert losses[2] - losses[0] == pytest.approx(torch.log(torch.tensor(3.0)).item(), abs=1e-5)


def test_loss_of_a_teacher_without_response_is_finite() -> None:
    certainty = torch.full((1, 25, 25), -30.0)
    wanted = torch.zeros(1, 4, 25, 25)

    loss = compute_teacher_loss(make_logits(certainty), wanted, certainty, wanted, SEARCH_SIZE)

    assert torch.isfinite(loss)
