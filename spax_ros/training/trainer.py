"""Trainer of SPAX, and the settings of its training runs.

The network is trained as it runs later: on active pixels, unrolled over a few frames. Its state is carried
from one segment of a clip to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spax_ros.network.config import SpaxConfig
from spax_ros.network.layers import BatchNorm
from spax_ros.network.network import NetworkState, SpaxNetwork
from spax_ros.training.clips import ClipPool
from spax_ros.training.crops import CropFrame, draw_crop
from spax_ros.training.losses import LOSS_NAMES, Losses
from spax_ros.training.unrolled_clip import UnrolledClip
from tracking_runtime.errors import ModelError
from tracking_runtime.training.loop import Trainer

_MAX_AVERAGE_DECAY = 0.998  # of the running average of the weights
_AVERAGE_WARMUP_STEPS = 20  # the decay rises with the steps: step / (step + this)
_MIN_COSINE_RATE = 0.02  # learning rate at the end of the cosine, as a fraction of that at its start


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training run. The defaults are those published for SatVideoDT.

    The field names are keys of the models' manifests and of the checkpoints.

    Attributes:
        steps: number of steps of the optimizer.
        learning_rate: learning rate of Adam after the warm-up.
        drop_at: fraction of the steps after which the rate falls to a tenth. None selects a cosine.
        warmup: number of steps in which the rate rises at the start; 0 disables the warm-up.
        batch: number of clips in a batch.
        crop: side of the square that is cut out of each clip, in pixels.
        unroll: number of frames through which gradients are propagated back. Higher needs more memory.
        stretches: number of segments of `unroll` frames that are taken from a clip; the state is carried from
            one to the next.
        size_weight: weight of the size loss.
        least_radius: minimum radius of the heat map's peaks in pixels.
        settle_at: fraction of the steps from which batch normalization uses the running statistics of all
            clips, as it does after training. With batches of few small clips, a network would otherwise rely
            on the statistics of the batch. 1 disables it.
        seed: seed of all random draws.
    """

    steps: int = 60_000
    learning_rate: float = 1.25e-4
    drop_at: float | None = 0.9
    warmup: int = 0
    batch: int = 4
    crop: int = 512
    unroll: int = 5
    stretches: int = 1
    size_weight: float = 0.1
    least_radius: int = 0
    settle_at: float = 1.0
    seed: int = 317

    def compute_learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        warmup_factor = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        progress = step / self.steps
        if self.drop_at is None:
            cosine = 0.5 * (1 + float(np.cos(np.pi * progress)))
            decay = _MIN_COSINE_RATE + (1 - _MIN_COSINE_RATE) * cosine
        else:
            decay = 0.1 if progress >= self.drop_at else 1.0
        return self.learning_rate * warmup_factor * decay


SIMULATION_SETTINGS = TrainingSettings(
    steps=4000,
    learning_rate=2e-3,
    drop_at=None,
    warmup=100,
    batch=3,
    crop=160,
    unroll=4,
    stretches=6,
    least_radius=1,
    settle_at=0.6,
)
"""Settings of the variants of this package, which a CPU can train on simulated scenes."""

REFINEMENT_SETTINGS = replace(
    SIMULATION_SETTINGS, steps=2000, learning_rate=5e-4, warmup=30, batch=2, crop=208, settle_at=0.0
)
"""Settings that refine a trained model on other clips."""


@dataclass(frozen=True)
class Segment:
    """Frames of a batch that one step is trained on.

    Attributes:
        crops: frames of each crop of the batch.
        previous_frames: frame of each crop before its first; None at the start of the crops.
        state: state of the network after the previous frames; None at the start of the crops.
    """

    crops: list[list[CropFrame]]
    previous_frames: Sequence[CropFrame] | None
    state: NetworkState | None


class SpaxTrainer(Trainer[Segment]):
    """Trainer of SPAX. A run found in the folder is resumed with the clips that would have come next.

    Each process that `torchrun` starts draws its own batches; all processes train the same network.

    Attributes:
        config: configuration of the network.
        settings: settings of the run.
        averaged_weights: running average of the weights by name, which becomes the model.
        clips_seen: number of clips drawn by all processes.

    Args:
        config: configuration of the network.
        settings: settings of the run.
        clips: clips to draw from.
        folder: folder of the checkpoint.
        weights: initial weights; None initializes them at random.
        device: PyTorch device that trains.

    Raises:
        ModelError: the checkpoint cannot be read or is of another network, or the weights are.
    """

    network: SpaxNetwork

    def __init__(
        self,
        config: SpaxConfig,
        settings: TrainingSettings,
        clips: ClipPool,
        folder: Path,
        weights: Mapping[str, Tensor] | None = None,
        *,
        device: str = "cpu",
    ) -> None:
        super().__init__(folder)
        torch.manual_seed(settings.seed)
        self.config = config
        self.settings = settings
        self.network = SpaxNetwork(config)
        if weights is not None:
            self._load_initial_weights(weights)
        self.network.to(device)
        self.averaged_weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        self._unrolled_clip = UnrolledClip(self.network, settings.least_radius)
        self._parallel_clip: nn.Module = self._unrolled_clip
        if self.num_processes > 1:
            self._parallel_clip = DistributedDataParallel(self._unrolled_clip, find_unused_parameters=True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.clips_seen = 0
        self._clips = clips
        self.resume()

    @property
    def total_steps(self) -> int:
        return self.settings.steps

    @property
    def learning_rate(self) -> float:
        return self.settings.compute_learning_rate(self.step)

    def describe(self) -> dict[str, Any]:
        """Return the description of the run for the manifest of its model."""
        return {"steps": self.step, "clips_seen": self.clips_seen, "settings": asdict(self.settings)}

    def draw_batches(self) -> Iterator[Segment]:
        while self.step < self.total_steps:
            crops = self._draw_crops()
            previous_frames = None
            state = None
            for start in range(0, len(crops[0]), self.settings.unroll):
                segment_crops = [crop[start : start + self.settings.unroll] for crop in crops]
                yield Segment(segment_crops, previous_frames, state)
                if self.step >= self.total_steps:
                    return
                previous_frames = [crop[-1] for crop in segment_crops]
                state = self._unrolled_clip.state

    def _draw_crops(self) -> list[list[CropFrame]]:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, self.clips_seen + self.rank * settings.batch])
        crops = []
        for _ in range(settings.batch):
            clip, class_id = self._clips.draw_clip(rng)
            length = min(settings.unroll * settings.stretches, len(clip.frames))
            crops.append(draw_crop(clip, settings.crop, length, rng, class_id))
        self.clips_seen += settings.batch * self.num_processes
        return crops

    def prepare_step(self) -> None:
        self.network.train()
        if self.step >= self.settings.settle_at * self.settings.steps:
            self._freeze_normalization()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate

    def _freeze_normalization(self) -> None:
        """Normalize by the running average of the statistics, which then stays as it is."""
        for name, module in self.network.named_modules():
            if isinstance(module, BatchNorm):
                module.eval()
                for statistic, value in module.named_buffers():
                    value.copy_(self.averaged_weights[f"{name}.{statistic}"])

    def compute_loss(self, batch: Segment) -> tuple[Tensor, dict[str, float]]:
        parts = self._parallel_clip(batch.crops, batch.previous_frames, batch.state)
        total = Losses(*parts).sum_weighted(self.settings.size_weight)
        values = dict(zip(LOSS_NAMES, parts.tolist(), strict=True))
        return total, {"total": float(total.detach()), **values}

    def update_average(self) -> None:
        """Update the running average of the weights, which scores better than the last weights."""
        decay = min(_MAX_AVERAGE_DECAY, self.step / (self.step + _AVERAGE_WARMUP_STEPS))
        for name, value in self.network.state_dict().items():
            average = self.averaged_weights[name]
            if average.is_floating_point():
                average.mul_(decay).add_(value, alpha=1 - decay)
            else:
                average.copy_(value)

    def make_state(self) -> dict[str, Any]:
        return {
            "config": self.config.to_parameters(),
            "settings": asdict(self.settings),
            "step": self.step,
            "clips_seen": self.clips_seen,
            "weights": self.network.state_dict(),
            "averaged": self.averaged_weights,
            "optimiser": self.optimizer.state_dict(),
        }

    def is_own_state(self, state: Mapping[str, Any]) -> bool:
        return SpaxConfig.from_parameters(state["config"]) == self.config

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["weights"])
        for name, value in self.averaged_weights.items():
            value.copy_(state["averaged"][name])
        self.optimizer.load_state_dict(state["optimiser"])
        self.step = state["step"]
        self.clips_seen = state["clips_seen"]

    def _load_initial_weights(self, weights: Mapping[str, Tensor]) -> None:
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(f"the initial weights are not of the network to be trained: {error}") from error
