"""Searches for targets with the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.inference import Kernels, ResponseMaps, SiameseModel
from hsi_tracker_ros.tracker.candidate_finder import CandidateFinder
from hsi_tracker_ros.tracker.candidates import Candidate
from hsi_tracker_ros.tracker.frame_context import FrameContext
from hsi_tracker_ros.tracker.search_batch import SearchBatch, TargetSearch
from hsi_tracker_ros.tracker.search_regions import make_template_region
from hsi_tracker_ros.tracker.settings import TrackerSettings


class TargetSearcher:
    """Search for targets: crops to the network, its responses to candidates.

    Args:
        model: the network.
    """

    def __init__(self, model: SiameseModel) -> None:
        self._model = model
        self._finder = CandidateFinder(model.grid, model.geometry.search_size)

    def encode_template(self, context: FrameContext, box: NDArray[np.float64]) -> Kernels:
        """Return the kernels of the template around a box of a frame."""
        region = make_template_region(box, self._model.geometry)
        crops = context.cut_crops(region, self._model.crop_sizes("template"))
        return self._model.encode_template(*crops)

    def cut_batch(self, searches: Sequence[TargetSearch]) -> SearchBatch:
        """Cut the crops of searches for the network."""
        return SearchBatch.cut(searches, self._model.crop_sizes("search"))

    def run_batch(self, batch: SearchBatch) -> list[ResponseMaps]:
        """Run the network and return the maps of each search."""
        return batch.run(self._model)

    def find_candidates(
        self, search: TargetSearch, maps: ResponseMaps, settings: TrackerSettings
    ) -> list[Candidate]:
        """Return the candidates of a search. Distractors have reduced log odds."""
        candidates = list(self._finder.find_candidates(search, maps, settings))
        return search.target.penalize_distractors(candidates, settings)

    def find_by_initial_template(self, search: TargetSearch, settings: TrackerSettings) -> list[Candidate]:
        """Run the network on one search with the initial template only, and return the candidates."""
        (maps,) = self.cut_batch([search]).run(self._model, use_online=False)
        return list(self._finder.find_by_initial_template(search, maps, settings))
