"""Trainer of an RGB branch: on labeled pairs, and on the responses of a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.crops import SIAMBAN_GEOMETRY
from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.rgb_branch import RgbBranch
from hsi_tracker_ros.photographs import Photograph
from hsi_tracker_ros.training.distillation import compute_teacher_loss, interpolate_responses
from hsi_tracker_ros.training.losses import (
    compute_box_loss,
    compute_classification_loss,
    label_points,
    sample_points,
)
from hsi_tracker_ros.training.object_images import ObjectSequence
from hsi_tracker_ros.training.pairs import stack_pairs
from hsi_tracker_ros.training.rgb_pairs import (
    RgbAugmentationSettings,
    RgbPair,
    RgbPairDataset,
)
from hsi_tracker_ros.training.trainer import EDGE_RECIPE, SiameseTrainer, TrainingRecipe
from tracking_runtime.errors import ModelError

RGB_RECIPE = replace(
    EDGE_RECIPE, steps=3000, learning_rate=5e-4, final_rate=1e-5, backbone_rate=0.3, stages=(("rgb",),)
)
"""Recipe that trains the RGB branch of the small network on real images."""


class RgbTrainer(SiameseTrainer[RgbPair]):
    """Trainer of a network on color images.

    Args:
        network: network with its initial weights.
        sequences: tracking sequences; may be empty.
        photographs: photographs; may be empty. Not both.
        recipe: settings of the run; its augmentation is for cubes and not used.
        folder: folder of the checkpoint.
        augmentation: random variation of the pairs.
        teacher: network whose responses and boxes are learned beside the labels; None learns the labels
            only.
        teacher_weight: weight of the teacher's loss. The labels have 1.
        original: network that a light network was fitted to. Its responses and boxes are learned as well, and
            the statistics of the batch normalizations stay as fitted.
        original_weight: weight of the original's loss.
        precision: type of the numbers that the network computes with. bfloat16 halves the time on most
            machines, but sums in any order: a resumed run ends with slightly different weights.
        seed: seed of all draws.
        workers: number of processes that prepare batches; 0 prepares them in this process.
        device: PyTorch device that trains.

    Raises:
        ModelError: the checkpoint is of another network, the teacher takes crops of another geometry, or the
            processes cannot share a batch evenly.
    """

    def __init__(
        self,
        network: SiameseNetwork,
        sequences: Sequence[ObjectSequence],
        photographs: Sequence[Photograph],
        recipe: TrainingRecipe,
        folder: Path,
        *,
        augmentation: RgbAugmentationSettings | None = None,
        teacher: SiameseNetwork | None = None,
        teacher_weight: float = 1.0,
        original: SiameseNetwork | None = None,
        original_weight: float = 0.3,
        precision: torch.dtype = torch.bfloat16,
        seed: int = 0,
        workers: int = 0,
        device: str = "cpu",
    ) -> None:
        self._augmentation = augmentation or RgbAugmentationSettings()
        self._is_fitted = original is not None
        self._teachers = {
            name: (_prepare_teacher(each, device), weight)
            for name, each, weight in (
                ("teacher", teacher, teacher_weight),
                ("original", original, original_weight),
            )
            if each is not None
        }
        self._precision = precision
        num_pairs = recipe.total_steps * recipe.batch
        dataset = RgbPairDataset(
            sequences, photographs, network.config, self._augmentation, seed, length=num_pairs
        )
        super().__init__(
            network, dataset, stack_pairs, recipe, folder, seed=seed, workers=workers, device=device
        )

    def export_network(self) -> SiameseNetwork:
        """Return the trained network in evaluation mode: the averaged one if the recipe asks for it."""
        return self._get_averaged_network()

    def describe(self) -> dict[str, Any]:
        """Return the description of the run for the manifest of its model."""
        description = super().describe()
        description["recipe"]["augmentation"] = asdict(self._augmentation)
        for name in ("teacher", "original"):
            description["recipe"][f"{name}_weight"] = (
                self._teachers[name][1] if name in self._teachers else 0.0
            )
        return description

    def prepare_step(self) -> None:
        super().prepare_step()
        if self._is_fitted:
            self.network.eval()

    def compute_loss(self, batch: RgbPair) -> tuple[Tensor, dict[str, float]]:
        template, search = (
            crop.to(self._device).contiguous(memory_format=torch.channels_last)
            for crop in (batch.template, batch.search)
        )
        with torch.autocast(
            torch.device(self._device).type, self._precision, enabled=self._precision != torch.float32
        ):
            logits, distances = self._find_branch()(template, search)
        logits = logits.float().cpu()
        distances = distances.float().cpu().clamp(max=self.network.config.search_size)  # no overflow in areas
        losses = self._compute_label_losses(batch, logits, distances)
        for name, (teacher, weight) in self._teachers.items():
            loss = self._compute_teacher_loss(teacher, template, search, logits, distances)
            losses[name] = weight * loss
        loss = torch.stack(list(losses.values())).sum()
        return loss, {name: float(value.detach()) for name, value in losses.items()}

    def _find_branch(self) -> nn.Module:
        parallel = self._parallel_network
        return self.network.rgb if parallel is self.network else parallel

    def _compute_label_losses(self, batch: RgbPair, logits: Tensor, distances: Tensor) -> dict[str, Tensor]:
        sampling = self.recipe.sampling
        search_size = self.network.config.search_size
        grid = self.network.rgb.grid
        labels = label_points(batch.box, batch.is_paired, search_size, sampling.unpaired_outside, grid)
        generator = self._draw_generator()
        sampled = sample_points(labels, logits[:, 1] - logits[:, 0], sampling, generator)
        box_points = sample_points(labels, logits[:, 1], sampling, generator)
        return {
            "cls": compute_classification_loss(logits, sampled),
            "box": compute_box_loss(distances, batch.box, box_points, search_size, grid),
        }

    def _compute_teacher_loss(
        self, teacher: RgbBranch, template: Tensor, search: Tensor, logits: Tensor, distances: Tensor
    ) -> Tensor:
        with torch.no_grad():
            outputs = teacher(template, search)
        teacher_logits, teacher_distances = (output.float().cpu() for output in outputs)
        certainty, wanted = interpolate_responses(
            teacher_logits, teacher_distances, teacher.grid, self.network.rgb.grid
        )
        return compute_teacher_loss(logits, distances, certainty, wanted, self.network.config.search_size)


def _prepare_teacher(network: SiameseNetwork, device: str) -> RgbBranch:
    if network.rgb.geometry != SIAMBAN_GEOMETRY:
        raise ModelError(
            f"a teacher must take the crops of SiamBAN: got {network.config.backbone}, which takes others; "
            "choose SiamBAN or NanoTrack"
        )
    return network.rgb.eval().requires_grad_(False).to(device)
