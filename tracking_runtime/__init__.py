"""Runtime of both trackers: frames, recordings, models, engines, evaluation, reports, ROS 2 nodes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from tracking_runtime.bags import BagReader, BagWriter
    from tracking_runtime.datasets.factory import open_dataset
    from tracking_runtime.engines import EngineSettings, load_engine
    from tracking_runtime.errors import (
        FrameRefusedError,
        ModelError,
        SourceError,
        TargetRefusedError,
        TrackingError,
    )
    from tracking_runtime.frames import Frame, FrameSource, GroundTruth
    from tracking_runtime.io.sources import open_source
    from tracking_runtime.spectral_info import SpectralInfo

# Waiting threads of a network sleep instead of spinning. PyTorch is then several times faster if other
# processes use the same cores. PyTorch reads the variable when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


__all__ = [
    "BagReader",
    "BagWriter",
    "EngineSettings",
    "Frame",
    "FrameRefusedError",
    "FrameSource",
    "GroundTruth",
    "ModelError",
    "SourceError",
    "SpectralInfo",
    "TargetRefusedError",
    "TrackingError",
    "load_engine",
    "open_dataset",
    "open_source",
]

__getattr__ = make_lazy_exports(
    __name__,
    {
        **dict.fromkeys(["BagReader", "BagWriter"], "tracking_runtime.bags"),
        **dict.fromkeys(["EngineSettings", "load_engine"], "tracking_runtime.engines"),
        **dict.fromkeys(
            ["FrameRefusedError", "ModelError", "SourceError", "TargetRefusedError", "TrackingError"],
            "tracking_runtime.errors",
        ),
        **dict.fromkeys(["Frame", "FrameSource", "GroundTruth"], "tracking_runtime.frames"),
        "SpectralInfo": "tracking_runtime.spectral_info",
        "open_dataset": "tracking_runtime.datasets.factory",
        "open_source": "tracking_runtime.io.sources",
    },
)
