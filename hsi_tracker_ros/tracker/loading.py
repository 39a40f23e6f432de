"""Loads trackers with models from disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hsi_tracker_ros.cubes.bands import CameraMismatchError
from hsi_tracker_ros.hanet.inference import SiameseModel
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.spectral_stem import LONGEST_NM, SHORTEST_NM
from hsi_tracker_ros.hanet.weights import find_color_network, load_network
from hsi_tracker_ros.tracker.settings import TrackerSettings, disable_spectra, make_tracker_settings
from hsi_tracker_ros.tracker.tracker import HsiTracker
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import ModelError
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.timing import StageTimes

_log = logging.getLogger(__name__)


class CameraNotSpecifiedError(ModelError):
    """Model that needs the bands of its camera, while these are unknown."""


def load_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    bands: SpectralInfo | None = None,
    *,
    settings: TrackerSettings | None = None,
    engine_settings: EngineSettings | None = None,
    times: StageTimes | None = None,
) -> HsiTracker:
    """Load a model and return a tracker.

    Args:
        name_or_path: name of the model, or path of its manifest.
        engine: name of an engine, or `auto`.
        bands: bands of the camera; None: the bands of the model.
        settings: settings of the tracker; None: the model's.
        engine_settings: precision and threads; `engine` overrides the engine named there.
        times: durations of the stages are added here.

    Raises:
        ModelError: the model cannot be loaded.
        CameraNotSpecifiedError: the model needs the bands of the camera, and `bands` is None.
        CameraMismatchError: the camera's bands do not cover the model's.
        EngineError: no engine works.
    """
    network = load_network(name_or_path)
    spectral = network.config.spectral
    if isinstance(network, HANet) and spectral is not None and spectral.wavelengths_nm is None:
        if bands is None:
            raise CameraNotSpecifiedError(
                f"model {name_or_path} is made for any camera: got no bands; give the bands of the camera"
            )
        _check_range(bands.wavelengths_nm, Path(name_or_path).stem)
        network = network.bake(bands.wavelengths_nm)
    model = _make_model(network, engine, engine_settings, Path(name_or_path).stem)
    return HsiTracker(model, settings or make_tracker_settings(network.config), times, camera=bands)


def load_rgb_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    *,
    settings: TrackerSettings | None = None,
    engine_settings: EngineSettings | None = None,
    times: StageTimes | None = None,
    camera: SpectralInfo | None = None,
) -> HsiTracker:
    """Load the network of a model for color images and return a tracker without spectra.

    That of a HA-Net is the `color_model` of its manifest, else its RGB branch.

    Args:
        name_or_path: name of any model, or path of its manifest.
        engine: name of an engine, or `auto`.
        settings: settings of the tracker; None: those of `make_rgb_settings`.
        engine_settings: precision and threads; `engine` overrides the engine named there.
        times: durations of the tracking stages are added here.
        camera: bands of the cubes, which are tracked in false color; None: frames are BGR images.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: no engine works.
    """
    network = load_network(name_or_path)
    color_network = find_color_network(network)
    model = _make_model(color_network, engine, engine_settings, f"{Path(name_or_path).stem} rgb")
    return HsiTracker(model, settings or make_rgb_settings(network), times, camera=camera)


def make_rgb_settings(network: SiameseNetwork) -> TrackerSettings:
    """Return the settings with which a network tracks color images.

    Those of a HA-Net are its color model's, or its own without spectra if its RGB branch tracks.

    Raises:
        ModelError: the color model cannot be loaded.
    """
    if isinstance(network, HANet) and not network.config.color_model:
        return disable_spectra(make_tracker_settings(network.config))
    return make_tracker_settings(find_color_network(network).config)


def _make_model(
    network: SiameseNetwork, engine: str, engine_settings: EngineSettings | None, name: str
) -> SiameseModel:
    settings = replace(engine_settings or EngineSettings(), engine=engine)
    return SiameseModel(network, settings, name)


def _check_range(wavelengths_nm: Sequence[float], model: str) -> None:
    """Warn of bands outside the range of a model for any camera.

    Raises:
        CameraMismatchError: all bands are outside.
    """
    unused = [nm for nm in wavelengths_nm if not SHORTEST_NM <= nm <= LONGEST_NM]
    if not unused:
        return
    warning = (
        f"model {model} uses {SHORTEST_NM:g} to {LONGEST_NM:g} nm, not the camera's bands at "
        f"{', '.join(f'{nm:g}' for nm in unused)} nm"
    )
    if len(unused) == len(wavelengths_nm):
        raise CameraMismatchError(f"{warning}; wavelengths are given in nm")
    _log.warning(warning)
