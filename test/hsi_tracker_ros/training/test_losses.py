import torch
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.training.losses import (
    IGNORED,
    NEGATIVE,
    POSITIVE,
    Sampling,
    classification_loss,
    label_points,
    regression_loss,
    response_points,
    sample_points,
)

BOX = torch.tensor([[87.5, 107.5, 167.5, 147.5]])
PAIRED = torch.tensor([True])


def test_points_lie_a_stride_apart_about_the_middle():
    x, y = response_points(255)
    assert x[0, 0] == 127.5 - 96
    assert x[0, -1] == 127.5 + 96
    assert y[12, 5] == 127.5
    assert (x[0, 1:] - x[0, :-1] == 8).all()


def test_labels_are_siambans_two_ellipses():
    labels = label_points(BOX, PAIRED, 255)[0]
    x, y = response_points(255)
    small = ((x - 127.5) / 20) ** 2 + ((y - 127.5) / 10) ** 2 < 1
    large = ((x - 127.5) / 40) ** 2 + ((y - 127.5) / 20) ** 2 > 1
    assert (labels[small] == POSITIVE).all()
    assert (labels[large] == NEGATIVE).all()
    assert (labels[~small & ~large] == IGNORED).all()


def test_unpaired_samples_are_negative_inside_and_ignored_outside():
    labels = label_points(BOX, ~PAIRED, 255)[0]
    paired = label_points(BOX, PAIRED, 255)[0]
    assert (labels[paired == POSITIVE] == NEGATIVE).all()
    assert (labels[paired != POSITIVE] == IGNORED).all()
    assert (label_points(BOX, ~PAIRED, 255, unpaired_outside=NEGATIVE) == NEGATIVE).all()


@given(st.integers(0, 1000), st.floats(0, 1))
def test_sampling_keeps_labels_and_counts(seed, hard_share):
    labels = label_points(
        torch.tensor([[30.0, 30, 200, 210], [100, 100, 140, 150]]), torch.tensor([True, False]), 255
    )
    wrongness = torch.rand(labels.shape)
    sampling = Sampling(hard_share=hard_share)
    kept = sample_points(labels, wrongness, sampling, torch.Generator().manual_seed(seed))
    chosen = kept != IGNORED
    assert (kept[chosen] == labels[chosen]).all()
    assert (kept == POSITIVE).sum(dim=(1, 2)).tolist() == [16, 0]
    assert (kept[0] == NEGATIVE).sum() == 48
    assert 0 < (kept[1] == NEGATIVE).sum() <= 16


def test_hard_negatives_are_those_the_network_is_most_wrong_about():
    labels = label_points(BOX, PAIRED, 255)
    wrongness = torch.arange(625.0).view(1, 25, 25)
    kept = sample_points(labels, wrongness, Sampling(hard_share=1.0), torch.Generator())
    assert (kept == NEGATIVE).flatten().nonzero().min() == 625 - 48


def test_loss_weighs_both_classes_alike():
    labels = torch.full((1, 25, 25), IGNORED)
    labels[0, 0, 0], labels[0, 1] = POSITIVE, NEGATIVE
    logits = torch.zeros(1, 2, 25, 25)
    logits[:, 0, 0, 0] = 30
    assert torch.isclose(classification_loss(logits, labels), 0.5 * torch.tensor(30 + 0.6931))


def test_the_true_distances_cost_nothing():
    x, y = response_points(255)
    left, top, right, bottom = BOX[0]
    truth = torch.stack([x - left, y - top, right - x, bottom - y])[None]
    labels = label_points(BOX, PAIRED, 255)
    assert regression_loss(truth, BOX, labels, 255).abs() < 1e-6
    half = regression_loss(truth / 2, BOX, labels, 255)
    assert torch.isclose(half, 1 - torch.tensor((800 + 1) / (3200 + 1)), atol=1e-4)
