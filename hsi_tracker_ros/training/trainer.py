"""Trainer of HA-Net, and the recipes of its variants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from hsi_tracker_ros.hanet.config import HANET_EDGE, HANET_R50, HANetConfig
from hsi_tracker_ros.hanet.network import HANet, Responses, SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.training.clips import CubeClip
from hsi_tracker_ros.training.losses import NEGATIVE, SamplingSettings, compute_loss
from hsi_tracker_ros.training.pairs import AugmentationSettings, Pair, PairDataset, stack_pairs
from tracking_runtime.engines.pytorch import to_channels_last
from tracking_runtime.errors import ModelError
from tracking_runtime.training.loop import Trainer

_BRANCHES = frozenset({"rgb", "spectral"})
"""Names of the branches that a stage can train: submodules of `HANet`."""

Batch = TypeVar("Batch")

_SEED_STRIDE = 1_000_003  # from the seed of a run to the first seed of the next run's sampled points


@dataclass(frozen=True)
class TrainingRecipe:
    """Settings of a training run. The field names are keys of the models' manifests.

    Attributes:
        steps: number of batches in each stage.
        batch: number of pairs in a batch.
        optimizer: `sgd` (momentum 0.9) or `adamw`.
        learning_rate: learning rate after the warm-up. The rate then falls exponentially to `final_rate`.
        final_rate: learning rate of the last step.
        warmup: fraction of the steps in which the rate rises to `learning_rate`.
        backbone_rate: learning rate of the RGB backbone as a fraction of that of the other layers.
        backbone_from: fraction of a stage's steps after which the RGB backbone is trained too.
        weight_decay: weight decay of the optimizer.
        average: decay of the running average of the weights, which becomes the model. 0 disables averaging.
        stages: branches that are trained, one stage after the other. The paper trains `rgb` first and then
            `spectral`. The learning rate starts again with each stage.
        sampling: numbers of points of the response maps that contribute to the loss.
        augmentation: random variation of the crops.
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
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

    @property
    def total_steps(self) -> int:
        """Number of batches in all stages."""
        return self.steps * len(self.stages)

    def find_trained_branches(self, step: int) -> tuple[str, ...]:
        """Return the branches that are trained in a step."""
        return self.stages[min(step // self.steps, len(self.stages) - 1)]

    def is_backbone_trained(self, step: int) -> bool:
        """Return whether the RGB backbone is trained in a step."""
        return step % self.steps >= self.backbone_from * self.steps

    def compute_learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        stage_step = step % self.steps
        warmup_steps = max(self.warmup * self.steps, 1.0)
        if stage_step < warmup_steps:
            return self.learning_rate * (stage_step + 1) / warmup_steps
        progress = (stage_step - warmup_steps) / max(self.steps - warmup_steps, 1.0)
        return self.learning_rate * (self.final_rate / self.learning_rate) ** min(progress, 1.0)


PAPER_RECIPE = TrainingRecipe(
    steps=20 * 31_250,
    batch=32,
    optimizer="sgd",
    learning_rate=1e-3,
    final_rate=5e-4,
    backbone_from=0.5,
    stages=(("rgb",), ("spectral",)),
)
"""Recipe as published."""

EDGE_RECIPE = TrainingRecipe(
    steps=3000,
    batch=16,
    optimizer="adamw",
    learning_rate=1e-3,
    final_rate=3e-5,
    backbone_rate=0.2,
    weight_decay=1e-3,
    average=0.995,
    sampling=SamplingSettings(negatives_unpaired=48, hard_share=0.5, unpaired_outside=NEGATIVE),
    augmentation=AugmentationSettings(elsewhere=0.15),
)
"""Recipe of the small network, which a CPU can train."""

REFINEMENT_RECIPE = replace(EDGE_RECIPE, steps=1000, learning_rate=2e-4, final_rate=1e-5)
"""Recipe that refines a trained model on other clips."""

RECIPES: Mapping[str, tuple[HANetConfig, TrainingRecipe]] = {
    "hanet_r50": (HANET_R50, PAPER_RECIPE),
    "hanet_edge": (HANET_EDGE, EDGE_RECIPE),
}
"""Network and recipe by preset."""


def load_network_to_refine(model: str) -> HANet:
    """Load the network of a model that can be refined.

    Args:
        model: name or path of the model.

    Raises:
        ModelError: the model cannot be loaded, has no spectral branch, or fits the bands of one camera only.
    """
    network = load_network(model)
    if not isinstance(network, HANet) or network.config.spectral is None:
        raise ModelError(
            f"{model} is an RGB branch alone and cannot be refined; --rgb {model} trains a spectral branch "
            "beside the RGB branch"
        )
    if network.config.spectral.wavelengths_nm is not None:
        raise ModelError(
            f"the bands of {model} are fixed to a camera's; refine the model for any camera that {model} was "
            "made from, and fix its bands afterward: --from hanet_edge_any --camera NAME"
        )
    return network


class SiameseTrainer(Trainer[Batch]):
    """Trainer of a Siamese network on random pairs. A run found in the folder is resumed.

    A resumed run ends with the same weights as an uninterrupted run. The processes that `torchrun` starts
    share each batch.

    Attributes:
        recipe: settings of the run.

    Args:
        network: network with its initial weights.
        dataset: pairs, as many as the run takes.
        stack: function from pairs to a batch.
        recipe: settings of the run.
        folder: folder of the checkpoint.
        seed: seed of all draws.
        workers: number of processes that prepare batches; 0 prepares them in this process.
        device: PyTorch device that trains.

    Raises:
        ModelError: the checkpoint is of another network, or the processes cannot share a batch evenly.
    """

    network: SiameseNetwork

    def __init__(
        self,
        network: SiameseNetwork,
        dataset: Dataset[Batch],
        stack: Callable[[Sequence[Batch]], Batch],
        recipe: TrainingRecipe,
        folder: Path,
        *,
        seed: int = 0,
        workers: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(folder)
        if recipe.batch % self.num_processes:
            raise ModelError(
                f"batch must be a multiple of the number of processes: got {recipe.batch} pairs, "
                f"{self.num_processes} processes"
            )
        self.recipe = recipe
        self.network = to_channels_last(network).to(device)
        self.optimizer = _make_optimizer(self.network, recipe)
        self._parallel_network: nn.Module = self.network
        self._stage: tuple[str, ...] = ()
        self._device = device
        self._seed = seed
        self._num_workers = workers
        self._dataset = dataset
        self._stack = stack
        self._average = _make_average(self.network, recipe)
        self.resume()

    @property
    def total_steps(self) -> int:
        return self.recipe.total_steps

    @property
    def learning_rate(self) -> float:
        return self.recipe.compute_learning_rate(self.step)

    def describe(self) -> dict[str, Any]:
        """Return the description of the run for the manifest of its model."""
        recipe = json.loads(json.dumps(asdict(self.recipe)))
        return {"steps_done": self.step, "seed": self._seed, "recipe": recipe}

    def draw_batches(self) -> Iterator[Batch]:
        self._stage = ()
        return iter(
            DataLoader(
                self._dataset,
                batch_sampler=self._draw_indices(),
                collate_fn=self._stack,
                num_workers=self._num_workers,
            )
        )

    def _draw_indices(self) -> Iterator[list[int]]:
        """Yield the indices of this process's pairs in each batch from the next one to the last."""
        batch = self.recipe.batch
        num_pairs = batch // self.num_processes
        for step in range(self.step, self.recipe.total_steps):
            first = step * batch + self.rank * num_pairs
            yield list(range(first, first + num_pairs))

    def prepare_step(self) -> None:
        stage = self.recipe.find_trained_branches(self.step)
        if stage != self._stage:
            self._begin_stage(stage)
        self.network.train()
        self.network.rgb.backbone.eval()
        for branch in self._list_frozen_branches(stage):
            branch.eval()
        for group in self.optimizer.param_groups:
            is_trained = group["share"] == 1.0 or self.recipe.is_backbone_trained(self.step)
            group["lr"] = self.learning_rate * group["share"] if is_trained else 0.0

    def _begin_stage(self, stage: tuple[str, ...]) -> None:
        self._stage = stage
        self.network.requires_grad_(True)
        for module in self.network.rgb.backbone.list_first_stages():
            module.requires_grad_(False)
        for branch in self._list_frozen_branches(stage):
            branch.requires_grad_(False)
        if self.num_processes > 1:
            self._parallel_network = DistributedDataParallel(self.network)

    def _list_frozen_branches(self, stage: tuple[str, ...]) -> list[nn.Module]:
        """Return the branches of the network that a stage does not train."""
        branches = dict(self.network.named_children())
        return [branches[name] for name in _BRANCHES.difference(stage) if name in branches]

    def _draw_generator(self) -> torch.Generator:
        """Return the generator that samples the points of this step."""
        return torch.Generator().manual_seed(self._seed * _SEED_STRIDE + self.step)

    def _get_averaged_network(self) -> SiameseNetwork:
        network = self.network if self._average is None else self._average.module
        assert isinstance(network, SiameseNetwork)
        return network.eval()

    def update_average(self) -> None:
        if self._average is not None:
            self._average.update_parameters(self.network)

    def make_state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "config": json.dumps(self.network.config.to_parameters()),
        }

    def is_own_state(self, state: Mapping[str, Any]) -> bool:
        return bool(json.loads(state.get("config", "null")) == self.network.config.to_parameters())

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._average is not None and state["average"] is not None:
            self._average.load_state_dict(state["average"])
        self.step = state["step"]


class HANetTrainer(SiameseTrainer[Pair]):
    """Trainer of HA-Net on cubes.

    Args:
        network: network with its initial weights.
        clips: clips that the pairs are cut from.
        recipe: settings of the run.
        folder: folder of the checkpoint.
        seed: seed of all draws.
        workers: number of processes that prepare batches; 0 prepares them in this process.
        device: PyTorch device that trains.

    Raises:
        ModelError: the checkpoint is of another network, or the processes cannot share a batch evenly.
    """

    network: HANet

    def __init__(
        self,
        network: HANet,
        clips: Sequence[CubeClip],
        recipe: TrainingRecipe,
        folder: Path,
        *,
        seed: int = 0,
        workers: int = 0,
        device: str = "cpu",
    ) -> None:
        num_pairs = recipe.total_steps * recipe.batch
        dataset = PairDataset(clips, network.config, recipe.augmentation, seed, length=num_pairs)
        super().__init__(
            network, dataset, stack_pairs, recipe, folder, seed=seed, workers=workers, device=device
        )

    def export_network(self) -> HANet:
        """Return the trained network in evaluation mode: the averaged one if the recipe asks for it."""
        network = self._get_averaged_network()
        assert isinstance(network, HANet)
        return network

    def compute_loss(self, batch: Pair) -> tuple[Tensor, dict[str, float]]:
        responses = self._run_network(batch)
        # Points are sampled one by one. On maps this small the CPU is the fastest, whatever made the maps.
        cpu_responses = Responses(*(response.cpu() for response in responses))
        return compute_loss(
            cpu_responses,
            batch.box,
            batch.is_paired,
            self.network.config.search_size,
            self.recipe.sampling,
            self._draw_generator(),
            self.network.rgb.grid,
        )

    def _run_network(self, batch: Pair) -> Responses:
        crops = (batch.template_image, batch.template_cube, batch.search_image, batch.search_cube)
        inputs = [crop.to(self._device).contiguous(memory_format=torch.channels_last) for crop in crops]
        spectral = self.network.config.spectral
        if spectral is not None and spectral.wavelengths_nm is None:
            inputs.append(batch.wavelengths_nm.to(self._device))
        responses: Responses = self._parallel_network(*inputs)
        return responses


def _make_average(network: SiameseNetwork, recipe: TrainingRecipe) -> AveragedModel | None:
    """Return the running average of a network; None if the recipe keeps the last weights."""
    if not recipe.average:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True)


def _make_optimizer(network: SiameseNetwork, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """Return the optimizer of all layers but the first stages of the RGB backbone, which stay as they are.

    The key `share` of a parameter group is its fraction of the learning rate. Checkpoints contain the key.
    """
    backbone = network.rgb.backbone
    frozen_ids = {id(p) for module in backbone.list_first_stages() for p in module.parameters()}
    backbone_parameters = [p for p in backbone.parameters() if id(p) not in frozen_ids]
    backbone_ids = frozen_ids | {id(p) for p in backbone_parameters}
    other_parameters = [p for p in network.parameters() if id(p) not in backbone_ids]
    groups = [
        {"params": other_parameters, "share": 1.0},
        {"params": backbone_parameters, "share": recipe.backbone_rate},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.learning_rate, weight_decay=recipe.weight_decay)
    raise ValueError(f"optimizer must be sgd or adamw: got {recipe.optimizer}")
