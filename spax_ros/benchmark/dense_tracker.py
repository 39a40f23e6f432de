"""SPAX with the same network on whole images, for comparison with active pixels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spax_ros.decoding import Detections
from spax_ros.motion.mask import NEVER_HALVED, MotionResult, MotionSettings
from spax_ros.network.grid import DenseGrid, compute_center_shift
from spax_ros.network.memory import make_memory
from spax_ros.network.network import SpaxNetwork, StepOutput
from spax_ros.tracker import NetworkDetections, SpaxTracker, TrackerSettings
from spax_ros.weights import LoadedModel


class DenseTracker(SpaxTracker):
    """SPAX's tracker with a network that computes every pixel.

    Args:
        model: model of SPAX.
        is_masked: True if inactive pixels count as zero, so that the results equal those on active pixels.
    """

    def __init__(self, model: LoadedModel, *, is_masked: bool) -> None:
        full_resolution = MotionSettings(min_halved_side_px=NEVER_HALVED)
        super().__init__(model, TrackerSettings() if is_masked else TrackerSettings(motion=full_resolution))
        self._is_masked = is_masked

    def reset(self) -> None:
        """Reset all state. The next frame may have another size."""
        super().reset()
        self._memory = make_memory(self.model.network)

    @torch.inference_mode()
    def _detect(
        self,
        image: NDArray[np.uint8],
        motion: MotionResult,
        mask: NDArray[np.bool_],
    ) -> NetworkDetections:
        network, settings = self.model.network, self._settings
        height, width = mask.shape

        frame, active, grid = self._pad(image, motion, mask)
        with FlopCounterMode(display=False) as counter:
            step = self._memory.step(
                lambda _, shift: frame.roll((-int(shift[0, 0]), -int(shift[0, 1])), (2, 3)),
                grid,
                compute_center_shift(motion.transform, height, width)[None],
            )
            detections = decode_dense(
                network,
                step,
                grid,
                active[0],
                max_peaks=settings.max_detections,
                min_score=settings.min_score,
            )
        return NetworkDetections(
            detections=detections,
            heat_map=(step.state.mask[0, 0] * active[0]).numpy()[:height, :width],
            operations=counter.get_total_flops() // 2,
            active_fraction=np.count_nonzero(mask) / mask.size if self._is_masked else 1.0,
        )

    def _pad(
        self, image: NDArray[np.uint8], motion: MotionResult, mask: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, DenseGrid]:
        """Return input, active pixels and grid of the network, of a size that the network accepts.

        Returns:
            channels of the image, (1, C, H, W); active pixels, (1, H, W); and the grid of these.
        """
        config = self.model.network.config
        height, width = mask.shape
        padding = (0, -width % config.size_multiple, 0, -height % config.size_multiple)
        channels = self.model.pixel_encoder.encode_pixels(
            image, motion.residual, np.arange(mask.size), motion.accumulated
        )
        frame = F.pad(torch.from_numpy(channels.reshape(1, height, width, -1)).permute(0, 3, 1, 2), padding)
        active = F.pad(torch.from_numpy(mask)[None], padding)
        grid = DenseGrid.masked(active, config.num_levels)
        if not self._is_masked:
            grid = DenseGrid(grid.shape)
            active = torch.ones_like(active)
        return frame, active, grid


def decode_dense(
    network: SpaxNetwork,
    step: StepOutput,
    grid: DenseGrid,
    active: Tensor,
    *,
    max_peaks: int,
    min_score: float,
) -> Detections:
    """Decode the detections of a whole image. Counterpart of `find_peaks` and `decode_peaks` of `decoding`.

    The heads run on every pixel. Only active pixels can be peaks.

    Args:
        network: network that computed the step.
        step: output of the network for one image.
        grid: pixels of the image.
        active: mask of the active pixels, (H, W), bool.
        max_peaks: largest number of detections.
        min_score: lowest score of a detection, 0..1.
    """
    heat, sizes, offsets = (network.head(name)(step.features, grid)[0] for name in ("hm", "wh", "reg"))
    scores, classes = (torch.sigmoid(heat) * active).max(dim=0)
    neighborhood_max = F.max_pool2d(scores[None, None], 3, 1, 1)[0, 0]
    is_peak = (scores >= neighborhood_max) & (scores >= min_score) & active
    rows, columns = torch.nonzero(is_peak, as_tuple=True)
    best = torch.argsort(scores[rows, columns], descending=True, stable=True)[:max_peaks]
    rows, columns = rows[best], columns[best]
    box_sizes = sizes[:, rows, columns].T.double().numpy().clip(min=1.0)
    centers = torch.stack([columns, rows], dim=1).numpy() + offsets[:, rows, columns].T.double().numpy()
    return Detections(
        boxes=np.concatenate([centers - box_sizes / 2, box_sizes], axis=1),
        scores=scores[rows, columns].numpy(),
        class_ids=classes[rows, columns].numpy().astype(np.uint8),
    )
