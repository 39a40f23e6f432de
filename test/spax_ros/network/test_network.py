"""Golden outputs of small networks, and valid configurations."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.grid import DenseGrid, compute_center_shift
from spax_ros.network.network import SpaxNetwork
from spax_ros.transforms import make_transform
from tracking_runtime.errors import ModelError

# Mean and standard deviation of the heads' outputs for weights and frames that follow from names. Recorded
# when the network equaled the official one to the bit.
OWN_GOLDEN = {
    "base_satvideodt hm": (0.758502, 1.241633),
    "base_satvideodt wh": (1.47357, 1.941339),
    "base_satvideodt reg": (0.871425, 2.164255),
    "light_satvideodt hm": (0.484288, 1.064655),
    "light_satvideodt wh": (0.038547, 1.448294),
    "light_satvideodt reg": (0.20063, 1.199952),
    "base_satmtb hm": (-0.148757, 0.866878),
    "base_satmtb wh": (-0.906722, 0.864331),
    "base_satmtb reg": (0.567607, 0.2869),
    "light_satmtb hm": (-0.141164, 0.660394),
    "light_satmtb wh": (-0.718459, 0.808335),
    "light_satmtb reg": (0.21737, 0.386153),
    "small hm": (-0.299422, 0.502255),
    "small wh": (-0.191875, 0.378931),
    "small reg": (0.297955, 0.540152),
}


def make_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return random values that depend on a name only."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith(("running_var", "norm.weight")):
        return torch.from_numpy(rng.uniform(0.6, 1.4, shape).astype(np.float32))
    fan = int(np.prod(shape[1:])) if len(shape) > 1 else 10
    return torch.from_numpy((rng.standard_normal(shape) / np.sqrt(fan)).astype(np.float32))


def compute_head_outputs(variant: str) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation of each head's output after two frames."""
    config = VARIANTS[variant]
    network = SpaxNetwork(config).requires_grad_(False).eval()
    weights = {
        name: value if name.endswith("tracked") else make_tensor(name, tuple(value.shape))
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(weights)
    grid, state = DenseGrid((1, 32, 64)), None
    for index in range(2):
        frame = make_tensor(f"frame {index}", (1, config.input_channels, 32, 64)) * 10
        step = network.step(frame, grid, state)
        state = step.state
    outputs = {name: network.head(name)(step.features, grid) for name in ("hm", "wh", "reg")}
    return {name: (float(v.mean()), float(v.std())) for name, v in outputs.items()}


@pytest.mark.parametrize(
    "variant", ["base_satvideodt", "light_satvideodt", "base_satmtb", "light_satmtb", "small"]
)
def test_outputs_of_variant_equal_golden_ones(variant: str) -> None:
    outputs = compute_head_outputs(variant)

    for name, (mean, deviation) in outputs.items():
        expected = OWN_GOLDEN[f"{variant} {name}"]
        assert (mean, deviation) == pytest.approx(expected, rel=2e-3, abs=2e-3 * expected[1])


def test_configuration_equals_that_of_its_manifest() -> None:
    for config in VARIANTS.values():
        assert SpaxConfig.from_parameters(config.to_parameters()) == config


@pytest.mark.parametrize(
    "parameters",
    [{"widths": [8, 16]}, {"decode_from": 9}, {"color": "red"}, {"fusion": "none"}, {"head_width": "wide"}],
)
def test_parameters_of_no_network_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="do not describe a SPAX network"):
        SpaxConfig.from_parameters({**VARIANTS["small"].to_parameters(), **parameters})


def test_center_shift_inverts_the_camera_motion() -> None:
    translation = make_transform([[1.0, 0, 3], [0, 1, -2]])
    quarter_turn = make_transform([[0.0, -1, 200], [1, 0, 0]])

    np.testing.assert_allclose(compute_center_shift(translation, 100, 200), [2, -3])
    np.testing.assert_allclose(compute_center_shift(quarter_turn, 200, 200), [0, 0], atol=1e-9)
