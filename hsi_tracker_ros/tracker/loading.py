"""Trackers with models from disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hsi_tracker_ros.cubes.bands import CameraMismatch
from hsi_tracker_ros.hanet.inference import SiameseModel
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.spectral_stem import LONGEST_NM, SHORTEST_NM
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.tracker.settings import TrackerSettings, tuned_settings, without_spectra
from hsi_tracker_ros.tracker.tracker import HsiTracker
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import ModelError
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.timing import StageTimes

_log = logging.getLogger(__name__)


class CameraUnknown(ModelError):
    """A model fits any camera, and nothing says which one it has."""


def load_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    bands: SpectralInfo | None = None,
    *,
    settings: TrackerSettings | None = None,
    engine_settings: EngineSettings | None = None,
    times: StageTimes | None = None,
) -> HsiTracker:
    """A tracker with a model from disk.

    Args:
        name_or_path: of the model.
        engine: name of an engine, or ``auto``.
        bands: the camera; None: the one whose bands are fixed in the model.
        settings: how responses become boxes.
        engine_settings: precision and threads; ``engine`` goes before what it says.
        times: told how long each stage takes.

    Raises:
        ModelError: the model cannot be loaded.
        CameraUnknown: it fits any camera, and none is given.
        CameraMismatch: the camera's bands don't cover the model's.
        EngineError: no engine works.
    """
    network = load_network(name_or_path)
    spectral = network.config.spectral
    if isinstance(network, HANet) and spectral is not None and spectral.wavelengths_nm is None:
        if bands is None:
            raise CameraUnknown(f"model {name_or_path} fits any camera: say which, by its bands")
        _check_range(bands.wavelengths_nm, Path(name_or_path).stem)
        network = network.bake(bands.wavelengths_nm)
    asked = replace(engine_settings or EngineSettings(), engine=engine)
    model = SiameseModel(network, asked, Path(name_or_path).stem)
    return HsiTracker(model, settings or tuned_settings(network.config), times, camera=bands)


def load_rgb_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    *,
    settings: TrackerSettings | None = None,
    engine_settings: EngineSettings | None = None,
    times: StageTimes | None = None,
    camera: SpectralInfo | None = None,
) -> HsiTracker:
    """A tracker with nothing but the RGB branch of a model from disk, by ``rgb_settings``.

    Args:
        name_or_path: of the model, whatever it is for.
        engine: as of ``load_tracker``.
        settings: as of ``load_tracker``.
        engine_settings: as of ``load_tracker``.
        times: as of ``load_tracker``.
        camera: frames are its cubes, seen in false colour; None: frames are BGR pictures.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: no engine works.
    """
    network = load_network(name_or_path)
    alone = network.rgb_alone() if isinstance(network, HANet) else network
    asked = replace(engine_settings or EngineSettings(), engine=engine)
    model = SiameseModel(alone, asked, f"{Path(name_or_path).stem} rgb")
    return HsiTracker(model, settings or rgb_settings(network), times, camera=camera)


def _check_range(wavelengths_nm: Sequence[float], model: str) -> None:
    """Tell of bands that a model for any camera does not see. Raises CameraMismatch where it sees none."""
    unseen = [nm for nm in wavelengths_nm if not SHORTEST_NM <= nm <= LONGEST_NM]
    if not unseen:
        return
    told = (
        f"model {model} sees {SHORTEST_NM:g} to {LONGEST_NM:g} nm, and not the camera's bands at "
        f"{', '.join(f'{nm:g}' for nm in unseen)} nm"
    )
    if len(unseen) == len(wavelengths_nm):
        raise CameraMismatch(f"{told}; wavelengths are given in nm")
    _log.warning(told)


def rgb_settings(network: SiameseNetwork) -> TrackerSettings:
    """How the RGB branch of a network follows alone: a HA-Net's by its rules, others as published."""
    usual = tuned_settings(network.config)
    return without_spectra(usual) if isinstance(network, HANet) else usual
