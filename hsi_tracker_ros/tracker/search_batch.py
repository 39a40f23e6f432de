"""Searches of one frame as one batch of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.hanet.inference import ResponseMaps, SiameseModel, stack_kernels
from hsi_tracker_ros.tracker.frame_context import FrameContext
from hsi_tracker_ros.tracker.target import Target


@dataclass(frozen=True)
class TargetSearch:
    """Search for one target in one frame.

    Attributes:
        target: the target.
        context: the frame.
        regions: search regions of the frame.
    """

    target: Target
    context: FrameContext
    regions: Sequence[SquareCrop]


@dataclass(frozen=True)
class SearchBatch:
    """Crops of all regions of several searches.

    Attributes:
        searches: the searches.
        crops: crops of all regions, stacked: one array for each input of the network.
    """

    searches: Sequence[TargetSearch]
    crops: Sequence[NDArray[Any]]

    @classmethod
    def cut(cls, searches: Sequence[TargetSearch], sizes: tuple[int, ...]) -> SearchBatch:
        """Cut the crops of searches, at least one.

        Args:
            searches: the searches.
            sizes: side in pixels of the crop for each input of the network.
        """
        crops_per_region = [
            search.context.cut_crops(region, sizes) for search in searches for region in search.regions
        ]
        return cls(searches, [_stack_crops(crops) for crops in zip(*crops_per_region, strict=True)])

    def run(self, model: SiameseModel, *, use_online: bool = True) -> list[ResponseMaps]:
        """Run the network and return the maps of each search, with one item for each of its regions.

        Args:
            model: the network.
            use_online: False: the initial template also replaces the online template.
        """
        batch_templates = [search.target.templates for search in self.searches for _ in search.regions]
        initial = stack_kernels([templates.initial for templates in batch_templates])
        online = stack_kernels([templates.online for templates in batch_templates]) if use_online else initial
        maps = model.search(self.crops, initial, online)
        ends = np.cumsum([len(search.regions) for search in self.searches])[:-1]
        maps_per_search = zip(*(np.split(array, ends) for array in maps), strict=True)
        return [ResponseMaps(*arrays) for arrays in maps_per_search]


def _stack_crops(crops: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack crops to a batch. Do not copy a single crop."""
    return np.stack(crops) if len(crops) > 1 else crops[0][np.newaxis]
