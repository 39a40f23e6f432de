"""The same network on whole images, to see what the active pixels save and cost."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spax_ros.decoding import Detections
from spax_ros.motion.mask import NEVER_HALVED, MotionSettings
from spax_ros.network.grid import DenseGrid, shift_at
from spax_ros.network.memory import memory_of
from spax_ros.network.network import SpaxNetwork, Step
from spax_ros.tracker import SpaxTracker, TrackerSettings
from spax_ros.weights import SpaxModel


class DenseTracker(SpaxTracker):
    """Tracks with every pixel computed.

    Args:
        model: as of ``SpaxTracker``.
        masked: whether what is inactive counts as zero, as it does on active pixels.
    """

    def __init__(self, model: SpaxModel, *, masked: bool) -> None:
        everywhere = MotionSettings(halved_side_px=NEVER_HALVED)
        super().__init__(model, TrackerSettings() if masked else TrackerSettings(motion=everywhere))
        self._masked = masked

    def reset(self) -> None:
        """Forget everything seen; the next frame may have another size."""
        super().reset()
        self._memory = memory_of(self.model.network)

    @torch.inference_mode()
    def _detect(
        self,
        image: NDArray[np.uint8],
        residual: NDArray[np.float32],
        mask: NDArray[np.bool_],
        transform: NDArray[np.float64],
    ) -> Detections:
        network, settings = self.model.network, self._settings
        height, width = mask.shape
        multiple = network.config.multiple
        below, right = -height % multiple, -width % multiple
        channels = self.model.inputs.channels(image, residual, np.arange(mask.size))
        x = torch.from_numpy(channels.reshape(1, height, width, -1)).permute(0, 3, 1, 2)
        frame = F.pad(x, (0, right, 0, below))
        active = F.pad(torch.from_numpy(mask)[None], (0, right, 0, below))
        grid = DenseGrid.masked(active, network.config.levels)
        if not self._masked:
            grid, active, self.active_share = DenseGrid(grid.shape), torch.ones_like(active), 1.0
        with FlopCounterMode(display=False) as counter:
            step = self._memory.step(
                lambda _, shift: frame.roll((-int(shift[0, 0]), -int(shift[0, 1])), (2, 3)),
                grid,
                shift_at(transform, height, width)[None],
            )
            found = decode_dense(
                network,
                step,
                grid,
                active[0],
                most=settings.most_detections,
                least_score=settings.least_score,
            )
        self.operations = counter.get_total_flops() // 2
        self._heat = (step.state.mask[0, 0] * active[0]).numpy()[:height, :width]
        return found


def decode_dense(
    network: SpaxNetwork, step: Step, grid: DenseGrid, active: Tensor, *, most: int, least_score: float
) -> Detections:
    """As ``spax_ros.decoding.best_peaks``, of whole images: heads at every pixel, peaks at those active.

    Args:
        network: what made the step.
        step: of one image.
        grid: its pixels.
        active: ``(H, W)`` bool.
        most: peaks kept at most.
        least_score: below which nothing is a peak.
    """
    heat, sizes, offsets = (network.head(name)(step.features, grid)[0] for name in ("hm", "wh", "reg"))
    scores, classes = (torch.sigmoid(heat) * active).max(dim=0)
    around = F.max_pool2d(scores[None, None], 3, 1, 1)[0, 0]
    rows, columns = torch.nonzero((scores >= around) & (scores >= least_score) & active, as_tuple=True)
    best = torch.argsort(scores[rows, columns], descending=True, stable=True)[:most]
    rows, columns = rows[best], columns[best]
    size = sizes[:, rows, columns].T.double().numpy().clip(min=1.0)
    centre = torch.stack([columns, rows], dim=1).numpy() + offsets[:, rows, columns].T.double().numpy()
    return Detections(
        boxes=np.concatenate([centre - size / 2, size], axis=1),
        scores=scores[rows, columns].numpy(),
        class_ids=classes[rows, columns].numpy().astype(np.uint8),
    )
