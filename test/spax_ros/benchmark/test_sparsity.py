"""What active pixels save is counted and timed, and its command writes it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from spax_ros.benchmark.sparsity import (
    CLAIMS,
    Cost,
    Point,
    Saving,
    dense_cost,
    line,
    packed_cost,
    published_mask,
    random_network,
)
from spax_ros.motion.published_mask import SATVIDEODT
from tracking_runtime.cli import main


def test_the_mask_is_made_of_squares_up_to_a_share() -> None:
    mask = published_mask(512, 0.05, SATVIDEODT.radius)
    assert 0.05 <= mask.mean() < 0.05 + 41**2 / 512**2
    assert (cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((20, 20))) == mask).mean() > 0.99


@pytest.mark.parametrize("variant", ["base_satvideodt", "light_satvideodt"])
def test_active_pixels_save_more_operations_than_published(variant: str) -> None:
    network = random_network(variant)
    mask = np.zeros((256, 256), bool)
    mask[64:128, 64:128] = True  # 6.3 %
    saved = 1 - packed_cost(network, mask, repeats=1).operations / dense_cost(network, 256, 1).operations
    assert saved > CLAIMS["satvideodt"][0]


def test_whole_images_cost_as_much_on_active_pixels() -> None:
    network = random_network("small")
    dense, packed = dense_cost(network, 64, 1), packed_cost(network, np.ones((64, 64), bool), repeats=1)
    assert packed.operations == pytest.approx(dense.operations, rel=0.15)


def test_saving_and_line() -> None:
    saving = Saving("base_satmtb", 512, 0.05, Cost(100, 80.0), Cost(5, 10.0))
    assert (saving.saved, saving.speedup) == pytest.approx((0.95, 8.0))
    assert line([Point(1, 1000, 7.0), Point(1, 3000, 11.0)]) == pytest.approx((5.0, 0.002))


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    command = ["bench", "sparsity", "--variant", "small", "--size", "64", "--active", "0.2"]
    done = CliRunner().invoke(main, [*command, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "small" in done.output
    content = json.loads((tmp_path / "sparsity.json").read_text())
    assert 0 < content["savings"][0]["saved"] < 1
    assert {point["size"] for point in content["growth"]} == {64, 128}
    assert cv2.imread(str(tmp_path / "sparsity.png")) is not None
