"""What is known of one camera, from a file: its filters, its filter area, its spectral correction.

Two kinds are read. The XIMEA/IMEC sensor calibration (``.xml``, versions 0 and 1) comes with the sensor. A
YAML file holds the attributes of ``SpectralInfo`` by name, for any other camera.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import dacite
import numpy as np
import yaml
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import Calibration, SpectralInfo


@dataclass(frozen=True)
class Area:
    """A window of the sensor in pixels: its corner and its size."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class SpectralCorrection:
    """From the filters as they are, leaky and often double-peaked, to clean bands.

    Attributes:
        matrix: ``(virtual bands, bands)`` float32, which multiplies a spectrum after dark and flat field.
        wavelengths_nm: centre of each virtual band.
        fwhm_nm: full width at half maximum of each, empty if unknown.
    """

    matrix: NDArray[np.float32]
    wavelengths_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...] = ()


@dataclass(frozen=True)
class CameraFile:
    """A camera as its file describes it.

    Attributes:
        camera: the bands in the order of the filters, row by row; each at its strongest peak.
        sensor_size: width and height in pixels of a whole image; None if unknown.
        area: the part of it that has filters; None: all.
        correction: None if the file has none.
    """

    camera: SpectralInfo
    sensor_size: tuple[int, int] | None = None
    area: Area | None = None
    correction: SpectralCorrection | None = None


def read_camera_file(path: str | Path) -> CameraFile:
    """Read a camera file.

    Raises:
        SourceError: it is missing, or not a camera file; the message names it and what is wrong.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".xml":
            return _from_xml(path)
        values = yaml.safe_load(path.read_text())
        config = dacite.Config(cast=[tuple, Calibration], strict=True)
        return CameraFile(dacite.from_dict(SpectralInfo, values, config))
    except OSError as error:
        raise SourceError(f"cannot read the camera file {path}: {error.strerror}") from error
    except ElementTree.ParseError as error:
        raise SourceError(f"{path} is not XML: {error}") from error
    except (
        UnicodeDecodeError,
        yaml.YAMLError,
        dacite.DaciteError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise SourceError(f"{path} is not a camera file: {error}") from error


def _from_xml(path: Path) -> CameraFile:
    root = ElementTree.parse(path).getroot()
    if root.tag != "sensor_calibration":
        raise ValueError(f"its root is <{root.tag}>, that of a sensor calibration is <sensor_calibration>")
    zone = root.find("filter_info/filter_zones/filter_zone")
    filters = root.find("filter_info") if zone is None else zone
    if filters is None or filters.get("layout") != "MOSAIC":
        raise ValueError("it describes no mosaic")
    rows, columns = _integer(filters, "pattern_height"), _integer(filters, "pattern_width")
    peaks = [_strongest_peak(band) for band in filters.findall("bands/band")]
    if len(peaks) != rows * columns:
        raise ValueError(f"{len(peaks)} bands in a pattern of {rows} x {columns} filters")
    depth = root.find(".//calibration_info/bit_depth")
    if depth is None:
        depth = root.find("sensor_info/input_bpp")
    camera = SpectralInfo(
        wavelengths_nm=tuple(nm for nm, _ in peaks),
        fwhm_nm=tuple(fwhm for _, fwhm in peaks),
        mosaic=(rows, columns),
        bit_depth=0 if depth is None else int(_text(depth)),
    )
    sensor, area = _child(root, "sensor_info"), _child(filters, "filter_area")
    names = ("offset_x", "offset_y", "width", "height")
    return CameraFile(
        camera,
        sensor_size=(_integer(sensor, "width"), _integer(sensor, "height")),
        area=Area(*(_integer(area, name) for name in names)),
        correction=_correction(root, len(peaks)),
    )


def _correction(root: ElementTree.Element, bands: int) -> SpectralCorrection | None:
    virtual = root.findall(".//correction_matrix[1]/virtual_bands/virtual_band")
    coefficients = "coefficients"
    if not virtual:
        virtual = root.findall("filter_info/spectral_correction_info/virtual_bands/band")
        coefficients = "custom_spectral_correction/data"
    if not virtual:
        return None
    matrix = np.array([_numbers(_child(band, coefficients)) for band in virtual], dtype=np.float32)
    if matrix.shape[1] != bands:
        raise ValueError(f"its correction matrix is for {matrix.shape[1]} filters, there are {bands}")
    widths = [band.find("fwhm_nm") for band in virtual]
    return SpectralCorrection(
        matrix,
        tuple(_number(band, "wavelength_nm") for band in virtual),
        tuple(float(_text(width)) for width in widths if width is not None),
    )


def _strongest_peak(band: ElementTree.Element) -> tuple[float, float]:
    """Wavelength and fwhm of the peak that contributes most."""
    peaks = band.findall("peaks/peak")
    if not peaks:
        raise ValueError(f"band {band.get('index') or band.get('pattern_position_index')} has no peak")
    weight = [float(peak.findtext("contribution") or peak.findtext("QE") or 0) for peak in peaks]
    peak = peaks[int(np.argmax(weight))]
    return _number(peak, "wavelength_nm"), _number(peak, "fwhm_nm")


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element:
    child = element.find(name)
    if child is None:
        raise ValueError(f"<{element.tag}> has no <{name}>")
    return child


def _text(element: ElementTree.Element) -> str:
    return (element.text or "").strip()


def _number(element: ElementTree.Element, name: str) -> float:
    return float(_text(_child(element, name)))


def _integer(element: ElementTree.Element, name: str) -> int:
    return int(_text(_child(element, name)))


def _numbers(element: ElementTree.Element) -> list[float]:
    return [float(value) for value in _text(element).split(",")]
