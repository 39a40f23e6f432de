"""Selection of targets by the mouse, or by a saved image where no display is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracking_runtime.boxes import Boxes, as_boxes
from tracking_runtime.errors import SourceError, TrackingError
from tracking_runtime.overlay import BgrImage

_HELP = "Drag a box around each target. Backspace: remove the last box. Enter: track."
_MIN_SIDE_PX = 2.0  # smaller boxes are clicks
_DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")


class NoSelectionError(TrackingError):
    """No target was selected. The message says how to go on."""


class BoxSelector:
    """A window with an image in which a user draws boxes.

    Args:
        figure: figure of matplotlib, whose canvas delivers the events of mouse and keyboard.
        image: BGR image, (H, W, 3).

    Attributes:
        boxes: the drawn boxes in pixels of the image, x, y, width, height, in the order of drawing.
        is_finished: True after Enter.
    """

    def __init__(self, figure: Any, image: BgrImage) -> None:
        from matplotlib.backend_bases import MouseButton
        from matplotlib.widgets import RectangleSelector

        height, width = image.shape[:2]
        self.boxes: list[tuple[float, float, float, float]] = []
        self.is_finished = False
        self._size = width, height
        self._figure = figure
        self._axes = figure.add_axes((0, 0, 1, 0.95))
        self._axes.imshow(image[..., ::-1], extent=(0, width, height, 0), interpolation="nearest")
        self._axes.set_axis_off()
        figure.suptitle(_HELP, fontsize=10)
        self._selector = RectangleSelector(
            self._axes, self._add_box, useblit=False, button=[MouseButton.LEFT]
        )
        self._patches: list[Any] = []
        figure.canvas.mpl_connect("key_press_event", self._handle_key)

    def _add_box(self, press: Any, release: Any) -> None:
        left, right = np.clip(sorted((press.xdata, release.xdata)), 0, self._size[0])
        top, bottom = np.clip(sorted((press.ydata, release.ydata)), 0, self._size[1])
        box = (
            float(np.round(left)),
            float(np.round(top)),
            float(np.round(right) - np.round(left)),
            float(np.round(bottom) - np.round(top)),
        )
        if min(box[2:]) < _MIN_SIDE_PX:
            return
        from matplotlib.patches import Rectangle

        self.boxes.append(box)
        self._patches.append(
            self._axes.add_patch(Rectangle(box[:2], *box[2:], fill=False, edgecolor="yellow", linewidth=1.5))
        )
        self._figure.canvas.draw_idle()

    def _handle_key(self, event: Any) -> None:
        if event.key == "backspace" and self.boxes:
            self.boxes.pop()
            self._patches.pop().remove()
            self._figure.canvas.draw_idle()
        elif event.key == "enter" and self.boxes:
            self.is_finished = True
            self._figure.canvas.stop_event_loop()


def select_boxes(image: BgrImage, address: str, name: str) -> Boxes:
    """Let the user draw the boxes of targets, or save the image where no window can be opened.

    Args:
        image: BGR image of the first frame, (H, W, 3).
        address: address of the source, for the message.
        name: name of the source.

    Returns:
        Boxes in pixels, (n, 4), at least one.

    Raises:
        NoSelectionError: no window can be opened, or it was closed without a box. The message says how to go
            on.
        SourceError: the image cannot be saved.
    """
    if not has_display():
        path = Path(f"{name}_first_frame.png").absolute()
        if not cv2.imwrite(str(path), image):
            raise SourceError(f"{path} cannot be written; run the command in another folder")
        raise NoSelectionError(
            f"no window can be opened here: the first frame is saved as {path}. Read the box of each target "
            f"in an image viewer, and run: rstrack track {address} --box X,Y,WIDTH,HEIGHT"
        )
    import matplotlib.pyplot as plt

    height, width = image.shape[:2]
    figure = plt.figure(num=f"{name}: select targets", figsize=(12, max(2.0, 12 * height / width)))
    selector = BoxSelector(figure, image)
    figure.canvas.mpl_connect("close_event", lambda _event: figure.canvas.stop_event_loop())
    figure.show()
    figure.canvas.start_event_loop()
    plt.close(figure)
    if not selector.boxes:
        raise NoSelectionError(f"no box was drawn in {name}; run the command again, or give --box")
    return as_boxes(selector.boxes)


def has_display() -> bool:
    """Return whether matplotlib can open a window."""
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in _DISPLAY_VARIABLES):
        return False
    import matplotlib.pyplot as plt

    return plt.get_backend().lower() not in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")
