"""Outputs equal to those of the official network for the same weights."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
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
    """Name of a variant. Base runs on two threads, as its golden outputs did.

    Base amplifies rounding differences tenfold in every frame. Threads and memory layout (channels last) must
    therefore be the same.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2 if request.param.startswith("base") else num_threads)
    yield request.param
    torch.set_num_threads(num_threads)


def make_official_state(variant: str) -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listing = GOLDEN / f"spax_{OFFICIAL[variant]}_state_dict_shapes.json"
    shapes = json.loads(listing.read_text())["shapes"]
    return {name: torch.from_numpy(module.fill(name, shape, 7)) for name, shape in shapes.items()}


@dataclass(frozen=True)
class Golden:
    """A network with its golden frames and outputs."""

    network: SpaxNetwork
    frames: Tensor
    expected: dict[str, Any]


def load_golden(variant: str) -> Golden:
    config = VARIANTS[variant]
    network = SpaxNetwork(config)
    network.load_state_dict(official_weights(make_official_state(variant), config))
    with np.load(GOLDEN / f"spax_{OFFICIAL[variant]}_salt7.npz") as file:
        expected = dict(file)
    frames = (expected["frames"].astype(np.float32) / 255 - np.float32(0.49965)) / np.float32(0.08255)
    return Golden(
        network.requires_grad_(False).eval(), torch.from_numpy(frames).permute(0, 3, 1, 2), expected
    )


def assert_close(output: Tensor, expected: Any, tolerance: float = 1e-4) -> None:
    """Compare with a tolerance in standard deviations of the expected values."""
    assert output.shape == expected.shape
    assert np.abs(output.numpy() - expected).max() <= tolerance * expected.std()


@needs_golden
@pytest.mark.parametrize("variant", OFFICIAL, indirect=True)
def test_window_equals_the_official_network(variant: str) -> None:
    golden = load_golden(variant)
    network = golden.network

    steps = run_window(network, list(golden.frames[3:8].split(1)), GRID)

    outputs = {h: network.head(h)(steps[-1].features, GRID) for h in ("hm", "wh", "reg")}
    outputs["hm_seq"] = torch.stack([step.mask_logits for step in steps], dim=1)
    outputs["dis"] = torch.stack(
        [network.displacement(s.pair, GRID) for s in steps if s.pair is not None], dim=1
    )
    for name, value in outputs.items():
        assert_close(value, golden.expected[f"window_{name}"])


@pytest.mark.slow
@needs_golden
@pytest.mark.parametrize("variant", OFFICIAL, indirect=True)
def test_sliding_window_equals_the_official_tracker(variant: str) -> None:
    golden = load_golden(variant)
    network = golden.network
    memory = SlidingWindow(network)

    for index, frame in enumerate(golden.frames.split(1)):
        step = memory.step(lambda *_, x=frame: x, GRID, np.zeros((1, 2)))
        for head in ("hm", "wh", "reg"):
            assert_close(network.head(head)(step.features, GRID), golden.expected[f"track{index}_{head}"])
