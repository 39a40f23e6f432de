"""Faithful to the official network: the same outputs for the same weights."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spax_ros.importing import official_weights
from spax_ros.network.config import VARIANTS
from spax_ros.network.grid import DenseGrid
from spax_ros.network.memory import SlidingWindow, run_window
from spax_ros.network.network import SpaxNetwork

GOLDEN = Path(__file__).parents[4] / "shared" / "golden"
OFFICIAL = {
    "base_satvideodt": "base_icpr",
    "light_satvideodt": "light_icpr",
    "base_satmtb": "base_satmtb",
    "light_satmtb": "light_satmtb",
}
GRID = DenseGrid((1, 64, 96))

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden outputs at {GOLDEN}")


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    """A variant's name; Base on two threads, as its golden outputs were made.

    It multiplies differences in the order of additions by ten in every frame, so that threads and memory
    layout (here: channels last) must be the same.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(2 if request.param.startswith("base") else before)
    yield request.param
    torch.set_num_threads(before)


def official_state(variant: str) -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listing = GOLDEN / f"spax_{OFFICIAL[variant]}_state_dict_shapes.json"
    shapes = json.loads(listing.read_text())["shapes"]
    return {name: torch.from_numpy(module.fill(name, shape, 7)) for name, shape in shapes.items()}


def golden(variant: str) -> tuple[SpaxNetwork, Tensor, dict[str, Any]]:
    config = VARIANTS[variant]
    network = SpaxNetwork(config)
    network.load_state_dict(official_weights(official_state(variant), config))
    with np.load(GOLDEN / f"spax_{OFFICIAL[variant]}_salt7.npz") as file:
        expected = dict(file)
    frames = (expected["frames"].astype(np.float32) / 255 - np.float32(0.49965)) / np.float32(0.08255)
    return (
        network.requires_grad_(False).eval(),
        torch.from_numpy(frames).permute(0, 3, 1, 2),
        expected,
    )


def assert_within_spread(found: Tensor, expected: Any, share: float = 1e-4) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() <= share * expected.std()


@needs_golden
@pytest.mark.parametrize("variant", OFFICIAL, indirect=True)
def test_window_as_published(variant: str) -> None:
    network, frames, expected = golden(variant)
    steps = run_window(network, list(frames[3:8].split(1)), GRID)
    found = {h: network.head(h)(steps[-1].features, GRID) for h in ("hm", "wh", "reg")}
    found["hm_seq"] = torch.stack([step.mask_logits for step in steps], dim=1)
    found["dis"] = torch.stack(
        [network.displacement(s.pair, GRID) for s in steps if s.pair is not None], dim=1
    )
    for name, value in found.items():
        assert_within_spread(value, expected[f"window_{name}"])


@needs_golden
@pytest.mark.parametrize("variant", OFFICIAL, indirect=True)
def test_sliding_window_as_published(variant: str) -> None:
    network, frames, expected = golden(variant)
    sliding = SlidingWindow(network)
    for index, frame in enumerate(frames.split(1)):
        step = sliding.step(lambda *_, x=frame: x, GRID, np.zeros((1, 2)))
        for head in ("hm", "wh", "reg"):
            assert_within_spread(network.head(head)(step.features, GRID), expected[f"track{index}_{head}"])
