"""Where in a frame a target is looked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi_tracker_ros.hanet.crops import SquareCrop, search_side, template_side
from hsi_tracker_ros.tracker.frame_context import View
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.target import Target
from tracking_runtime.boxes import clip_to_image
from tracking_runtime.errors import TargetRefused

_STRIDE = 0.6
"""Sides of a search square from its middle to that of the next one in which a lost target is looked for."""


def template_area(box: NDArray[np.float64]) -> SquareCrop:
    """The square around a box that a template shows."""
    return _square(box, template_side(box))


def search_area(box: NDArray[np.float64], motion: Iterable[float] = (0.0, 0.0)) -> SquareCrop:
    """The square around a box, moved by so many pixels, in which a target is looked for."""
    return _square(box, search_side(box)).moved(*motion).settled()


def search_areas(target: Target, view: View, settings: TrackerSettings) -> list[SquareCrop]:
    """Squares around the last box.

    Of a lost target, in every second frame the next one outwards instead, until the image is searched; also
    around what may be it, and in turns around places where its spectrum fits.
    """
    around = search_area(target.box, target.motion)
    if not (target.lost and settings.redetection_crops):
        return [around]
    likely = view.likely_places(target.signature, target.box[2:], settings.redetection_places)
    sizes = (1.0, settings.redetection_scale, 1 / settings.redetection_scale)
    side = around.side * sizes[target.scan // max(len(likely), 1) % len(sizes)]
    suspect = target.presence.suspect
    watched = [] if suspect is None else [search_area(suspect.box)]
    crops = settings.redetection_crops - len(watched)
    turns = [likely[(target.scan + step) % len(likely)] for step in range(min(crops, len(likely)))]
    target.scan += crops
    step, beside = divmod(target.searched_frames, 2)
    target.searched_frames += 1
    height, width = view.pixels.shape[:2]
    return [
        _outwards(around, step, width, height) if beside else replace(around, side=max(side, around.side)),
        *watched,
        *(SquareCrop(float(x), float(y), side) for x, y in turns),
    ]


def _outwards(around: SquareCrop, step: int, width: int, height: int) -> SquareCrop:
    """The square of this step, from 0, in a search from one outwards over an image, over and over."""
    stride = _STRIDE * around.side
    margin = stride / 4
    columns = np.arange((around.x + margin) % stride - margin, width + margin, stride)
    rows = np.arange((around.y + margin) % stride - margin, height + margin, stride)
    centres = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    nearest = np.argsort(np.hypot(*(centres - (around.x, around.y)).T), kind="stable")
    x, y = centres[nearest[(step + 1) % len(nearest)]]
    return replace(around, x=float(x), y=float(y)).settled()


def checked_box(box: ArrayLike, *, width: int, height: int) -> NDArray[np.float64]:
    """A box in an image of this size that a target may have.

    Raises:
        TargetRefused: it is empty, not finite or outside the image.
    """
    checked = np.array(box, dtype=np.float64).reshape(-1)
    if checked.shape != (4,) or not np.isfinite(checked).all():
        raise TargetRefused(
            f"a box is four finite numbers x, y, width, height, not {np.asarray(box).tolist()}"
        )
    if (checked[2:] <= 0).any():
        raise TargetRefused(f"a box of {checked[2]:g} x {checked[3]:g} pixels holds nothing")
    if (clip_to_image(checked, width, height)[0, 2:] <= 0).any():
        raise TargetRefused(f"the box {checked.tolist()} lies outside the image of {width} x {height} pixels")
    return checked


def _square(box: NDArray[np.float64], side: float) -> SquareCrop:
    return SquareCrop(float(box[0] + box[2] / 2), float(box[1] + box[3] / 2), side)
