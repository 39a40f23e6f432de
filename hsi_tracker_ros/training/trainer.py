"""Training HA-Net: resumable, and the same weights whether interrupted or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from hsi_tracker_ros.hanet.config import HANET_EDGE, HANET_R50, HANetConfig
from hsi_tracker_ros.hanet.network import HANet, Responses
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.training.losses import NEGATIVE, Sampling, total_loss
from hsi_tracker_ros.training.pairs import Augmentation, Clip, Pair, PairDataset, stack_pairs
from tracking_runtime.engines.pytorch import channels_last
from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_checkpoint, write_checkpoint
from tracking_runtime.training.loop import CHECKPOINT


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        steps: batches of each stage.
        batch: pairs in each.
        optimizer: ``sgd`` (momentum 0.9) or ``adamw``.
        learning_rate: after the warm-up; it falls exponentially to ``final_rate``.
        final_rate: at the last step.
        warmup: share of the steps in which the rate rises to ``learning_rate``.
        backbone_rate: the RGB backbone's rate as a share of the others'.
        backbone_from: share of a stage's steps after which the RGB backbone learns too.
        weight_decay: of the optimizer.
        average: decay of the running average of the weights, which is what is kept in the end; 0: none.
        stages: which branches learn, one stage after the other; the paper trains ``rgb`` first and then
            ``spectral``. The rate's course begins anew with each stage.
        sampling: which points of the response maps count.
        augmentation: how crops vary.
    """

    steps: int
    batch: int
    optimizer: str
    learning_rate: float
    final_rate: float
    warmup: float = 0.02
    backbone_rate: float = 0.1
    backbone_from: float = 0.0
    weight_decay: float = 1e-4
    average: float = 0.0
    stages: tuple[tuple[str, ...], ...] = (("rgb", "spectral"),)
    sampling: Sampling = field(default_factory=Sampling)
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def total_steps(self) -> int:
        """Batches in all."""
        return self.steps * len(self.stages)

    def learns(self, step: int) -> tuple[str, ...]:
        """The branches that learn in a step."""
        return self.stages[min(step // self.steps, len(self.stages) - 1)]

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        step %= self.steps
        warmup = max(self.warmup * self.steps, 1.0)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(self.steps - warmup, 1.0)
        return self.learning_rate * (self.final_rate / self.learning_rate) ** min(progress, 1.0)


PAPER = Recipe(
    steps=20 * 31_250,
    batch=32,
    optimizer="sgd",
    learning_rate=1e-3,
    final_rate=5e-4,
    backbone_from=0.5,
    stages=(("rgb",), ("spectral",)),
)
EDGE = Recipe(
    steps=3000,
    batch=16,
    optimizer="adamw",
    learning_rate=1e-3,
    final_rate=3e-5,
    backbone_rate=0.2,
    weight_decay=1e-3,
    average=0.995,
    sampling=Sampling(negatives_unpaired=48, hard_share=0.5, unpaired_outside=NEGATIVE),
    augmentation=Augmentation(elsewhere=0.15),
)

REFINING = replace(EDGE, steps=1000, learning_rate=2e-4, final_rate=1e-5)

RECIPES: Mapping[str, tuple[HANetConfig, Recipe]] = {
    "hanet_r50": (HANET_R50, PAPER),
    "hanet_edge": (HANET_EDGE, EDGE),
}


def to_refine(model: str) -> HANet:
    """The network of a model, by name or path, to go on with.

    Raises:
        ModelError: it cannot be loaded, has no spectral branch, or is for one camera's bands.
    """
    network = load_network(model)
    if not isinstance(network, HANet) or network.config.spectral is None:
        raise ModelError(f"{model} is an RGB branch alone; --rgb {model} trains a spectral branch beside it")
    if network.config.spectral.wavelengths_nm is not None:
        raise ModelError(
            f"the bands of {model} are fixed to a camera's; refine the model for any camera that it was made "
            "from, and fix its bands in the end: --from hanet_edge_any --camera NAME"
        )
    return network


class Trainer:
    """One training run in one folder; a folder with a checkpoint is resumed.

    Where ``torch.distributed`` has been set up, as by ``torchrun``, its processes share each batch.

    Args:
        network: to be trained, with its initial weights.
        clips: to draw pairs from.
        recipe: how.
        folder: for the checkpoint.
        seed: of all draws.
        workers: processes that prepare batches.
        device: that computes.

    Raises:
        ModelError: the checkpoint there is of another network, or batches can't be shared evenly.
    """

    def __init__(
        self,
        network: HANet,
        clips: Sequence[Clip],
        recipe: Recipe,
        folder: Path,
        *,
        seed: int = 0,
        workers: int = 0,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.folder, self.step = recipe, folder, 0
        self._network = channels_last(network).to(device)
        self._parallel: nn.Module = self._network
        self._rank, self._processes = (
            (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
        )
        if recipe.batch % self._processes:
            raise ModelError(f"{recipe.batch} pairs a batch can't be shared by {self._processes} processes")
        self._device, self._seed, self._workers = device, seed, workers
        self._dataset = PairDataset(
            clips, network.config, recipe.augmentation, seed, length=recipe.total_steps * recipe.batch
        )
        self._optimizer = self._make_optimizer()
        averaging = get_ema_multi_avg_fn(recipe.average)
        self._average = (
            AveragedModel(network, multi_avg_fn=averaging, use_buffers=True) if recipe.average else None
        )
        self._resume()

    @property
    def total_steps(self) -> int:
        """Batches in all."""
        return self.recipe.total_steps

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.recipe.rate(self.step)

    @property
    def result(self) -> HANet:
        """The network as it should be kept."""
        network = self._network if self._average is None else self._average.module
        assert isinstance(network, HANet)
        return network.eval()

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the last step, yielding each step's losses; stop iterating to pause."""
        loader = DataLoader(
            self._dataset, batch_sampler=self._shares(), collate_fn=stack_pairs, num_workers=self._workers
        )
        stage: tuple[str, ...] = ()
        for pairs in loader:
            if self.recipe.learns(self.step) != stage:
                stage = self.recipe.learns(self.step)
                self._begin_stage(stage)
            losses = self._train(pairs)
            self.step += 1
            yield losses

    def _shares(self) -> Iterator[list[int]]:
        """This process's part of each batch still to come."""
        batch, share = self.recipe.batch, self.recipe.batch // self._processes
        for step in range(self.step, self.recipe.total_steps):
            first = step * batch + self._rank * share
            yield list(range(first, first + share))

    def _begin_stage(self, learns: Sequence[str]) -> None:
        network = self._network
        network.requires_grad_(True)
        for module in network.rgb.backbone.first_stages():
            module.requires_grad_(False)
        for branch in {"rgb", "spectral"} - set(learns):
            network.get_submodule(branch).requires_grad_(False)
        if self._processes > 1:
            self._parallel = DistributedDataParallel(network)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state: dict[str, Any] = {
            "step": self.step,
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "config": json.dumps(self._network.config.to_parameters()),
        }
        write_checkpoint(self.folder / CHECKPOINT, state)

    def describe(self) -> dict[str, Any]:
        """What a manifest says of the training."""
        recipe = json.loads(json.dumps(asdict(self.recipe)))
        return {"steps_done": self.step, "seed": self._seed, "recipe": recipe}

    def _make_optimizer(self) -> torch.optim.Optimizer:
        recipe, network = self.recipe, self._network
        fixed = {id(p) for module in network.rgb.backbone.first_stages() for p in module.parameters()}
        backbone = [p for p in network.rgb.backbone.parameters() if id(p) not in fixed]
        apart = fixed | {id(p) for p in backbone}
        rest = [p for p in network.parameters() if id(p) not in apart]
        groups = [{"params": rest, "share": 1.0}, {"params": backbone, "share": recipe.backbone_rate}]
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(
                groups, recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay
            )
        if recipe.optimizer == "adamw":
            return torch.optim.AdamW(groups, recipe.learning_rate, weight_decay=recipe.weight_decay)
        raise ValueError(f"no optimizer named {recipe.optimizer}; known: sgd, adamw")

    def _train(self, pairs: Pair) -> dict[str, float]:
        recipe, network = self.recipe, self._network
        network.train()
        network.rgb.backbone.eval()
        for branch in {"rgb", "spectral"} - set(recipe.learns(self.step)):
            network.get_submodule(branch).eval()
        learning = self.step % recipe.steps >= recipe.backbone_from * recipe.steps
        for group in self._optimizer.param_groups:
            slow = group["share"] != 1.0
            group["lr"] = recipe.rate(self.step) * group["share"] * (1.0 if learning or not slow else 0.0)
        image, cube, search_image, search_cube, nm = (
            getattr(pairs, name).to(self._device)
            for name in ("template_image", "template_cube", "search_image", "search_cube", "wavelengths_nm")
        )
        wavelengths = (
            (nm,) if network.config.spectral and network.config.spectral.wavelengths_nm is None else ()
        )
        responses = self._parallel(
            *map(_channels_last, (image, cube, search_image, search_cube)), *wavelengths
        )
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.step)
        size, grid = network.config.search_size, network.rgb.grid
        # Points are drawn one by one: of maps so small that is quickest on the CPU, whatever made them.
        maps = Responses(*(each.cpu() for each in responses))
        loss, parts = total_loss(maps, pairs.box, pairs.paired, size, recipe.sampling, generator, grid)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_((p for p in network.parameters() if p.grad is not None), 10.0)
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(network)
        return parts

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        state = read_checkpoint(path)
        if json.loads(state.get("config", "null")) != self._network.config.to_parameters():
            raise ModelError(f"{path} is of another network; train in another folder or delete it")
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None and state["average"] is not None:
            self._average.load_state_dict(state["average"])
        self.step = state["step"]


def _channels_last(batch: Tensor) -> Tensor:
    return batch.contiguous(memory_format=torch.channels_last)
