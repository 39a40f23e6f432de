"""Parts of both fits to labeled videos: the first frame of a target, the result, and the fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.weights import save_network
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.reliability import Reliability
from tracking_runtime.models.manifest import Manifest


@dataclass(frozen=True)
class FitResult:
    """Result of a fit to videos.

    Attributes:
        path: manifest of the fitted model.
        before: reliability of the scores before the fit.
        held_out: reliability of the fitted scores of each video, fitted to other videos; empty if the videos
            allow no such fit.
    """

    path: Path
    before: Reliability
    held_out: Reliability


def find_first_visible(video: VideoSequence, boxes: NDArray[np.float64]) -> int:
    """Return the index of the first frame of a video that shows its target.

    Args:
        video: video with one target.
        boxes: boxes of the target in all frames, (frames, 4); NaN where the target is absent.

    Raises:
        SourceError: the video never shows its target.
    """
    visible = np.flatnonzero(np.isfinite(boxes[:, 0]))
    if not len(visible):
        raise SourceError(f"video {video.name} must show its target: got no box")
    return int(visible[0])


def save_fitted_model(
    models: Path, name: str, network: SiameseNetwork, manifest: Manifest, training: Mapping[str, Any]
) -> Path:
    """Write a model with the unchanged weights of a network, and return the path of its manifest.

    Args:
        models: folder of the model.
        name: name of the model.
        network: network with the fitted configuration.
        manifest: manifest of the model before the fit, whose training and scores are kept.
        training: description of the fit, which is added to the training.
    """
    return save_network(
        models,
        name,
        network,
        precision=torch.float32,
        training={**manifest.training, **training},
        scores=manifest.scores,
    )
