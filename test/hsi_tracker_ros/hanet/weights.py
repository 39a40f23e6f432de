import zlib

import numpy as np
import torch
from torch import nn


def fill(name, shape, salt):
    rng = np.random.default_rng(zlib.crc32(f"{salt}:{name}".encode()))
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var" or (leaf == "weight" and len(shape) == 1):
        return rng.uniform(0.6, 1.4, shape).astype(np.float32)
    if leaf in ("running_mean", "bias"):
        return (rng.standard_normal(shape) * 0.1).astype(np.float32)
    if len(shape) >= 2:
        gain = 0.4 if name.endswith("conv3.weight") else 2e-3 if name.startswith("head.") else 1.6
        return (rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))).astype(np.float32)
    return (rng.standard_normal(shape) * 0.3).astype(np.float32)


def filled(network: nn.Module, salt: int) -> nn.Module:
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict({key: torch.from_numpy(fill(key, shape, salt)) for key, shape in shapes.items()})
    return network.eval()
