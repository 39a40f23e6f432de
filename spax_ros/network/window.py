"""SPAX as published: a window of frames at every step, its gated units run over all of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from torch import Tensor

from spax_ros.network.grid import Grid
from spax_ros.network.network import Pyramid, SpaxNetwork, State, Step


def run_window(
    network: SpaxNetwork, frames: Sequence[Tensor], grid: Grid, known: Sequence[Pyramid | None] = ()
) -> list[Step]:
    """The steps through a window from a fresh state.

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


class SlidingWindow:
    """Test time as published: the window moves on by a frame.

    Earlier frames keep the features of when they were new. Before there are enough frames the first is
    repeated.
    """

    def __init__(self, network: SpaxNetwork) -> None:
        self._network = network
        self._frames: deque[Tensor] = deque(maxlen=network.config.window)
        self._known: list[Pyramid] = []

    def step(self, frame: Tensor, grid: Grid) -> list[Step]:
        """The steps through the window that ends with this frame."""
        length = self._network.config.window
        self._frames.extend([frame] if self._frames else [frame] * length)
        steps = run_window(self._network, list(self._frames), grid, self._known[1:])
        self._known = [step.state.pyramid for step in steps]
        return steps
