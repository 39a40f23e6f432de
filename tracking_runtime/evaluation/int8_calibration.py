"""Calibration of int8 models on one video, and the accuracy that they lose on another.

The ranges of numbers in int8 are those of the networks' inputs while a tracker runs over the calibration
video. Networks with random weights, which serve time measurements, are calibrated on noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.engines import openvino_int8
from tracking_runtime.engines.base import EngineError, Graph
from tracking_runtime.engines.input_capture import EngineInputs, capture_inputs
from tracking_runtime.engines.model_graphs import ModelGraphs
from tracking_runtime.engines.verification import make_realistic_inputs
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.replay import find_tracker, replay
from tracking_runtime.evaluation.video_scores import score_video
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.sources import calibrate_source, open_source
from tracking_runtime.spectral_info import SpectralInfo

MAX_SAMPLES = 64
"""Largest number of runs whose inputs calibrate a graph."""

NUM_TRACKING_STEPS = 3
"""Steps of `calibrate` in which the tracker runs; each graph adds one step."""

_NOISE_FACTS = {"calibration": "noise"}
_NUM_NOISE_SAMPLES = 6
_COLOR_CAMERA = "rgb"
_MAX_WAVELENGTH_DIFFERENCE_NM = 1.0  # of the same band in two descriptions of one camera


@dataclass(frozen=True)
class VideoExcerpt:
    """The first frames of a source, as a video in memory."""

    name: str
    rate_hz: float
    class_names: tuple[str, ...]
    spectral_info: SpectralInfo | None
    frames: tuple[Frame, ...]
    attributes: tuple[str, ...] = ()

    @property
    def truth(self) -> Truths:
        """Ground truth of each frame."""
        return [frame.truth for frame in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


@dataclass(frozen=True)
class CalibrationVideos:
    """Addresses of the videos of a calibration.

    Attributes:
        calibration: address of the frames that set the ranges of numbers, as the player takes it:
            `scene:hyperspectral?seed=1`, a folder or a bag.
        validation: address of the frames on which the accuracy is measured.
        num_frames: largest number of frames of each.
        camera: known camera, or `rgb`, that the graphs are made for; empty: that of the model.
    """

    calibration: str
    validation: str
    num_frames: int
    camera: str = ""


@dataclass(frozen=True)
class CalibrationAccuracy:
    """Metrics of a model's tracker on the validation video, by name.

    Attributes:
        float32: metrics in float32, on OpenVINO.
        int8: metrics in int8, on OpenVINO.
    """

    float32: dict[str, float]
    int8: dict[str, float]


def calibrate(
    model_graphs: ModelGraphs, model: str, videos: CalibrationVideos, report: Callable[[str], None]
) -> CalibrationAccuracy:
    """Calibrate a model's graphs and store each int8 network with its accuracy.

    Args:
        model_graphs: graphs of the model.
        model: name or path of the model.
        videos: videos to calibrate on and to measure the accuracy on.
        report: function that is called with a description at the start of each step. The number of steps is
            `NUM_TRACKING_STEPS` plus the number of `select_calibration_graphs`.

    Returns:
        metrics before and after.

    Raises:
        EngineError: the model cannot be calibrated.
        SourceError: a video cannot be opened, or the tracker cannot use it.
    """
    reason = openvino_int8.find_unavailable_reason(model_graphs.graphs)
    if reason is not None:
        raise EngineError(f"{model} cannot be calibrated: {reason}")
    graphs = select_calibration_graphs(model_graphs.graphs)
    report("tracking to calibrate")
    calibration_video = read_excerpt(videos.calibration, videos.num_frames, videos.camera)
    captured = capture_calibration_inputs(model_graphs, model, calibration_video)
    report("tracking in float32")
    validation_video = read_excerpt(videos.validation, videos.num_frames, videos.camera)
    float32_metrics = track_and_score(model_graphs, model, validation_video, "openvino:float32")
    samples = [select_samples(graph, captured) for graph in graphs]
    for graph, inputs in zip(graphs, samples, strict=True):
        report(f"calibrating {graph.name}")
        openvino_int8.quantize(graph, inputs)
    report("tracking in int8")
    int8_metrics = track_and_score(model_graphs, model, validation_video, "openvino:int8")
    facts = {
        "calibration": videos.calibration,
        "validation": videos.validation,
        "frames": videos.num_frames,
        "float32": float32_metrics,
        "int8": int8_metrics,
    }
    for graph in graphs:
        openvino_int8.write_quantization_facts(graph, facts)
    return CalibrationAccuracy(float32_metrics, int8_metrics)


def calibrate_on_noise(graphs: Sequence[Graph]) -> None:
    """Calibrate graphs of random weights on noise, unless this is impossible here or done already."""
    if openvino_int8.find_unavailable_reason(graphs) is not None:
        return
    for graph in select_engine_graphs(graphs):
        if openvino_int8.read_quantization_facts(graph) != _NOISE_FACTS:
            inputs = [make_realistic_inputs(graph, seed) for seed in range(_NUM_NOISE_SAMPLES)]
            openvino_int8.quantize(graph, inputs)
            openvino_int8.write_quantization_facts(graph, _NOISE_FACTS)


def read_excerpt(address: str, num_frames: int, camera: str = "") -> VideoExcerpt:
    """Read the first frames of a source.

    Args:
        address: address as the player takes it: `scene:hyperspectral?seed=1`, a folder or a bag.
        num_frames: largest number of frames.
        camera: known camera, or `rgb`, whose frames are expected; empty: any.

    Raises:
        SourceError: the source cannot be opened, or its bands are not those of the camera.
    """
    source = open_source(address)
    if camera:
        source = _open_as_camera(source, address, camera)
    frames = tuple(islice(source, num_frames))
    return VideoExcerpt(source.name, source.rate_hz, source.class_names, source.spectral_info, frames)


def _open_as_camera(source: FrameSource, address: str, camera: str) -> FrameSource:
    """Return the source with the bands of a camera, for which a network is made.

    Raises:
        SourceError: the source has other bands.
    """
    bands = source.spectral_info
    if camera == _COLOR_CAMERA:
        if bands is not None:
            raise SourceError(
                f"{address} must have color images for --camera {camera}: got {_describe_bands(bands)}; give "
                "color video, or the --camera of these frames"
            )
        return source
    decoded = calibrate_source(source, camera=camera)
    expected = decoded.spectral_info
    assert expected is not None, "the frames of a camera have bands"
    if bands is not None:
        differences = (
            np.subtract(bands.wavelengths_nm, expected.wavelengths_nm)
            if len(bands.wavelengths_nm) == len(expected.wavelengths_nm)
            else np.array([np.inf])
        )
        if np.abs(differences).max() > _MAX_WAVELENGTH_DIFFERENCE_NM:
            raise SourceError(
                f"{address} must have the bands of --camera {camera}: got {_describe_bands(bands)}, expected "
                f"{_describe_bands(expected)}; give frames of this camera, or the --camera of these frames"
            )
    return decoded


def _describe_bands(bands: SpectralInfo) -> str:
    first, last = min(bands.wavelengths_nm), max(bands.wavelengths_nm)
    return f"{len(bands.wavelengths_nm)} bands of {first:g} to {last:g} nm"


def track_and_score(
    model_graphs: ModelGraphs, model: str, video: VideoExcerpt, engine: str
) -> dict[str, float]:
    """Run the model's tracker over a video and return its metrics.

    Raises:
        SourceError: the tracker cannot use the video.
        EngineError: the engine cannot run the model.
    """
    tracker = find_tracker(model_graphs.manifest.architecture)(model, engine)
    replayed = replay(tracker, video)
    truth = video.truth[replayed.first_frame :]
    return dict(score_video(video.name, truth, replayed.prediction).metrics)


def capture_calibration_inputs(
    model_graphs: ModelGraphs, model: str, video: VideoExcerpt
) -> Mapping[str, list[EngineInputs]]:
    """Capture the inputs of each of a model's graphs while PyTorch tracks through a video.

    Raises:
        SourceError: the tracker cannot use the video.
        EngineError: PyTorch cannot run the model.
    """
    with capture_inputs(MAX_SAMPLES) as captured:
        track_and_score(model_graphs, model, video, "pytorch:float32")
    return captured


def select_samples(graph: Graph, captured: Mapping[str, Sequence[EngineInputs]]) -> list[EngineInputs]:
    """Select captured inputs of a graph's shapes. For a batched graph, group inputs of single items.

    Raises:
        EngineError: the tracker ran neither this graph nor its graph for one item.
    """
    shapes = [tuple(example.shape) for example in graph.examples]
    item_shapes = [shape[1:] for shape in shapes]
    for samples in captured.values():
        sample_shapes = [array.shape for array in samples[0]]
        if [shape[1:] for shape in sample_shapes] != item_shapes:
            continue
        num_grouped = shapes[0][0] // sample_shapes[0][0]
        starts = range(0, len(samples) - num_grouped + 1, num_grouped)
        groups = [samples[start : start + num_grouped] for start in starts]
        if groups:
            return [tuple(map(np.concatenate, zip(*group, strict=True))) for group in groups]
    raise EngineError(
        f"{graph.name} did not run in the calibration: set more --frames, or a --calibration with a target"
    )


def select_engine_graphs(graphs: Iterable[Graph]) -> list[Graph]:
    """Return the distinct graphs that engines run in int8, where a batch runs item by item."""
    return _remove_duplicates(graph.per_item_graph or graph for graph in graphs)


def select_calibration_graphs(graphs: Sequence[Graph]) -> list[Graph]:
    """Return the distinct graphs to calibrate: those that engines run, and those of exported files."""
    return _remove_duplicates([*select_engine_graphs(graphs), *graphs])


def _remove_duplicates(graphs: Iterable[Graph]) -> list[Graph]:
    return list({graph.name: graph for graph in graphs}.values())
