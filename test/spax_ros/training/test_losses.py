from __future__ import annotations

import torch

from spax_ros.training.losses import LOSS_NAMES, Losses, compute_focal_loss, compute_l1_loss


def test_focal_loss_is_low_at_right_and_high_at_wrong_peaks() -> None:
    target = torch.tensor([[0.0], [0.5], [1.0]])
    right_logits = torch.tensor([[-6.0], [-2.0], [6.0]])

    right_loss = float(compute_focal_loss(right_logits, target))
    wrong_loss = float(compute_focal_loss(-right_logits, target))
    empty_loss = compute_focal_loss(torch.zeros(0, 1), torch.zeros(0, 1))

    assert right_loss < 0.05 < 5 < wrong_loss
    assert torch.isfinite(empty_loss)


def test_l1_loss_ignores_values_without_target() -> None:
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    target = torch.tensor([[2.0, 4.0], [torch.nan, torch.nan]])

    loss = compute_l1_loss(predicted, target)
    empty_loss = compute_l1_loss(predicted, torch.full((2, 2), torch.nan))

    torch.testing.assert_close(loss, torch.tensor(1.5), atol=1e-3, rtol=0)
    assert empty_loss == 0


def test_weighted_sum_weights_the_size_loss_alone() -> None:
    losses = Losses(*(torch.tensor(float(10**power)) for power in range(5)))

    total = losses.sum_weighted(size_weight=0.1)

    assert LOSS_NAMES == ("heat", "size", "offset", "displacement", "mask")
    assert float(total) == 1 + 1 + 100 + 1000 + 10_000
