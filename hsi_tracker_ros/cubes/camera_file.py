"""Camera files: filters, filter area and spectral correction of one camera.

Two formats are read: the XIMEA/IMEC sensor calibration (`.xml`, versions 0 and 1) that comes with the sensor,
and YAML with the attributes of `SpectralInfo` by name, for any other camera. The YAML may also have
`sensor_size` (width, height) and `filter_area` (x, y, width, height) in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dacite
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.sensor import Sensor, SensorArea
from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import Calibration, SpectralInfo
from tracking_runtime.untrusted.documents import parse_xml, read_yaml_file
from tracking_runtime.untrusted.files import read_file

if TYPE_CHECKING:
    import xml.etree.ElementTree as ElementTree


@dataclass(frozen=True)
class SpectralCorrection:
    """A correction of leaky, often double-peaked filters to clean virtual bands.

    Attributes:
        matrix: correction `(virtual bands, bands)` float32 of a spectrum after dark and flat field.
        wavelengths_nm: center of each virtual band in nm.
        fwhm_nm: full width at half maximum of each virtual band in nm; empty if unknown.
    """

    matrix: NDArray[np.float32]
    wavelengths_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...] = ()


@dataclass(frozen=True)
class CameraFile:
    """The content of a camera file.

    Attributes:
        camera: bands in the order of the filters, row by row, each at its strongest peak.
        sensor: size of the sensor and place of its filters; None if unknown: images are whole periods.
        correction: spectral correction; None: none.
    """

    camera: SpectralInfo
    sensor: Sensor | None = None
    correction: SpectralCorrection | None = None


def read_camera_file(path: str | Path) -> CameraFile:
    """Read a camera file: the calibration of a XIMEA or IMEC sensor if the suffix is `.xml`, else YAML.

    Raises:
        SourceError: the file is missing or not a camera file. The message names the file and its fault.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".xml":
            return _read_xml(path)
        return _read_yaml(path)
    except OSError as error:
        raise SourceError(f"cannot read the camera file {path}: {error.strerror}") from error
    except SourceError:
        raise
    except (dacite.DaciteError, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise SourceError(f"{path} is not a camera file: {error}") from error


def _read_yaml(path: Path) -> CameraFile:
    values = read_yaml_file(path)
    if not isinstance(values, dict):
        raise ValueError(f"the file must have keys as wavelengths_nm: got {type(values).__name__}")
    size, area = values.pop("sensor_size", None), values.pop("filter_area", None)
    camera = dacite.from_dict(SpectralInfo, values, dacite.Config(cast=[tuple, Calibration], strict=True))
    if size is None and area is None:
        return CameraFile(camera)
    width, height = _read_integers("sensor_size", size, 2)
    filters = _read_integers("filter_area", area or (0, 0, width, height), 4)
    return CameraFile(camera, Sensor((width, height), SensorArea(*filters)))


def _read_integers(name: str, values: object, count: int) -> list[int]:
    is_valid = isinstance(values, (list, tuple)) and all(type(value) is int for value in values)
    if not isinstance(values, (list, tuple)) or not is_valid or len(values) != count:
        raise ValueError(f"{name} must be {count} whole numbers: got {values}")
    return list(values)


def _read_xml(path: Path) -> CameraFile:
    root = parse_xml(read_file(path))
    if root.tag != "sensor_calibration":
        raise ValueError(f"the root must be <sensor_calibration>: got <{root.tag}>")
    zone = root.find("filter_info/filter_zones/filter_zone")
    filters = root.find("filter_info") if zone is None else zone
    if filters is None or filters.get("layout") != "MOSAIC":
        raise ValueError("the filters must have the layout MOSAIC")
    rows, columns = _read_integer(filters, "pattern_height"), _read_integer(filters, "pattern_width")
    peaks = [_find_strongest_peak(band) for band in filters.findall("bands/band")]
    if len(peaks) != rows * columns:
        raise ValueError(f"the number of bands must be {rows} x {columns}, one per filter: got {len(peaks)}")
    depth = root.find(".//calibration_info/bit_depth")
    if depth is None:
        depth = root.find("sensor_info/input_bpp")
    camera = SpectralInfo(
        wavelengths_nm=tuple(nm for nm, _ in peaks),
        fwhm_nm=tuple(fwhm for _, fwhm in peaks),
        mosaic=(rows, columns),
        bit_depth=0 if depth is None else int(_read_text(depth)),
    )
    sensor, area = _find_child(root, "sensor_info"), _find_child(filters, "filter_area")
    names = ("offset_x", "offset_y", "width", "height")
    return CameraFile(
        camera,
        sensor=Sensor(
            (_read_integer(sensor, "width"), _read_integer(sensor, "height")),
            SensorArea(*(_read_integer(area, name) for name in names)),
        ),
        correction=_read_correction(root, len(peaks)),
    )


def _read_correction(root: ElementTree.Element, bands: int) -> SpectralCorrection | None:
    virtual_bands = root.findall(".//correction_matrix[1]/virtual_bands/virtual_band")
    coefficients = "coefficients"
    if not virtual_bands:
        virtual_bands = root.findall("filter_info/spectral_correction_info/virtual_bands/band")
        coefficients = "custom_spectral_correction/data"
    if not virtual_bands:
        return None
    matrix = np.array(
        [_read_numbers(_find_child(band, coefficients)) for band in virtual_bands], dtype=np.float32
    )
    if matrix.shape[1] != bands:
        raise ValueError(
            f"the correction matrix must have {bands} columns, one per filter: got {matrix.shape[1]}"
        )
    widths = [band.find("fwhm_nm") for band in virtual_bands]
    return SpectralCorrection(
        matrix,
        tuple(_read_number(band, "wavelength_nm") for band in virtual_bands),
        tuple(float(_read_text(width)) for width in widths if width is not None),
    )


def _find_strongest_peak(band: ElementTree.Element) -> tuple[float, float]:
    """Return the wavelength and width in nm of the peak with the largest contribution."""
    peaks = band.findall("peaks/peak")
    if not peaks:
        raise ValueError(f"band {band.get('index') or band.get('pattern_position_index')} has no peak")
    weight = [float(peak.findtext("contribution") or peak.findtext("QE") or 0) for peak in peaks]
    peak = peaks[int(np.argmax(weight))]
    return _read_number(peak, "wavelength_nm"), _read_number(peak, "fwhm_nm")


def _find_child(element: ElementTree.Element, name: str) -> ElementTree.Element:
    child = element.find(name)
    if child is None:
        raise ValueError(f"<{element.tag}> has no <{name}>")
    return child


def _read_text(element: ElementTree.Element) -> str:
    return (element.text or "").strip()


def _read_number(element: ElementTree.Element, name: str) -> float:
    return float(_read_text(_find_child(element, name)))


def _read_integer(element: ElementTree.Element, name: str) -> int:
    return int(_read_text(_find_child(element, name)))


def _read_numbers(element: ElementTree.Element) -> list[float]:
    return [float(value) for value in _read_text(element).split(",")]
