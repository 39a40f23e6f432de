"""Temporal memory of a network: a carried state, or the sliding window of the publication.

The published network runs its gated units over the last frames in every step, from an empty state. A network
that was trained with a carried state needs one step a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.grid import Grid, Shift
from spax_ros.network.network import NetworkState, Pyramid, SpaxNetwork, StepOutput

FloatShift = NDArray[np.float64]
FrameSampler = Callable[[Grid, Shift], Tensor]
"""Function that returns a frame as network input; pixel (y, x) of the grid is at (y, x) + shift in it."""


class Memory(Protocol):
    """A network on its way through a sequence of frames."""

    def step(self, frame: FrameSampler, grid: Grid, shift: FloatShift) -> StepOutput:
        """Run the network on the next frame.

        Args:
            frame: sampler of the frame.
            grid: pixels of the frame.
            shift: shift ``(B, 2)`` y, x in pixels: the pixel (y, x) was at (y, x) + shift in the last frame.
        """


class CarriedState:
    """Memory that carries the state from each frame to the next.

    Args:
        network: network of any variant.
    """

    def __init__(self, network: SpaxNetwork) -> None:
        self._network = network
        self._state: NetworkState | None = None

    def step(self, frame: FrameSampler, grid: Grid, shift: FloatShift) -> StepOutput:
        """Run the network on the next frame; see `Memory.step`."""
        state = self._state and self._state.warp_to(grid, round_shift(shift))
        step = self._network.step(frame(grid, round_shift(shift * 0)), grid, state)
        features = step.state.to_features()
        carried = {name: features[name] for name in self._network.carried_features}
        self._state = NetworkState.from_features(grid, carried)
        return step


@dataclass(frozen=True)
class _WindowFrame:
    """A frame of the window.

    Attributes:
        frame: sampler of the frame.
        grid: grid on which the frame was new.
        pyramid: fused features on `grid`; None: not computed yet.
        shift: shift ``(B, 2)`` from the newest frame's pixels to this frame's.
    """

    frame: FrameSampler
    grid: Grid
    pyramid: Pyramid | None
    shift: FloatShift


class SlidingWindow:
    """Published memory: the window of the last frames is run from an empty state in every step.

    Earlier frames keep the fused features of the step in which they were new. The first frame fills the
    window until there are enough frames. Earlier frames are sampled where the newest frame's pixels were.

    Args:
        network: network of any variant.
    """

    def __init__(self, network: SpaxNetwork) -> None:
        self._network = network
        self._window: list[_WindowFrame] = []

    def step(self, frame: FrameSampler, grid: Grid, shift: FloatShift) -> StepOutput:
        """Run the network on the window that ends with the next frame; see `Memory.step`."""
        length = self._network.config.window
        newest = _WindowFrame(frame, grid, None, shift * 0)
        earlier = [replace(each, shift=each.shift + shift) for each in self._window]
        window = [*earlier, newest][-length:] if earlier else [newest] * length
        pyramids = [
            each.pyramid and each.pyramid.warp_to(grid, each.grid, round_shift(each.shift)) for each in window
        ]
        frames = [each.frame(grid, round_shift(each.shift)) for each in window]
        steps = run_window(self._network, frames, grid, pyramids)
        self._window = [
            replace(each, pyramid=each.pyramid or step.state.pyramid)
            for each, step in zip(window, steps, strict=True)
        ]
        return steps[-1]


def run_window(
    network: SpaxNetwork, frames: Sequence[Tensor], grid: Grid, known_pyramids: Sequence[Pyramid | None] = ()
) -> list[StepOutput]:
    """Run a network through a window of frames from an empty state; return all steps.

    Args:
        network: network of any variant.
        frames: frames as network input, oldest first.
        grid: pixels of all frames.
        known_pyramids: fused features of the first frames, which are not computed again; None: not known.
    """
    steps: list[StepOutput] = []
    state: NetworkState | None = None
    for index, frame in enumerate(frames):
        known_pyramid = known_pyramids[index] if index < len(known_pyramids) else None
        steps.append(network.step(frame, grid, state, known_pyramid))
        state = steps[-1].state
    return steps


def make_memory(network: SpaxNetwork) -> Memory:
    """Return the memory that a network's configuration names, at the beginning of a sequence."""
    return SlidingWindow(network) if network.config.memory == "window" else CarriedState(network)


def round_shift(shift: FloatShift) -> Shift:
    """Round a shift to whole pixels."""
    return np.round(shift).astype(np.int64)
