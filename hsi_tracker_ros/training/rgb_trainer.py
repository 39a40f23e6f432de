"""Trainer of an RGB branch: on labeled pairs, and on the responses of a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.rgb_branch import RgbBranch
from hsi_tracker_ros.training.losses import (
    compute_box_loss,
    compute_classification_loss,
    label_points,
    sample_points,
)
from hsi_tracker_ros.training.object_images import ObjectSequence, Photograph
from hsi_tracker_ros.training.pairs import stack_pairs
from hsi_tracker_ros.training.rgb_pairs import (
    RgbAugmentationSettings,
    RgbPair,
    RgbPairDataset,
)
from hsi_tracker_ros.training.trainer import EDGE_RECIPE, SiameseTrainer, TrainingRecipe

RGB_RECIPE = replace(
    EDGE_RECIPE, steps=3000, learning_rate=5e-4, final_rate=1e-5, backbone_rate=0.3, stages=(("rgb",),)
)
"""Recipe that trains the RGB branch of the small network on real images."""

_MAX_TEACHER_LOGIT = 8.0  # beyond, a teacher's certainty teaches no more
_RESPONDING = 0.1  # teacher's probability from which a point counts as part of an object
_BOX_RESPONDING = 0.3  # probability of the fitted-to network from which its box at a point is learned


class RgbTrainer(SiameseTrainer[RgbPair]):
    """Trainer of a network on color images.

    Args:
        network: network with its initial weights.
        sequences: tracking sequences; may be empty.
        photographs: photographs; may be empty. Not both.
        recipe: settings of the run; its augmentation is for cubes and not used.
        folder: folder of the checkpoint.
        augmentation: random variation of the pairs.
        teacher: network whose responses are learned beside the labels; None learns the labels only.
        teacher_weight: weight of the teacher's loss. The labels have 1.
        original: network that a light network was fitted to. Its responses and boxes are learned beside the
            labels, with weight 1, and the statistics of the batch normalizations stay as fitted.
        precision: type of the numbers that the network computes with. bfloat16 halves the time on most
            machines, but sums in any order: a resumed run ends with slightly different weights.
        seed: seed of all draws.
        workers: number of processes that prepare batches; 0 prepares them in this process.
        device: PyTorch device that trains.

    Raises:
        ModelError: the checkpoint is of another network, or the processes cannot share a batch evenly.
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
        precision: torch.dtype = torch.bfloat16,
        seed: int = 0,
        workers: int = 0,
        device: str = "cpu",
    ) -> None:
        self._augmentation = augmentation or RgbAugmentationSettings()
        self._teacher, self._original = (
            None if each is None else each.rgb.eval().requires_grad_(False).to(device)
            for each in (teacher, original)
        )
        self._teacher_weight = teacher_weight
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
        description["recipe"]["teacher_weight"] = self._teacher_weight if self._teacher else 0.0
        return description

    def prepare_step(self) -> None:
        super().prepare_step()
        if self._original is not None:
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
        if self._teacher is not None:
            losses["teacher"] = self._teacher_weight * self._compute_teacher_loss(
                self._teacher, template, search, logits
            )
        if self._original is not None:
            losses["original"] = self._compute_original_loss(
                self._original, template, search, logits, distances
            )
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
        self, teacher: RgbBranch, template: Tensor, search: Tensor, logits: Tensor
    ) -> Tensor:
        """Return the loss of the responses against those of a teacher."""
        with torch.no_grad():
            teacher_logits, _ = teacher(template, search)
        matrix = self.network.rgb.grid.compute_interpolation(teacher.grid)
        return _compute_response_loss(logits, _compute_certainty(teacher_logits), matrix)

    def _compute_original_loss(
        self, original: RgbBranch, template: Tensor, search: Tensor, logits: Tensor, distances: Tensor
    ) -> Tensor:
        """Return the loss of responses and boxes against those of the network that this one was fitted to.

        Boxes are compared by the logarithm of their distances, where the original responds.
        """
        with torch.no_grad():
            original_logits, original_distances = original(template, search)
        matrix = self.network.rgb.grid.compute_interpolation(original.grid)
        certainty = _compute_certainty(original_logits)
        loss = _compute_response_loss(logits, certainty, matrix)
        is_responding = torch.sigmoid(certainty) > _BOX_RESPONDING
        if not is_responding.any():
            return loss
        wanted = original_distances.float().cpu().clamp(1, self.network.config.search_size)
        errors = (distances.clamp(min=1) / wanted).log().abs().mean(dim=1)
        return loss + errors[is_responding].mean()


def _compute_certainty(logits: Tensor) -> Tensor:
    """Return a teacher's logits of target minus background, (batch, size, size), within limits."""
    difference = (logits[:, 1] - logits[:, 0]).float().cpu()
    return difference.clamp(-_MAX_TEACHER_LOGIT, _MAX_TEACHER_LOGIT)


def _compute_response_loss(logits: Tensor, certainty: Tensor, matrix: Tensor) -> Tensor:
    """Return the cross-entropy between a teacher's and the network's probability of the target.

    Points that respond and points that do not have half of the weight each.

    Args:
        logits: logits of the network, (batch, 2, size, size).
        certainty: logits of the teacher, (batch, teacher size, teacher size).
        matrix: interpolation from the teacher's grid to the network's, (size, teacher size).
    """
    probability = torch.sigmoid(matrix @ certainty @ matrix.T)
    loss = functional.binary_cross_entropy_with_logits(
        logits[:, 1] - logits[:, 0], probability, reduction="none"
    )
    is_responding = probability > _RESPONDING
    parts = [loss[mask].mean() for mask in (is_responding, ~is_responding) if mask.any()]
    return torch.stack(parts).mean()
