import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hsi_tracker_ros.hanet.config import SIAMBAN_R50
from hsi_tracker_ros.hanet.network import SiamBAN

HERE = Path(__file__).parent
SHARED = HERE.parents[3] / "shared" / "golden"

spec = importlib.util.spec_from_file_location("weights", HERE / "weights.py")
weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(weights)


@pytest.fixture(scope="module")
def siamban():
    return weights.filled(SiamBAN(SIAMBAN_R50), salt=7)


def assert_same(given, wanted):
    assert np.abs(given.numpy() - wanted).max() <= 1e-4 * wanted.std()


@pytest.mark.slow
def test_state_dict_has_official_keys_and_shapes(siamban):
    path = SHARED / "siamban_r50_l234_state_dict_shapes.json"
    if not path.exists():
        pytest.skip("the official shapes are not here")
    official = json.loads(path.read_text())["shapes"]
    assert {key: list(value.shape) for key, value in siamban.state_dict().items()} == official


@pytest.mark.slow
def test_siamban_reproduces_official_outputs(siamban):
    path = SHARED / "siamban_r50_salt7.npz"
    if not path.exists():
        pytest.skip("the official outputs are not here")
    golden = np.load(path)
    with torch.inference_mode():
        cls, loc = siamban(*(torch.from_numpy(golden[name]).float() for name in "zx"))
    assert_same(cls, golden["cls"])
    assert_same(loc, golden["loc"])


@pytest.mark.slow
def test_siamban_reproduces_its_own_outputs(siamban):
    golden = np.load(HERE / "siamban_r50.npz")
    rng = np.random.default_rng(3)
    crops = [
        torch.from_numpy(rng.uniform(0, 255, (1, 3, size, size)).astype(np.float32)) for size in (127, 255)
    ]
    with torch.inference_mode():
        cls, loc = siamban(*crops)
    assert_same(cls[..., ::4, ::4], golden["cls"])
    assert_same(loc[..., ::4, ::4], golden["loc"])
