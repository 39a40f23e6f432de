"""Selection of boxes with the mouse, and without a display."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tracking_runtime.tracking.box_selection import BoxSelector, NoSelectionError, select_boxes

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 100, 3)).astype(np.uint8)


class Window:
    """A window without a display, to which events of mouse and keyboard are sent."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(5, 4))
        self.canvas = FigureCanvasAgg(self.figure)
        self.selector = BoxSelector(self.figure, IMAGE)
        self.canvas.draw()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the mouse from one point of the image to another."""
        to_display = self.figure.axes[0].transData.transform
        events = (("button_press_event", start), ("motion_notify_event", end), ("button_release_event", end))
        for name, point in events:
            x, y = to_display(point)
            self.canvas.callbacks.process(name, MouseEvent(name, self.canvas, x, y, 1))

    def press(self, key: str) -> None:
        self.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", self.canvas, key))


def test_dragged_box_is_in_pixels_of_the_image() -> None:
    window = Window()

    window.drag((10, 20), (30, 35))
    window.drag((70, 50), (60, 40))
    window.press("enter")

    assert window.selector.boxes == [(10, 20, 20, 15), (60, 40, 10, 10)]
    assert window.selector.is_finished


def test_backspace_removes_the_last_box() -> None:
    window = Window()

    window.drag((10, 20), (30, 35))
    window.drag((60, 40), (70, 50))
    window.press("backspace")

    assert window.selector.boxes == [(10, 20, 20, 15)]


def test_click_is_no_box_and_enter_without_box_waits() -> None:
    window = Window()

    window.drag((10, 20), (10.4, 20.4))
    window.press("enter")

    assert window.selector.boxes == []
    assert not window.selector.is_finished


def test_without_display_the_first_frame_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(NoSelectionError, match=r"clip_first_frame\.png.* rstrack track clip\.mp4 --box X,Y"):
        select_boxes(IMAGE, "clip.mp4", "clip")

    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "clip_first_frame.png")), IMAGE)
