"""Unrolled network: SPAX over several frames of a batch, from crops to losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from spax_ros.network.network import NetworkState, SpaxNetwork, StepOutput
from spax_ros.sparse.grid import SparseGrid
from spax_ros.training.crops import CropFrame
from spax_ros.training.losses import LOSS_NAMES, Losses, compute_focal_loss, compute_l1_loss
from spax_ros.training.targets import FrameTargets, compute_targets

_MIN_ACTIVE_PIXELS = 32  # of a batch; frames with fewer are skipped, and the state starts again


class UnrolledClip(nn.Module):
    """A network that runs over several frames of a batch and returns its losses.

    Attributes:
        network: network that is trained.
        state: state of the network after the last frame, without gradients; None if the frame was skipped.

    Args:
        network: network that is trained.
        min_radius: minimum radius of the heat map's peaks in pixels.
    """

    def __init__(self, network: SpaxNetwork, min_radius: int) -> None:
        super().__init__()
        self.network = network
        self.state: NetworkState | None = None
        self._min_radius = min_radius

    def forward(
        self,
        crops: Sequence[Sequence[CropFrame]],
        previous_frames: Sequence[CropFrame] | None,
        state: NetworkState | None,
    ) -> Tensor:
        """Return the parts of the loss, means over the frames, in the order of `LOSS_NAMES`.

        Args:
            crops: frames of each crop of the batch. The first crop sets the number of frames.
            previous_frames: frame of each crop before its first; None at the start of the crops.
            state: state of the network after the previous frames; None at the start of the crops.
        """
        frame_losses = []
        for index in range(len(crops[0])):
            frames = [crop[index] for crop in crops]
            losses, state = self._run_frame(frames, previous_frames, state)
            if losses is not None:
                frame_losses.append(torch.stack([getattr(losses, name) for name in LOSS_NAMES]))
            previous_frames = frames
        self.state = state.detach() if state is not None else None
        if frame_losses:
            return torch.stack(frame_losses).mean(dim=0)
        # All frames were skipped: the losses are 0, but every parameter has a gradient, as DDP expects.
        zero = torch.stack([weight.sum() for weight in self.network.parameters()]).sum() * 0
        return zero.expand(len(LOSS_NAMES))

    def _run_frame(
        self,
        frames: Sequence[CropFrame],
        previous_frames: Sequence[CropFrame] | None,
        state: NetworkState | None,
    ) -> tuple[Losses | None, NetworkState | None]:
        network = self.network
        masks = np.stack([frame.mask for frame in frames])
        grid = SparseGrid(masks, network.config.num_levels, device=network.mask_layer.weight.device)
        if grid.levels[0].num_active < _MIN_ACTIVE_PIXELS:
            return None, None
        inputs = grid.pack(torch.from_numpy(np.stack([frame.inputs for frame in frames])))
        shift = np.stack([frame.shift for frame in frames])
        previous_state = None if state is None else state.warp_to(grid, shift)
        output = network.step(inputs, grid, previous_state)
        num_classes = len(network.config.classes)
        targets = compute_targets(frames, previous_frames, grid, num_classes, self._min_radius)
        return self._compute_losses(output, targets, grid), output.state

    def _compute_losses(self, output: StepOutput, targets: FrameTargets, grid: SparseGrid) -> Losses:
        network = self.network
        features = output.features
        rows = targets.rows
        displacement = features.new_zeros(())
        if output.pair is not None and len(rows):
            pair = network.pair(output.pair, grid, 0)
            predicted = network.head("dis").compute_at(rows, pair, grid)
            displacement = compute_l1_loss(predicted, targets.displacements)
        mask_target = targets.heat.amax(dim=1, keepdim=True)
        return Losses(
            heat=compute_focal_loss(network.head("hm")(features, grid), targets.heat),
            size=compute_l1_loss(network.head("wh").compute_at(rows, features, grid), targets.sizes),
            offset=compute_l1_loss(network.head("reg").compute_at(rows, features, grid), targets.offsets),
            displacement=displacement,
            mask=compute_focal_loss(output.mask_logits, mask_target),
        )
