"""Models in int8: calibrated on what a tracker gives its networks in a video, and judged on another.

Networks with random weights, which are there to be timed, are calibrated on noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.engines import openvino
from tracking_runtime.engines.base import EngineError, Graph
from tracking_runtime.engines.input_capture import Inputs, observed
from tracking_runtime.engines.model_graphs import Networks
from tracking_runtime.engines.verification import realistic_inputs
from tracking_runtime.evaluation.replay import find_tracker, replay
from tracking_runtime.evaluation.video_scores import score_video
from tracking_runtime.frames import Frame
from tracking_runtime.io.sources import open_source
from tracking_runtime.spectral_info import SpectralInfo

SAMPLES = 64

_NOISE = {"calibration": "noise"}
_NOISES = 6


@dataclass(frozen=True)
class Excerpt:
    """The first frames of a source, as a video that is held in memory."""

    name: str
    rate_hz: float
    class_names: tuple[str, ...]
    spectral_info: SpectralInfo | None
    frames: tuple[Frame, ...]
    attributes: tuple[str, ...] = ()

    @property
    def truth(self) -> Truths:
        """What is in each frame."""
        return [frame.truth for frame in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


def excerpt(address: str, frames: int) -> Excerpt:
    """So many frames of a source.

    Args:
        address: as the player takes it: ``scene:hyperspectral?seed=1``, a folder or a bag.
        frames: at most.

    Raises:
        SourceError: it cannot be opened.
    """
    source = open_source(address)
    taken = tuple(islice(source, frames))
    return Excerpt(source.name, source.rate_hz, source.class_names, source.spectral_info, taken)


def track(networks: Networks, model: str, video: Excerpt, engine: str) -> dict[str, float]:
    """Run the model's tracker over a video; returns its figures.

    Raises:
        SourceError: the video does not suit the tracker.
        EngineError: the engine cannot run it.
    """
    tracker = find_tracker(networks.manifest.architecture)(model, engine)
    replayed = replay(tracker, video)
    truth = video.truth[replayed.first :]
    return dict(score_video(video.name, truth, replayed.answer).figures)


def watch(networks: Networks, model: str, video: Excerpt) -> Mapping[str, list[Inputs]]:
    """What each of a model's graphs is given while PyTorch tracks through a video. Raises as ``track``."""
    with observed(SAMPLES) as seen:
        track(networks, model, video, "pytorch:float32")
    return seen


def samples_for(graph: Graph, seen: Mapping[str, Sequence[Inputs]]) -> list[Inputs]:
    """Inputs of a graph's shapes; for several targets at once made of those for one.

    Raises:
        EngineError: the tracker never ran this graph, nor it for one target.
    """
    wanted = [tuple(example.shape) for example in graph.examples]
    for samples in seen.values():
        given = [array.shape for array in samples[0]]
        if len(given) != len(wanted) or [s[1:] for s in given] != [s[1:] for s in wanted]:
            continue
        batch = wanted[0][0] // given[0][0]
        groups = [samples[start : start + batch] for start in range(0, len(samples) - batch + 1, batch)]
        if groups:
            return [tuple(map(np.concatenate, zip(*group, strict=True))) for group in groups]
    raise EngineError(f"{graph.name} was not run in the calibration: take more frames, or one with a target")


def run_by_engines(graphs: Iterable[Graph]) -> list[Graph]:
    """The graphs that engines run in int8 in these graphs' place, each once: those for single items."""
    return _distinct(graph.single or graph for graph in graphs)


def all_calibrated(graphs: Sequence[Graph]) -> list[Graph]:
    """What engines run in these graphs' place, and these graphs themselves, which exported files hold."""
    return _distinct([*run_by_engines(graphs), *graphs])


def _distinct(graphs: Iterable[Graph]) -> list[Graph]:
    return list({graph.name: graph for graph in graphs}.values())


def calibrate_on_noise(graphs: Sequence[Graph]) -> None:
    """Make int8 networks for engines of graphs that no video suits, where this can be and is not done yet."""
    if openvino.uncalibratable(graphs) is not None:
        return
    for graph in run_by_engines(graphs):
        if openvino.quantised_facts(graph) != _NOISE:
            openvino.quantise(graph, [realistic_inputs(graph, seed) for seed in range(_NOISES)])
            openvino.describe_quantised(graph, _NOISE)
