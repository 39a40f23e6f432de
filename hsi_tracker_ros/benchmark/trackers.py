"""Who runs over the videos: HA-Net, parts of it, other networks, and OpenCV's trackers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from hsi_tracker_ros.benchmark.base import SHOWING, Answer, Box, Contender, Shown, code_sha256
from hsi_tracker_ros.benchmark.opencv import opencv_contenders
from hsi_tracker_ros.hanet.graphs import open_network, search_graph, template_graph
from hsi_tracker_ros.hanet.inference import SiameseModel
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.tracker import HsiTracker, TargetStatus, TrackerSettings, rgb_settings, tuned_settings
from tracking_runtime.engines import EngineSettings
from tracking_runtime.engines.model_graphs import UNTRAINED, manifest_of
from tracking_runtime.errors import ModelError
from tracking_runtime.evaluation.int8_calibration import calibrate_on_noise
from tracking_runtime.spectral_info import SpectralInfo

REFERENCE = "HA-Net"
SIAMBAN_RULES = "RGB branch as SiamBAN"
OUR_RULES = "RGB branch, our rules"
NOT_UPDATED = "without online update"

_CODE = (*SHOWING, "hanet", "tracker", "signature.py", "benchmark/lineup.py")
"""Of which answers are made; a change of it makes old ones worthless."""


@dataclass(frozen=True)
class Lineup:
    """Whom to measure.

    Attributes:
        model: of HA-Net, by name or path; or ``untrained:`` and a preset, to be timed.
        rgb_models: further trackers on false colour, by name or path of their models.
        engine: that runs the models.
        only: names of the contenders that are wanted; empty: all.
    """

    model: str = "hanet_edge_any"
    rgb_models: tuple[str, ...] = ()
    engine: str = "auto"
    only: tuple[str, ...] = ()

    def contenders(self) -> list[Contender]:
        """Those of everyone that are wanted.

        Raises:
            ModelError: there is no such model, or it is of another kind.
            ValueError: there is no such contender.
        """
        everyone = self.everyone()
        unknown = set(self.only) - {contender.name for contender in everyone}
        if unknown:
            there = ", ".join(contender.name for contender in everyone)
            raise ValueError(f"no contender {', '.join(sorted(unknown))}; there: {there}")
        return [contender for contender in everyone if not self.only or contender.name in self.only]

    def everyone(self) -> list[Contender]:
        """Everyone that can run here; the first is ``REFERENCE``. Raises ModelError."""
        ours = tuned_settings(_hanet(self.model).config)
        rgb = [self._on_false_color(name, Path(name).stem) for name in self.rgb_models]
        return [
            self._on_cubes(REFERENCE, ours),
            self._on_cubes(NOT_UPDATED, replace(ours, online_interval=0)),
            self._on_false_color(self.model, SIAMBAN_RULES),
            self._on_false_color(self.model, OUR_RULES, rgb_settings(_network(self.model))),
            *rgb,
            *opencv_contenders(),
        ]

    def tracker(self, settings: TrackerSettings, camera: SpectralInfo) -> HsiTracker:
        """HA-Net for a camera.

        Raises:
            CameraMismatch: the camera's bands don't cover the model's.
            EngineError: no engine works.
        """
        config = _hanet(self.model).config.spectral
        bands = camera.wavelengths_nm if config is not None and config.wavelengths_nm is None else None
        return HsiTracker(_model(self.model, self.engine, bands), settings, camera=camera)

    def _on_cubes(self, name: str, settings: TrackerSettings) -> Contender:
        return Contender(
            name,
            self._ran(self.model, settings, "all bands"),
            lambda camera: _HsiContender(self.tracker(settings, camera) if camera else self._on_pictures()),
        )

    def _on_pictures(self) -> HsiTracker:
        """What is left of HA-Net where there are no bands: its RGB branch."""
        return HsiTracker(_rgb_model(self.model, self.engine), rgb_settings(_network(self.model)))

    def _on_false_color(self, model: str, name: str, settings: TrackerSettings | None = None) -> Contender:
        rules = settings or tuned_settings(_alone(model).config)
        return Contender(
            name,
            self._ran(model, rules, "false colour"),
            lambda camera: _HsiContender(HsiTracker(_rgb_model(model, self.engine), rules, camera=camera)),
        )

    def _ran(self, model: str, settings: TrackerSettings, sees: str) -> dict[str, str]:
        return {
            "model": model,
            "weights sha256": manifest_of(model).weights_sha256,
            "sees": sees,
            "engine": self.engine,
            "settings": repr(settings),
            "code sha256": code_sha256(*_CODE),
        }


@lru_cache(maxsize=4)
def _network(name: str) -> SiameseNetwork:
    return open_network(name)


def _hanet(name: str) -> HANet:
    network = _network(name)
    if not isinstance(network, HANet):
        raise ModelError(f"model {name} has no spectral branch, so that it is no HA-Net")
    return network


def _alone(name: str) -> SiameseNetwork:
    network = _network(name)
    return network.rgb_alone() if isinstance(network, HANet) else network


@lru_cache(maxsize=4)
def _model(name: str, engine: str, bands: tuple[float, ...] | None) -> SiameseModel:
    """HA-Net for these bands; None: its own."""
    whole = _hanet(name)
    network = whole if bands is None else whole.bake(bands)
    settings, title = EngineSettings(engine), Path(name).stem
    if name.startswith(UNTRAINED) and settings.parsed().precision == "int8":
        calibrate_on_noise([template_graph(network, 1, title), search_graph(network, 1, title)])
    return SiameseModel(network, settings, title)


@lru_cache(maxsize=8)
def _rgb_model(name: str, engine: str) -> SiameseModel:
    """An RGB tracker, or the RGB branch of a HA-Net alone."""
    return SiameseModel(_alone(name), EngineSettings(engine), f"{Path(name).stem} rgb")


class _HsiContender:
    """An ``HsiTracker`` with one target."""

    def __init__(self, tracker: HsiTracker) -> None:
        self._tracker = tracker

    def start(self, shown: Shown, box: Box) -> None:
        self._tracker.set_target(shown.cube, box, stamp_ns=shown.stamp_ns)

    def track(self, shown: Shown) -> Answer:
        (target,) = self._tracker.track(shown.cube, shown.stamp_ns)
        return Answer(target.box, target.state is TargetStatus.LOST)
