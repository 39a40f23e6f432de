"""Trackers that the benchmark compares: HA-Net, its parts, imported networks and OpenCV's trackers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from hsi_tracker_ros.benchmark.base import (
    INPUT_CODE,
    BenchmarkEntry,
    BenchmarkFrame,
    BenchmarkSettingsError,
    Box,
    TargetPrediction,
    compute_code_sha256,
    filter_entries,
)
from hsi_tracker_ros.benchmark.control import BroadChannelTracker
from hsi_tracker_ros.benchmark.opencv import make_opencv_entries
from hsi_tracker_ros.hanet.graphs import make_search_graph, make_template_graph, open_network
from hsi_tracker_ros.hanet.inference import SiameseModel
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.weights import find_color_network
from hsi_tracker_ros.tracker import (
    HsiTracker,
    TargetStatus,
    TrackerSettings,
    make_rgb_settings,
    make_tracker_settings,
)
from hsi_tracker_ros.tracker.settings import disable_spectra
from tracking_runtime.engines import EngineSettings
from tracking_runtime.engines.model_graphs import UNTRAINED_PREFIX, read_model_manifest
from tracking_runtime.errors import ModelError
from tracking_runtime.evaluation.int8_calibration import calibrate_on_noise
from tracking_runtime.spectral_info import SpectralInfo

REFERENCE = "HA-Net"
RGB_SIAMBAN_SETTINGS = "RGB branch as SiamBAN"
RGB_DEFAULT_SETTINGS = "RGB branch, our rules"
NO_ONLINE_UPDATE = "without online update"
CONTROL = "HA-Net, 3 channels"
RGB_CONTROL = "RGB branch, 3 channels"

_PREDICTION_CODE = (*INPUT_CODE, "hanet", "tracker", "benchmark/trackers.py", "benchmark/control.py")
"""Code that determines HA-Net's predictions. A change invalidates earlier results."""


@dataclass(frozen=True)
class TrackerSuite:
    """Choice of the trackers to compare.

    Attributes:
        model: name or path of HA-Net's model, or `untrained:PRESET` to measure its speed only.
        rgb_models: names or paths of the models of further trackers on false color.
        engine: engine that runs the models.
        only: names of the trackers to run; empty: all.
        has_control: True if HA-Net and its RGB branch also run with three broad channels in place of the
            camera's bands.
    """

    model: str = "hanet_edge_any"
    rgb_models: tuple[str, ...] = ()
    engine: str = "auto"
    only: tuple[str, ...] = ()
    has_control: bool = False

    def select_entries(self) -> list[BenchmarkEntry]:
        """Return the entries of the trackers named in `only`.

        Raises:
            ModelError: a model does not exist or is of another kind.
            BenchmarkSettingsError: `only` names an unknown tracker.
        """
        return filter_entries(self.make_entries(), self.only)

    def make_entries(self) -> list[BenchmarkEntry]:
        """Return the entries of all trackers that can run here. The first is `REFERENCE`.

        Raises:
            ModelError: a model does not exist or is of another kind.
            BenchmarkSettingsError: the model takes its own bands only, and the control other ones.
        """
        settings = make_tracker_settings(_load_hanet(self.model).config)
        return [
            self._make_cube_entry(REFERENCE, settings),
            self._make_cube_entry(NO_ONLINE_UPDATE, replace(settings, online_interval=0)),
            self._make_false_color_entry(self.model, RGB_SIAMBAN_SETTINGS),
            self._make_false_color_entry(
                self.model, RGB_DEFAULT_SETTINGS, _make_branch_settings(_load_hanet(self.model))
            ),
            *(self._make_control_entries() if self.has_control else ()),
            *(self._make_false_color_entry(name, Path(name).stem) for name in self.rgb_models),
            *make_opencv_entries(),
        ]

    def make_hanet_tracker(self, settings: TrackerSettings, camera: SpectralInfo) -> HsiTracker:
        """Return HA-Net's tracker for a camera.

        Args:
            settings: settings of the tracker.
            camera: bands of the camera.

        Raises:
            CameraMismatchError: the camera's bands do not cover the model's.
            EngineError: no engine can run the model.
        """
        config = _load_hanet(self.model).config.spectral
        takes_any_bands = config is not None and config.wavelengths_nm is None
        wavelengths_nm = camera.wavelengths_nm if takes_any_bands else None
        return HsiTracker(_load_model(self.model, self.engine, wavelengths_nm), settings, camera=camera)

    def _make_control_entries(self) -> list[BenchmarkEntry]:
        """Return HA-Net and its RGB branch with three broad channels in place of the camera's bands.

        Raises:
            BenchmarkSettingsError: the model takes its own bands only.
        """
        hanet = _load_hanet(self.model)
        if hanet.config.spectral is not None and hanet.config.spectral.wavelengths_nm is not None:
            raise BenchmarkSettingsError(
                f"--control must have a model for any bands: got {self.model}; choose --model hanet_edge_any"
            )
        entries = (
            self._make_cube_entry(CONTROL, make_tracker_settings(hanet.config)),
            self._make_false_color_entry(self.model, RGB_CONTROL, _make_branch_settings(hanet)),
        )
        return [
            replace(
                entry,
                components={**entry.components, "channels": "three broad ones"},
                make_tracker=partial(BroadChannelTracker, entry.make_tracker),
            )
            for entry in entries
        ]

    def _make_cube_entry(self, name: str, settings: TrackerSettings) -> BenchmarkEntry:
        """Return an entry that reads cubes, or images if the camera has no bands."""

        def make_tracker(camera: SpectralInfo | None) -> HsiTrackerAdapter:
            if camera is None:
                return HsiTrackerAdapter(self._make_rgb_tracker())
            return HsiTrackerAdapter(self.make_hanet_tracker(settings, camera))

        components = self._describe_components(self.model, settings, "all bands")
        return BenchmarkEntry(name, components, make_tracker)

    def _make_rgb_tracker(self) -> HsiTracker:
        """Return the tracker of color images, for a camera without bands."""
        model = _load_color_model(self.model, self.engine)
        return HsiTracker(model, make_rgb_settings(_load_network(self.model)))

    def _make_false_color_entry(
        self, model: str, name: str, settings: TrackerSettings | None = None
    ) -> BenchmarkEntry:
        """Return an entry that reads false color. `settings` None: the settings of the model."""
        settings = settings or make_tracker_settings(_load_rgb_network(model).config)

        def make_tracker(camera: SpectralInfo | None) -> HsiTrackerAdapter:
            return HsiTrackerAdapter(HsiTracker(_load_rgb_model(model, self.engine), settings, camera=camera))

        components = self._describe_components(model, settings, "false color")
        return BenchmarkEntry(name, components, make_tracker)

    def _describe_components(self, model: str, settings: TrackerSettings, input_kind: str) -> dict[str, str]:
        return {
            "model": model,
            "weights sha256": read_model_manifest(model).weights_sha256,
            "sees": input_kind,
            "engine": self.engine,
            "settings": repr(settings),
            "code sha256": compute_code_sha256(*_PREDICTION_CODE),
        }


@lru_cache(maxsize=4)
def _load_network(name: str) -> SiameseNetwork:
    return open_network(name)


def _load_hanet(name: str) -> HANet:
    network = _load_network(name)
    if not isinstance(network, HANet):
        raise ModelError(
            f"model {name} must be a HA-Net: got a network without a spectral branch; choose another --model"
        )
    return network


def _load_rgb_network(name: str) -> SiameseNetwork:
    network = _load_network(name)
    return network.extract_rgb_network() if isinstance(network, HANet) else network


@lru_cache(maxsize=4)
def _load_model(name: str, engine: str, wavelengths_nm: tuple[float, ...] | None) -> SiameseModel:
    """Load HA-Net for some wavelengths; None: the wavelengths of the model."""
    hanet = _load_hanet(name)
    network = hanet if wavelengths_nm is None else hanet.bake(wavelengths_nm)
    settings = EngineSettings(engine)
    title = Path(name).stem
    if name.startswith(UNTRAINED_PREFIX) and settings.parse_precision_suffix().precision == "int8":
        calibrate_on_noise([make_template_graph(network, 1, title), make_search_graph(network, 1, title)])
    return SiameseModel(network, settings, title)


@lru_cache(maxsize=8)
def _load_rgb_model(name: str, engine: str) -> SiameseModel:
    """Load an RGB network, or the RGB branch of a HA-Net."""
    return SiameseModel(_load_rgb_network(name), EngineSettings(engine), f"{Path(name).stem} rgb")


@lru_cache(maxsize=4)
def _load_color_model(name: str, engine: str) -> SiameseModel:
    """Load the network with which a model tracks color images."""
    return SiameseModel(
        find_color_network(_load_network(name)), EngineSettings(engine), f"{Path(name).stem} color"
    )


def _make_branch_settings(hanet: HANet) -> TrackerSettings:
    """Return the settings of HA-Net for its own RGB branch."""
    return disable_spectra(make_tracker_settings(hanet.config))


class HsiTrackerAdapter:
    """Adapter of an `HsiTracker` with one target."""

    def __init__(self, tracker: HsiTracker) -> None:
        self._tracker = tracker

    def initialize(self, frame: BenchmarkFrame, box: Box) -> None:
        self._tracker.set_target(frame.cube, box, stamp_ns=frame.stamp_ns)

    def track(self, frame: BenchmarkFrame) -> TargetPrediction:
        (target,) = self._tracker.track(frame.cube, frame.stamp_ns)
        return TargetPrediction(target.box, target.state is TargetStatus.LOST, target.score)
