"""Training of SPAX on active pixels, its state carried through the clips.

Losses as published: focal (CornerNet) on the heat map of each frame and on the class-agnostic one, L1 on
size, offset and displacement. The streaming network is trained as it runs: unrolled over a few frames, the
state handed from one stretch of a clip to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spax_ros.network.config import SpaxConfig
from spax_ros.network.layers import BatchNorm
from spax_ros.network.network import SpaxNetwork, State
from spax_ros.sparse.grid import PackedGrid
from spax_ros.training.preparation import ClipPool, CropFrame, crop, window
from tracking_runtime.boxes import centres
from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_checkpoint, write_checkpoint
from tracking_runtime.training.loop import CHECKPOINT


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the defaults are those published for SatVideoDT.

    Attributes:
        steps: optimiser steps in all.
        learning_rate: of Adam at the start.
        drop_at: share of the steps after which the rate falls to a tenth; None: it falls along a cosine.
        warmup: steps over which the rate rises at the start.
        batch: clips side by side.
        crop: side of the square cut out of each, in pixels.
        unroll: frames through which errors are propagated back.
        stretches: how often the state is handed on before new clips are taken.
        size_weight: of the size loss.
        least_radius: of the heat map's peaks, in pixels.
        settle_at: share of the steps from which normalisation is as after training, by statistics of all
            clips and not of the batch, on which a network comes to rely where batches are few small clips.
            1: never.
        seed: of everything random.
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

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        done = step / self.steps
        if self.drop_at is None:
            return self.learning_rate * rise * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * done))))
        return self.learning_rate * rise * (0.1 if done >= self.drop_at else 1.0)


@dataclass(frozen=True)
class Targets:
    """What one frame of a batch should give, at its active pixels.

    Attributes:
        heat: ``(N, classes)``, 1 at these pixels.
        numbers: ``(m,)`` of the objects' pixels: that of the centre, or the active one next to it.
        sizes: ``(m, 2)`` width, height.
        offsets: ``(m, 2)`` x, y of the centre from that pixel's corner.
        displacements: ``(m, 2)`` x, y since the previous frame; NaN where the object was not there.
    """

    heat: Tensor
    numbers: Tensor
    sizes: Tensor
    offsets: Tensor
    displacements: Tensor


@dataclass
class Losses:
    """The parts of the loss, as they go into the sum but for their weights."""

    heat: Tensor
    size: Tensor
    offset: Tensor
    displacement: Tensor
    mask: Tensor

    def total(self, size_weight: float) -> Tensor:
        """Their weighted sum."""
        return self.heat + size_weight * self.size + self.offset + self.displacement + self.mask


def gaussian_radius(width: float, height: float, overlap: float = 0.7) -> float:
    """How far a box's peak reaches, by the overlap that a shifted box still has (as in CenterNet)."""
    total = 2 * overlap * (width + height)
    return float((np.sqrt(total**2 + 16 * overlap * (1 - overlap) * width * height) - total) / 2)


def peak_pixels(boxes: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``(m, 2)`` column and row of each box's active pixel nearest to its centre; without any, of that."""
    pixels = centres(boxes).astype(np.int64)
    for pixel, box in zip(pixels, boxes, strict=True):
        rows, columns = window(box, *mask.shape)
        places = np.argwhere(mask[rows, columns])[:, ::-1] + [columns.start, rows.start]
        if len(places):
            pixel[:] = places[np.square(places - pixel).sum(axis=1).argmin()]
    return pixels


def heat_map(
    pixels: NDArray[np.int64],
    sizes: NDArray[np.float64],
    class_ids: NDArray[np.uint8],
    classes: int,
    size: int,
    least_radius: int,
) -> NDArray[np.float32]:
    """``(classes, size, size)``: 1 at each object's pixel, falling off as a Gaussian around it.

    Args:
        pixels: ``(m, 2)`` column, row.
        sizes: ``(m, 2)`` width and height of the objects.
        class_ids: ``(m,)``.
        classes: how many there are.
        size: side of the map.
        least_radius: of the peaks.
    """
    heat = np.zeros((classes, size, size), np.float32)
    for (column, row), (width, height), class_id in zip(pixels, sizes, class_ids, strict=True):
        radius = max(least_radius, int(gaussian_radius(width, height)))
        rows = slice(max(row - radius, 0), min(row + radius + 1, size))
        columns = slice(max(column - radius, 0), min(column + radius + 1, size))
        dy, dx = np.ogrid[rows, columns]
        peak = np.exp(-((dy - row) ** 2 + (dx - column) ** 2) / (2 * ((2 * radius + 1) / 6) ** 2))
        np.maximum(heat[class_id, rows, columns], peak, out=heat[class_id, rows, columns])
    return heat


def targets_of(
    frames: Sequence[CropFrame],
    before: Sequence[CropFrame] | None,
    grid: PackedGrid,
    classes: int,
    least_radius: int,
) -> Targets:
    """Targets of one frame of each clip of a batch; objects of which no pixel is active are left out."""
    level, size = grid.levels[0], frames[0].mask.shape[0]
    heats, numbers, sizes, offsets, moves = [], [], [], [], []
    for index, frame in enumerate(frames):
        truth = frame.truth
        middles, pixels = centres(truth.boxes), peak_pixels(truth.boxes, frame.mask)
        heats.append(heat_map(pixels, truth.boxes[:, 2:], truth.class_ids, classes, size, least_radius))
        number = level.number(np.full(len(pixels), index), pixels[:, 1], pixels[:, 0])
        active = number < level.rows
        earlier = np.full_like(middles, np.nan)
        if before is not None:
            past = before[index].truth
            where = {identity: i for i, identity in enumerate(past.ids.tolist())}
            for i, identity in enumerate(truth.ids.tolist()):
                if identity in where:
                    earlier[i] = centres(past.boxes[where[identity]])[0]
        numbers.append(number[active])
        sizes.append(truth.boxes[active, 2:])
        offsets.append((middles - pixels)[active])
        moves.append((middles - earlier)[active])
    return Targets(
        heat=grid.pack(torch.from_numpy(np.stack(heats))),
        numbers=level.tensor(np.concatenate(numbers)),
        sizes=level.tensor(np.concatenate(sizes)).float(),
        offsets=level.tensor(np.concatenate(offsets)).float(),
        displacements=level.tensor(np.concatenate(moves)).float(),
    )


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """CornerNet's focal loss (alpha 2, beta 4) over the number of peaks."""
    peak = target.eq(1)
    log_seen, log_unseen = F.logsigmoid(logits), F.logsigmoid(-logits)
    seen = log_seen.exp()
    at_peaks = (log_seen * (1 - seen) ** 2)[peak].sum()
    elsewhere = (log_unseen * seen**2 * (1 - target) ** 4)[~peak].sum()
    return -(at_peaks + elsewhere) / peak.sum().clamp(min=1)


def regression_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over the objects for which there is a target."""
    known = target.isfinite()
    return (predicted - target)[known].abs().sum() / (known.sum() + 1e-4)


class Unrolled(nn.Module):
    """A network through some frames of a batch, to its losses.

    Attributes:
        state: after the last frame, without its history.
    """

    def __init__(self, network: SpaxNetwork, settings: TrainingSettings) -> None:
        super().__init__()
        self.network, self._settings = network, settings
        self.state: State | None = None

    def forward(
        self, chunk: Sequence[Sequence[CropFrame]], before: Sequence[CropFrame] | None, state: State | None
    ) -> Tensor:
        """``(5,)`` the parts of ``Losses``, means over the frames; 0 where too little is active anywhere."""
        losses = []
        for time_index in range(len(chunk[0])):
            frames = [lane[time_index] for lane in chunk]
            found, state = self._frame(frames, before, state)
            if found is not None:
                losses.append(torch.stack([getattr(found, name) for name in Losses.__annotations__]))
            before = frames
        self.state = state.detach() if state is not None else None
        if losses:
            return torch.stack(losses).mean(dim=0)
        nothing = torch.stack([weight.sum() for weight in self.network.parameters()]).sum() * 0
        return nothing.expand(len(Losses.__annotations__))

    def _frame(
        self, frames: Sequence[CropFrame], before: Sequence[CropFrame] | None, state: State | None
    ) -> tuple[Losses | None, State | None]:
        network = self.network
        masks = np.stack([frame.mask for frame in frames])
        grid = PackedGrid(masks, network.config.levels, device=network.mask_layer.weight.device)
        if grid.levels[0].count < 32:
            return None, None
        x = grid.pack(torch.from_numpy(np.stack([frame.inputs for frame in frames])))
        shift = np.stack([frame.shift for frame in frames])
        step = network.step(x, grid, state and state.at(grid, shift))
        targets = targets_of(frames, before, grid, len(network.config.classes), self._settings.least_radius)
        numbers, displacement = targets.numbers, x.new_zeros(())
        if step.pair is not None and len(numbers):
            paired = network.pair(step.pair, grid, 0)
            displacement = regression_loss(
                network.head("dis").at(numbers, paired, grid), targets.displacements
            )
        return (
            Losses(
                heat=focal_loss(network.head("hm")(step.features, grid), targets.heat),
                size=regression_loss(network.head("wh").at(numbers, step.features, grid), targets.sizes),
                offset=regression_loss(network.head("reg").at(numbers, step.features, grid), targets.offsets),
                displacement=displacement,
                mask=focal_loss(step.mask_logits, targets.heat.amax(dim=1, keepdim=True)),
            ),
            step.state,
        )


class Trainer:
    """Trains one network; goes on where its folder's checkpoint is, with the clips that would have come next.

    In a process group of ``torch.distributed`` each process draws its own batches, and all learn the same.

    Args:
        config: of the network.
        settings: how.
        clips: to draw from.
        folder: for the checkpoint.
        weights: to begin with; None: random ones.
        device: that computes.

    Raises:
        ModelError: the checkpoint there cannot be read, or is of another network; the weights are not this
            network's.
    """

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
        torch.manual_seed(settings.seed)
        self.config, self.settings, self.folder = config, settings, folder
        self.network = SpaxNetwork(config)
        if weights is not None:
            self._begin_with(weights)
        self.network.to(device)
        self.averaged = {name: value.clone() for name, value in self.network.state_dict().items()}
        self._unrolled = Unrolled(self.network, settings)
        self._parallel: nn.Module = self._unrolled
        self._processes, self._process = 1, 0
        if torch.distributed.is_initialized():
            self._processes, self._process = torch.distributed.get_world_size(), torch.distributed.get_rank()
            self._parallel = DistributedDataParallel(self._unrolled, find_unused_parameters=True)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.step = 0
        self.clips_seen = 0
        self._clips = clips
        self._resume()

    @property
    def total_steps(self) -> int:
        """Optimiser steps in all."""
        return self.settings.steps

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.settings.rate(self.step)

    def run(self, until: float = float("inf")) -> Iterator[dict[str, float]]:
        """Train to the last step or to a time (``time.time``); yields the losses of every step."""
        while self.step < self.settings.steps and time.time() < until:
            state, before = None, None
            batch = self._draw()
            unroll = self.settings.unroll
            for start in range(0, len(batch[0]), unroll):
                chunk = [lane[start : start + unroll] for lane in batch]
                figures, state = self._learn(chunk, before, state)
                before = [lane[-1] for lane in chunk]
                yield figures
                if self.step >= self.settings.steps:
                    return

    def save(self) -> None:
        """Write everything needed to go on."""
        content = {
            "config": self.config.as_parameters(),
            "settings": asdict(self.settings),
            "step": self.step,
            "clips_seen": self.clips_seen,
            "weights": self.network.state_dict(),
            "averaged": self.averaged,
            "optimiser": self.optimiser.state_dict(),
        }
        write_checkpoint(self.folder / CHECKPOINT, content)

    def describe(self) -> dict[str, Any]:
        """What a manifest says of the training."""
        return {"steps": self.step, "clips_seen": self.clips_seen, "settings": asdict(self.settings)}

    def _begin_with(self, weights: Mapping[str, Tensor]) -> None:
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(f"these weights are not of the network to be trained: {error}") from error

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        content = read_checkpoint(path)
        try:
            if SpaxConfig.from_parameters(content["config"]) != self.config:
                raise ModelError(f"{path} is of another network; train in another folder or delete it")
            self.network.load_state_dict(content["weights"])
            for name, value in self.averaged.items():
                value.copy_(content["averaged"][name])
            self.optimiser.load_state_dict(content["optimiser"])
            self.step, self.clips_seen = content["step"], content["clips_seen"]
        except (RuntimeError, KeyError, ValueError) as error:
            raise ModelError(f"cannot resume from {path}: {error}") from error

    def _draw(self) -> list[list[CropFrame]]:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, self.clips_seen + self._process * settings.batch])
        lanes = []
        for _ in range(settings.batch):
            clip, class_id = self._clips.draw(rng)
            length = min(settings.unroll * settings.stretches, len(clip.frames))
            lanes.append(crop(clip, settings.crop, length, rng, class_id))
        self.clips_seen += settings.batch * self._processes
        return lanes

    def _learn(
        self, chunk: Sequence[Sequence[CropFrame]], before: Sequence[CropFrame] | None, state: State | None
    ) -> tuple[dict[str, float], State | None]:
        settings = self.settings
        self.network.train()
        if self.step >= settings.settle_at * settings.steps:
            self._settle()
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate(self.step)
        parts = self._parallel(chunk, before, state)
        total = Losses(*parts).total(settings.size_weight)
        self.optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self._average()
        self.step += 1
        figures = dict(zip(Losses.__annotations__, parts.tolist(), strict=True))
        return {"total": float(total.detach()), **figures}, self._unrolled.state

    def _settle(self) -> None:
        """Normalise by the running mean of the statistics, which no longer changes."""
        for name, module in self.network.named_modules():
            if isinstance(module, BatchNorm):
                module.eval()
                for statistic, value in module.named_buffers():
                    value.copy_(self.averaged[f"{name}.{statistic}"])

    def _average(self) -> None:
        """Keep a running mean of the weights, which scores better than the last ones."""
        keep = min(0.998, self.step / (self.step + 20))
        for name, value in self.network.state_dict().items():
            mean = self.averaged[name]
            if mean.is_floating_point():
                mean.mul_(keep).add_(value, alpha=1 - keep)
            else:
                mean.copy_(value)


SIMULATED_TRAINING = TrainingSettings(
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

REFINING = replace(
    SIMULATED_TRAINING, steps=2000, learning_rate=5e-4, warmup=30, batch=2, crop=208, settle_at=0.0
)
