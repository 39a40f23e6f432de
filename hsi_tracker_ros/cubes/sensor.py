"""Place of a camera's filters on its sensor, and the part of the sensor that an image shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracking_runtime.errors import FrameRefusedError, SourceError


@dataclass(frozen=True)
class SensorArea:
    """A rectangle of the sensor in pixels: top-left corner and size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


@dataclass(frozen=True)
class Sensor:
    """Sensor of a mosaic camera.

    Attributes:
        size: width and height of the whole sensor in pixels.
        filter_area: part of the sensor with filters, from the first filter of a period.
        region: part of the sensor that the camera reads out (region of interest). None: all of it, or the
            filter area.
        accepts_crops: True if images of other sizes are taken as whole periods from the first filter.

    Raises:
        ValueError: an area is not inside the sensor.
    """

    size: tuple[int, int]
    filter_area: SensorArea
    region: SensorArea | None = None
    accepts_crops: bool = False

    def __post_init__(self) -> None:
        for name, area in (("filter_area", self.filter_area), ("region", self.region)):
            if area is not None and not (
                area.x >= 0
                and area.y >= 0
                and 0 < area.width <= self.size[0] - area.x
                and 0 < area.height <= self.size[1] - area.y
            ):
                raise ValueError(
                    f"{name} must be inside the sensor of {format_size(self.size)} pixels: got {area}"
                )

    def find_filters(self, image_size: tuple[int, int], mosaic: tuple[int, int]) -> tuple[slice, slice]:
        """Find the whole periods of filters in an image.

        Args:
            image_size: width and height of the image in pixels.
            mosaic: rows and columns of a period.

        Returns:
            Rows and columns of the image.

        Raises:
            FrameRefusedError: the image is neither the whole sensor nor the filter area nor the region,
                unless the sensor accepts crops.
        """
        whole = SensorArea(0, 0, *self.size)
        shown = [self.region] if self.region else [whole, self.filter_area]
        part = next((area for area in shown if area.size == image_size), None)
        if part is None and self.accepts_crops:
            return slice(0, image_size[1]), slice(0, image_size[0])
        if part is None:
            raise FrameRefusedError(self._describe_mismatch(image_size))
        rows = _find_periods(part.y, part.height, self.filter_area.y, self.filter_area.height, mosaic[0])
        columns = _find_periods(part.x, part.width, self.filter_area.x, self.filter_area.width, mosaic[1])
        if rows.stop <= rows.start or columns.stop <= columns.start:
            raise FrameRefusedError(
                f"the region {part} of the sensor must hold a whole period of filters: got none "
                f"of {self.filter_area}"
            )
        return rows, columns

    def _describe_mismatch(self, image_size: tuple[int, int]) -> str:
        size = format_size(image_size)
        if self.region is not None:
            return (
                f"the raw mosaic has {size} pixels, but the region of the sensor has "
                f"{format_size(self.region.size)}; correct the region of the camera"
            )
        expected = (
            f"{format_size(self.size)} of the sensor or {format_size(self.filter_area.size)} of the filters"
        )
        factors = {side / part for side, part in zip(self.size, image_size, strict=True)}
        factor = factors.pop() if len(factors) == 1 else 0.0
        if factor > 1 and factor.is_integer():
            return (
                f"the raw mosaic must have {expected}: got {size} pixels, as by binning "
                f"{factor:g} x {factor:g}, which mixes the bands; turn binning off"
            )
        return (
            f"the raw mosaic must have {expected}: got {size} pixels; turn binning and scaling off, or "
            "state the part of the sensor that the camera reads out: "
            f"FILE?region=X,Y,{image_size[0]},{image_size[1]}"
        )


def parse_region(text: str) -> SensorArea:
    """Parse a region of the sensor, as `0,32,1024,512`: x, y, width, height in pixels.

    Raises:
        SourceError: the text is not a region.
    """
    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){3}", text):
        raise SourceError(f"region must be x,y,width,height in pixels, as 0,32,1024,512: got {text!r}")
    x, y, width, height = map(int, text.split(","))
    return SensorArea(x, y, width, height)


def format_size(size: tuple[int, int]) -> str:
    """Return a width and height as text."""
    return f"{size[0]} x {size[1]}"


def _find_periods(start: int, length: int, filters_start: int, filters_length: int, period: int) -> slice:
    """Return the pixels of an image that hold whole periods, along one axis.

    Args:
        start: first pixel of the image on the sensor.
        length: pixels of the image.
        filters_start: first pixel with filters on the sensor.
        filters_length: pixels with filters.
        period: pixels of a period.
    """
    first = max(start, filters_start)
    first += (filters_start - first) % period
    end = min(start + length, filters_start + filters_length)
    end -= (end - first) % period
    return slice(first - start, max(end, first) - start)
