"""Tests of the sparsity benchmark: operations, times and the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from spax_ros.benchmark.sparsity import (
    PUBLISHED_SAVINGS,
    NetworkCost,
    SparsitySaving,
    TimePoint,
    fit_line,
    make_random_network,
    make_square_mask,
    measure_dense,
    measure_sparse,
)
from spax_ros.motion.published_mask import SATVIDEODT
from tracking_runtime.cli import rstrack


def test_square_mask_has_given_active_fraction() -> None:
    mask = make_square_mask(512, 0.05, SATVIDEODT.radius)

    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((20, 20)))
    assert 0.05 <= mask.mean() < 0.05 + 41**2 / 512**2
    assert (opened == mask).mean() > 0.99


@pytest.mark.parametrize("variant", ["base_satvideodt", "light_satvideodt"])
def test_active_pixels_save_more_than_published(variant: str) -> None:
    network = make_random_network(variant)
    mask = np.zeros((256, 256), bool)
    mask[64:128, 64:128] = True  # 6.3 %

    sparse = measure_sparse(network, mask, num_repeats=1)
    dense = measure_dense(network, 256, 1)

    assert 1 - sparse.operations / dense.operations > PUBLISHED_SAVINGS["satvideodt"][0]


def test_whole_image_costs_the_same_on_active_pixels() -> None:
    network = make_random_network("small")

    dense = measure_dense(network, 64, 1)
    sparse = measure_sparse(network, np.ones((64, 64), bool), num_repeats=1)

    assert sparse.operations == pytest.approx(dense.operations, rel=0.15)


def test_saving_is_computed_from_costs() -> None:
    saving = SparsitySaving("base_satmtb", 512, 0.05, NetworkCost(100, 80.0), NetworkCost(5, 10.0))

    assert (saving.saved_fraction, saving.speedup) == pytest.approx((0.95, 8.0))


def test_line_is_fitted_to_time_points() -> None:
    points = [TimePoint(1, 1000, 7.0), TimePoint(1, 3000, 11.0)]

    assert fit_line(points) == pytest.approx((5.0, 0.002))


@pytest.mark.slow
def test_bench_sparsity_prints_table_and_writes_files(tmp_path: Path) -> None:
    command = ["bench", "sparsity", "--variant", "small", "--size", "64", "--active", "0.2"]

    result = CliRunner().invoke(rstrack, [*command, "--output", str(tmp_path)])

    assert result.exit_code == 0, result.output
    assert "small" in result.output
    content = json.loads((tmp_path / "sparsity.json").read_text())
    assert 0 < content["savings"][0]["saved"] < 1
    assert {point["size"] for point in content["growth"]} == {64, 128}
    assert cv2.imread(str(tmp_path / "sparsity.png")) is not None
