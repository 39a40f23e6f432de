"""Fit of the numbers in a tracker's model to labeled videos, so that a score is a probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.benchmark.videos import SimulatedVideo
from hsi_tracker_ros.cubes.decoder import make_decoder
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.weights import find_color_network, load_network
from hsi_tracker_ros.tracker import (
    HsiTracker,
    load_rgb_tracker,
    load_tracker,
    make_rgb_settings,
    make_tracker_settings,
)
from hsi_tracker_ros.tracker.confidence import is_same_object
from hsi_tracker_ros.tracker.target import SearchState
from hsi_tracker_ros.tracker.tracker import SearchResult
from hsi_tracker_ros.training.fitted_models import FitResult, find_first_visible, save_fitted_model
from hsi_tracker_ros.training.target_model_fitting import (
    LabeledFrame,
    LabeledVideo,
    fit_target_model,
    predict_scores,
)
from tracking_runtime.boxes import as_boxes, intersection_over_union
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.evaluation.reliability import Reliability, combine_reliabilities, count_reliability
from tracking_runtime.evaluation.video_scores import find_target_boxes
from tracking_runtime.models.manifest import check_name_is_free, find_model, read_manifest
from tracking_runtime.spectral_info import SpectralInfo

_REDETECTION_INTERVAL = 4  # frames between two searches for a target in view as if it were lost
_MAX_PROGRESS = 40  # frames and regions of the search from which these searches are drawn
_FIRST_SEED = 700_000  # of the simulated scenes; a training seed
_NUM_FOLDS = 5  # parts of the videos, each of which is scored by a fit to the others


@dataclass(frozen=True)
class TrackedVideo:
    """Video with its frames as a tracker saw them.

    Attributes:
        labeled: candidates of the frames with their ground truth.
        scores: scores of the tracker, (frames,).
    """

    labeled: LabeledVideo
    scores: NDArray[np.float64]

    @property
    def overlaps(self) -> NDArray[np.float64]:
        """Overlap of the best candidate of each frame, (frames,)."""
        return np.array([frame.best_overlap for frame in self.labeled.frames])


def track_labeled_video(tracker: HsiTracker, video: VideoSequence) -> TrackedVideo:
    """Track the target of a video from its first visible frame on, and label all candidates.

    Every few frames the target is also searched as if it were lost, which adds candidates far from it.

    Args:
        tracker: tracker of frames of this kind, without targets that matter.
        video: video with one target.

    Raises:
        SourceError: the video cannot be read or never shows its target.
    """
    decoder = make_decoder(video.spectral_info)
    rng = np.random.default_rng(0)
    tracker.reset()
    truth = find_target_boxes(video.truth)
    first = find_first_visible(video, truth)
    frames: list[LabeledFrame] = []
    redetections: list[LabeledFrame] = []
    scores: list[float] = []
    last: SearchResult | None = None
    target_id = 0
    for index, frame in enumerate(video):
        if index < first:
            continue
        image = decoder.decode(frame.image, frame.encoding)
        if index == first:
            target_id = tracker.set_target(image, truth[first], stamp_ns=frame.stamp_ns)
            continue
        if index % _REDETECTION_INTERVAL == 0 and tracker.settings.redetection_crops:
            progress = SearchState(*rng.integers(0, _MAX_PROGRESS, 2).tolist())
            redetections.append(
                _label_search(tracker.search_as_lost(image, target_id, progress), None, truth[index])
            )
        (state,) = tracker.track(image, frame.stamp_ns)
        result = tracker.last_search
        assert result is not None, "the only target has been searched"
        frames.append(_label_search(result, last, truth[index]))
        scores.append(state.score)
        last = result
    return TrackedVideo(LabeledVideo(video.name, frames, redetections), np.array(scores, np.float64))


def _label_search(
    result: SearchResult, last: SearchResult | None, truth: NDArray[np.float64]
) -> LabeledFrame:

    def compute_overlaps(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        if not np.isfinite(truth).all():
            return np.zeros(len(boxes))
        return intersection_over_union(boxes, truth)[:, 0]

    return LabeledFrame(
        features=result.features,
        overlaps=compute_overlaps(result.boxes),
        best_features=result.best_features,
        best_overlap=float(compute_overlaps(as_boxes(result.best.box))[0]),
        is_lost=result.is_lost,
        continues=last is not None and is_same_object(result.best.box, last.best.box),
        is_at_border=result.is_at_border,
    )


@dataclass(frozen=True)
class FitTrackerOptions:
    """Options of `fit_tracker`.

    Attributes:
        model: name or path of a model.
        data: videos with one target each: cubes for a HA-Net, color images for other models.
        name: name of the fitted model.
        simulated: number of simulated scenes beside these videos, of seeds that are for training; only for a
            HA-Net.
        models: folder that this model is written to.
        engine: engine that runs the model.
    """

    model: str
    data: tuple[Path, ...]
    name: str
    simulated: int = 0
    models: Path = Path("models")
    engine: str = "auto"


def fit_tracker(options: FitTrackerOptions, on_progress: Callable[[int, int], None]) -> FitResult:
    """Fit the score of a model's tracker to videos and write a model with the same weights.

    Args:
        options: model, videos and output.
        on_progress: called with the numbers of finished videos and of all videos.

    Raises:
        ModelError: the model cannot be loaded or fitted, or a model of this name exists.
        SourceError: the videos cannot be used.
        EngineError: no engine works.
    """
    check_name_is_free(options.models, options.name)
    manifest = read_manifest(find_model(options.model))
    network = load_network(options.model)
    videos = [video for path in options.data for video in open_dataset(path)]
    videos += _make_simulated_videos(network, options)
    if not videos:
        raise SourceError("the tracker must be fitted to videos: got none; give --data or --simulated")
    tracked = []
    for video in _track_videos(options, network, videos):
        tracked.append(video)
        on_progress(len(tracked), len(videos))

    labeled = [video.labeled for video in tracked]
    target_model = fit_target_model(labeled)
    held_out = combine_reliabilities(list(_score_held_out(tracked)))
    fitted_network = network if isinstance(network, HANet) else find_color_network(network)
    tracking = {**fitted_network.config.tracking, "target_model": round_numbers(asdict(target_model))}
    fitted_network.config = replace(fitted_network.config, tracking=tracking)
    training: dict[str, Any] = {"tracker_fitted_to": [video.name for video in labeled]}
    if sum(held_out.counts):
        training["expected_calibration_error_held_out"] = round(held_out.expected_calibration_error, 4)
    path = save_fitted_model(options.models, options.name, fitted_network, manifest, training)
    before = combine_reliabilities([count_reliability(video.scores, video.overlaps) for video in tracked])
    return FitResult(path, before, held_out)


def round_numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Return nested numbers with four significant digits, for a manifest that people read."""
    return {
        name: round_numbers(value) if isinstance(value, dict) else float(f"{value:.4g}")
        for name, value in values.items()
    }


def _make_simulated_videos(network: SiameseNetwork, options: FitTrackerOptions) -> list[VideoSequence]:
    if options.simulated and not isinstance(network, HANet):
        raise ModelError(
            f"simulated scenes are for models with a spectral branch: got {options.model}; give color videos "
            "by --data"
        )
    return [SimulatedVideo(_FIRST_SEED + index) for index in range(options.simulated)]


def _track_videos(
    options: FitTrackerOptions, network: SiameseNetwork, videos: Sequence[VideoSequence]
) -> Iterator[TrackedVideo]:
    """Track the target of each video with the tracker for its camera."""
    trackers: dict[SpectralInfo | None, HsiTracker] = {}
    for video in videos:
        camera = video.spectral_info if isinstance(network, HANet) else None
        if isinstance(network, HANet) and camera is None:
            raise SourceError(
                f"video {video.name} must have spectral bands: got none; a HA-Net is fitted to cubes, its "
                "color_model to color video"
            )
        if camera not in trackers:
            trackers[camera] = _load_tracker(options, network, camera)
        yield track_labeled_video(trackers[camera], video)


def _load_tracker(
    options: FitTrackerOptions, network: SiameseNetwork, camera: SpectralInfo | None
) -> HsiTracker:
    if camera is None:
        return load_rgb_tracker(options.model, options.engine, settings=make_rgb_settings(network))
    settings = make_tracker_settings(network.config)
    return load_tracker(options.model, options.engine, camera, settings=settings)


def _score_held_out(videos: Sequence[TrackedVideo]) -> Iterator[Reliability]:
    """Yield the reliability of the scores of parts of the videos, fitted to all other videos.

    A part is left out if the other videos have too few boxes of one kind for a fit.
    """
    for fold in range(min(_NUM_FOLDS, len(videos))):
        held_out = videos[fold::_NUM_FOLDS]
        others = [video.labeled for index, video in enumerate(videos) if index % _NUM_FOLDS != fold]
        try:
            model = fit_target_model(others)
        except SourceError:
            continue
        all_scores = predict_scores([video.labeled for video in held_out], model)
        for video, scores in zip(held_out, all_scores, strict=True):
            yield count_reliability(scores, video.overlaps)
