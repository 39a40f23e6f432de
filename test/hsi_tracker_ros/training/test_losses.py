import torch
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.training.losses import (
    IGNORED,
    NEGATIVE,
    POSITIVE,
    SamplingSettings,
    compute_box_loss,
    compute_classification_loss,
    compute_response_points,
    label_points,
    sample_points,
)

BOX = torch.tensor([[87.5, 107.5, 167.5, 147.5]])
PAIRED = torch.tensor([True])


def test_response_points_are_a_stride_apart_around_center():
    x, y = compute_response_points(255)

    assert x[0, 0] == 127.5 - 96
    assert x[0, -1] == 127.5 + 96
    assert y[12, 5] == 127.5
    assert (x[0, 1:] - x[0, :-1] == 8).all()


def test_labels_equal_the_two_ellipses_of_siamban():
    x, y = compute_response_points(255)
    in_small_ellipse = ((x - 127.5) / 20) ** 2 + ((y - 127.5) / 10) ** 2 < 1
    outside_large_ellipse = ((x - 127.5) / 40) ** 2 + ((y - 127.5) / 20) ** 2 > 1

    labels = label_points(BOX, PAIRED, 255)[0]

    assert (labels[in_small_ellipse] == POSITIVE).all()
    assert (labels[outside_large_ellipse] == NEGATIVE).all()
    assert (labels[~in_small_ellipse & ~outside_large_ellipse] == IGNORED).all()


def test_unpaired_labels_are_negative_inside_the_object():
    paired_labels = label_points(BOX, PAIRED, 255)[0]

    labels = label_points(BOX, ~PAIRED, 255)[0]
    labels_with_negatives = label_points(BOX, ~PAIRED, 255, unpaired_outside=NEGATIVE)

    assert (labels[paired_labels == POSITIVE] == NEGATIVE).all()
    assert (labels[paired_labels != POSITIVE] == IGNORED).all()
    assert (labels_with_negatives == NEGATIVE).all()


@given(st.integers(0, 1000), st.floats(0, 1))
def test_sampling_keeps_labels_and_numbers_of_points(seed, hard_share):
    boxes = torch.tensor([[30.0, 30, 200, 210], [100, 100, 140, 150]])
    labels = label_points(boxes, torch.tensor([True, False]), 255)
    errors = torch.rand(labels.shape)
    generator = torch.Generator().manual_seed(seed)

    sampled = sample_points(labels, errors, SamplingSettings(hard_share=hard_share), generator)

    is_sampled = sampled != IGNORED
    assert (sampled[is_sampled] == labels[is_sampled]).all()
    assert (sampled == POSITIVE).sum(dim=(1, 2)).tolist() == [16, 0]
    assert (sampled[0] == NEGATIVE).sum() == 48
    assert 0 < (sampled[1] == NEGATIVE).sum() <= 16


def test_hard_negatives_are_the_points_of_highest_error():
    labels = label_points(BOX, PAIRED, 255)
    errors = torch.arange(625.0).view(1, 25, 25)

    sampled = sample_points(labels, errors, SamplingSettings(hard_share=1.0), torch.Generator())

    assert (sampled == NEGATIVE).flatten().nonzero().min() == 625 - 48


def test_classification_loss_weights_both_classes_equally():
    labels = torch.full((1, 25, 25), IGNORED)
    labels[0, 0, 0] = POSITIVE
    labels[0, 1] = NEGATIVE
    logits = torch.zeros(1, 2, 25, 25)
    logits[:, 0, 0, 0] = 30

    loss = compute_classification_loss(logits, labels)

    assert torch.isclose(loss, 0.5 * torch.tensor(30 + 0.6931))


def test_box_loss_of_true_distances_is_zero():
    x, y = compute_response_points(255)
    left, top, right, bottom = BOX[0]
    true_distances = torch.stack([x - left, y - top, right - x, bottom - y])[None]
    labels = label_points(BOX, PAIRED, 255)

    loss = compute_box_loss(true_distances, BOX, labels, 255)
    loss_of_half = compute_box_loss(true_distances / 2, BOX, labels, 255)

    assert loss.abs() < 1e-6
    assert torch.isclose(loss_of_half, 1 - torch.tensor((800 + 1) / (3200 + 1)), atol=1e-4)
