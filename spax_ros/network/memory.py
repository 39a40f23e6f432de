"""What a network remembers from frame to frame: a state handed on, or, as published, a window run anew.

The published network runs its gated units over the last frames at every step, always from an empty state. A
network that was trained with its state handed on needs one step a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.grid import Grid, Shift
from spax_ros.network.network import Pyramid, SpaxNetwork, State, Step

FloatShift = NDArray[np.float64]
FrameAt = Callable[[Grid, Shift], Tensor]
"""A frame as the network takes it, at a grid's pixels: (y, x) there is at (y, x) + shift in the frame."""


class Memory(Protocol):
    """Goes through a sequence, frame by frame."""

    def step(self, frame: FrameAt, grid: Grid, shift: FloatShift) -> Step:
        """The newest frame's results.

        Args:
            frame: the newest.
            grid: its pixels.
            shift: ``(B, 2)`` y, x in pixels: what is at (y, x) here was at (y, x) + shift in the last frame.
        """


class CarriedState:
    """The state of each frame is handed on to the next: a frame is computed once."""

    def __init__(self, network: SpaxNetwork) -> None:
        self._network = network
        self._state: State | None = None

    def step(self, frame: FrameAt, grid: Grid, shift: FloatShift) -> Step:
        """See :class:`Memory`."""
        state = self._state and self._state.at(grid, whole(shift))
        step = self._network.step(frame(grid, whole(shift * 0)), grid, state)
        features = step.state.features()
        self._state = State.of(grid, {name: features[name] for name in self._network.remembered})
        return step


@dataclass(frozen=True)
class _Remembered:
    """A frame of the window, its fused features on the grid of when it was new, and how far it has moved."""

    frame: FrameAt
    grid: Grid
    pyramid: Pyramid | None
    shift: FloatShift


class SlidingWindow:
    """Test time as published: the window moves on by a frame and is run from an empty state.

    Earlier frames keep the fused features of when they were new. Before there are enough frames the first is
    repeated. Where the camera moves, earlier frames are looked at where the newest one's pixels were.
    """

    def __init__(self, network: SpaxNetwork) -> None:
        self._network = network
        self._window: list[_Remembered] = []

    def step(self, frame: FrameAt, grid: Grid, shift: FloatShift) -> Step:
        """See :class:`Memory`."""
        length = self._network.config.window
        newest = _Remembered(frame, grid, None, shift * 0)
        earlier = [replace(each, shift=each.shift + shift) for each in self._window]
        window = [*earlier, newest][-length:] if earlier else [newest] * length
        steps = run_window(
            self._network,
            [each.frame(grid, whole(each.shift)) for each in window],
            grid,
            [each.pyramid and each.pyramid.at(grid, each.grid, whole(each.shift)) for each in window],
        )
        self._window = [
            replace(each, pyramid=each.pyramid or step.state.pyramid)
            for each, step in zip(window, steps, strict=True)
        ]
        return steps[-1]


def run_window(
    network: SpaxNetwork, frames: Sequence[Tensor], grid: Grid, known: Sequence[Pyramid | None] = ()
) -> list[Step]:
    """The steps through a window from an empty state.

    Args:
        network: of any variant.
        frames: normalised, oldest first.
        grid: on which all of them are.
        known: fused features of the first frames, which are then not computed again.
    """
    steps: list[Step] = []
    state: State | None = None
    for index, frame in enumerate(frames):
        steps.append(network.step(frame, grid, state, known[index] if index < len(known) else None))
        state = steps[-1].state
    return steps


def memory_of(network: SpaxNetwork) -> Memory:
    """A network at the beginning of a sequence, which it goes through as its configuration says."""
    return SlidingWindow(network) if network.config.memory == "window" else CarriedState(network)


def whole(shift: FloatShift) -> Shift:
    """A shift in whole pixels."""
    return np.round(shift).astype(np.int64)
