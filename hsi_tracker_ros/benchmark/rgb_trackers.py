"""Trackers that the benchmark on color video compares: own and imported models, and OpenCV's trackers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hsi_tracker_ros.benchmark.base import (
    INPUT_CODE,
    BenchmarkEntry,
    compute_code_sha256,
    filter_entries,
)
from hsi_tracker_ros.benchmark.opencv import make_opencv_entries
from hsi_tracker_ros.benchmark.trackers import HsiTrackerAdapter
from hsi_tracker_ros.hanet.inference import SiameseModel
from hsi_tracker_ros.hanet.weights import load_color_network, load_network
from hsi_tracker_ros.tracker import HsiTracker, make_rgb_settings
from tracking_runtime.engines import EngineSettings
from tracking_runtime.engines.model_graphs import read_model_manifest
from tracking_runtime.spectral_info import SpectralInfo

DEFAULT_MODEL = "hanet_edge_any"
"""Model of the first tracker, unless others are chosen."""

_PREDICTION_CODE = (*INPUT_CODE, "hanet", "tracker", "benchmark/trackers.py", "benchmark/rgb_trackers.py")
"""Code that determines the predictions. A change invalidates earlier results."""


@dataclass(frozen=True)
class RgbTrackerSuite:
    """Choice of the trackers to compare on color video.

    Attributes:
        models: names or paths of the models. Of a HA-Net, the network for color images runs.
        engine: engine that runs the models.
        only: names of the trackers to run; empty: all.
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    engine: str = "auto"
    only: tuple[str, ...] = ()

    def select_entries(self) -> list[BenchmarkEntry]:
        """Return the entries of the chosen trackers, the models first.

        Raises:
            ModelError: a model does not exist or is of another kind.
            BenchmarkSettingsError: `only` names an unknown tracker.
        """
        entries = [_make_model_entry(name, self.engine) for name in self.models] + make_opencv_entries()
        return filter_entries(entries, self.only)


def _make_model_entry(name: str, engine: str) -> BenchmarkEntry:
    settings = make_rgb_settings(load_network(name))

    def make_tracker(camera: SpectralInfo | None) -> HsiTrackerAdapter:
        return HsiTrackerAdapter(HsiTracker(_load_model(name, engine), settings, camera=camera))

    components = {
        "model": name,
        "weights sha256": read_model_manifest(name).weights_sha256,
        "engine": engine,
        "settings": repr(settings),
        "code sha256": compute_code_sha256(*_PREDICTION_CODE),
    }
    return BenchmarkEntry(Path(name).stem, components, make_tracker)


@lru_cache(maxsize=8)
def _load_model(name: str, engine: str) -> SiameseModel:
    return SiameseModel(load_color_network(name), EngineSettings(engine), f"{Path(name).stem} rgb")
