"""Control of the benchmark: the same trackers with three broad channels in place of the camera's bands.

A tracker that whitens three channels may gain as much over false color as one that whitens many bands. The
control measures how much of HA-Net's lead is owed to the number of bands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hsi_tracker_ros.benchmark.base import BenchmarkFrame, Box, SingleTargetTracker, TargetPrediction
from tracking_runtime.spectral_info import SpectralInfo

NUM_BROAD_CHANNELS = 3


@dataclass(frozen=True)
class BroadChannels:
    """Broad channels of a camera, each the mean of a third of its bands in order of wavelength.

    Attributes:
        bands: indices of the camera's bands in each channel, shortest wavelengths first.
        spectral_info: channels as a camera of float32 cubes.
    """

    bands: tuple[tuple[int, ...], ...]
    spectral_info: SpectralInfo

    @classmethod
    def of_camera(cls, camera: SpectralInfo) -> BroadChannels:
        """Return the broad channels of a camera of cubes. A camera with fewer bands keeps its bands."""
        centers = np.array(camera.wavelengths_nm)
        widths = np.array(camera.fwhm_nm or np.zeros(len(centers)))
        order = np.argsort(centers, kind="stable")
        groups = np.array_split(order, min(NUM_BROAD_CHANNELS, len(order)))
        edges = [
            ((centers - widths / 2)[group].min(), (centers + widths / 2)[group].max()) for group in groups
        ]
        info = replace(
            camera,
            wavelengths_nm=tuple(float(centers[group].mean()) for group in groups),
            fwhm_nm=tuple(float(high - low) for low, high in edges),
            mosaic=None,
            band_order=(),
            bit_depth=0,
        )
        return cls(tuple(tuple(int(band) for band in group) for group in groups), info)

    def reduce(self, frame: BenchmarkFrame) -> BenchmarkFrame:
        """Return a frame of the camera with broad channels."""
        channels = [frame.cube[..., group].mean(axis=2, dtype=np.float32) for group in self.bands]
        return BenchmarkFrame(np.stack(channels, axis=2), self.spectral_info, frame.stamp_ns)


class BroadChannelTracker:
    """Tracker that gets broad channels in place of a camera's bands.

    Args:
        make_tracker: factory of the tracker for a camera.
        camera: camera of the videos; None: color images, which stay as they are.
    """

    def __init__(
        self, make_tracker: Callable[[SpectralInfo | None], SingleTargetTracker], camera: SpectralInfo | None
    ) -> None:
        self._channels = None if camera is None else BroadChannels.of_camera(camera)
        self._tracker = make_tracker(self._channels.spectral_info if self._channels else None)

    def initialize(self, frame: BenchmarkFrame, box: Box) -> None:
        """Set the target to the content of a box in the first frame."""
        self._tracker.initialize(self._reduce(frame), box)

    def track(self, frame: BenchmarkFrame) -> TargetPrediction:
        """Return the target's box in the next frame."""
        return self._tracker.track(self._reduce(frame))

    def _reduce(self, frame: BenchmarkFrame) -> BenchmarkFrame:
        return frame if self._channels is None else self._channels.reduce(frame)
