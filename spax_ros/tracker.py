"""Tracking of every moving object in satellite video: motion mask, sparse network, peaks, association."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks
from spax_ros.association.motion_evidence import MotionEvidence
from spax_ros.association.spectra import compute_box_spectra
from spax_ros.decoding import MAX_PEAKS, Detections, decode_peaks
from spax_ros.inference import Inference, PyTorchInference, load_inference
from spax_ros.motion.mask import MotionMask, MotionResult, MotionSettings, Registration
from spax_ros.network.config import SpaxConfig
from spax_ros.network.grid import Grid, Shift, compute_center_shift
from spax_ros.preprocessing import (
    BrightnessFollower,
    BrightnessRange,
    PixelEncoder,
    check_image,
    compute_panchromatic,
    is_cube,
    to_gray,
    to_uint8,
)
from spax_ros.sparse.grid import TILE_PX, SparseGrid
from spax_ros.sparse.tile_budget import (
    MAX_TILES,
    count_active_tiles,
    round_to_bucket,
    select_strongest_tiles,
)
from spax_ros.weights import LoadedModel, load_spax
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import FrameRefusedError, ModelError
from tracking_runtime.timing import StageTimes

SIZE_TOLERANCE_PX = 8  # rows and columns by which frames of a stream may differ
MAX_LOAD_LEVEL = 3
MIN_BRIGHTNESS_RANGE = 4  # gray levels, 0 to 255; an image with a smaller range shows nothing
_HEAT_ENERGY = 100  # energy of a pixel of heat 1, in units of contrast; objects go before other motion

_WARM_UP_FRAMES = 3
_WARM_UP_SIZE = (256, 256)
_WARM_UP_INTERVAL_NS = 10**8


@dataclass(frozen=True)
class TrackerSettings:
    """Settings of the tracker.

    Attributes:
        motion: settings of the motion mask.
        association: settings of the association.
        max_overlap: IoU above which the weaker of two detections is removed.
        max_detections: detections of a frame, at most `MAX_PEAKS`.
        min_score: score below which detections are removed.
        max_tiles: active tiles of 8 x 8 pixels in a frame. The tiles of most energy stay. Lower bounds the
            time of a frame.
    """

    motion: MotionSettings = field(default_factory=MotionSettings)
    association: AssociationSettings = field(
        default_factory=lambda: AssociationSettings(
            low_score=0.25,
            new_score=0.35,
            max_coasting_frames=30,
            certain_score=0.4,
            is_class_aware=False,
            evidence=MotionEvidence(),
            spectral_weight=0.4,
        )
    )
    max_overlap: float = 0.4
    max_detections: int = MAX_PEAKS
    min_score: float = 0.1
    max_tiles: int = MAX_TILES


@dataclass(frozen=True)
class NetworkDetections:
    """Detections of the network in one frame.

    Attributes:
        detections: detections before non-maximum suppression.
        heat_map: probability of an object in each pixel, ``(height, width)`` float32.
        operations: multiply-accumulate operations of the network; 0 if an engine ran it.
        active_fraction: fraction of the pixels that the network computed.
    """

    detections: Detections
    heat_map: NDArray[np.float32]
    operations: int
    active_fraction: float


@dataclass(frozen=True)
class TrackingResult:
    """Tracks of one frame, and the intermediate results of the tracker.

    Attributes:
        tracks: tracks that reach into the image, with their boxes clipped to it.
        detections: detections of the frame.
        motion_mask: active pixels, ``(height, width)`` bool.
        heat_map: probability of an object in each pixel, ``(height, width)`` float32.
        active_fraction: fraction of the pixels that the network computed.
        is_saturated: True if more moved than may be active.
        camera_motion: homography ``(3, 3)`` from the previous frame's pixels to this frame's.
        operations: multiply-accumulate operations of the network; 0 if an engine ran it.
        warning: fault of the image, for users; empty if none was found.
        brightness: values of the pixels that were taken for black and white.
    """

    tracks: Tracks
    detections: Detections
    motion_mask: NDArray[np.bool_]
    heat_map: NDArray[np.float32]
    active_fraction: float
    is_saturated: bool
    camera_motion: NDArray[np.float64]
    operations: int
    warning: str
    brightness: BrightnessRange


@dataclass(frozen=True)
class _StreamFormat:
    """Format of a stream's images, by its first image."""

    height: int
    width: int


@dataclass(frozen=True)
class _PreviousFrame:
    """Results of a frame that the next one needs."""

    gray: NDArray[np.uint8]
    heat_map: NDArray[np.float32]
    detections: Detections


@dataclass(frozen=True)
class _FrameObjects:
    """Objects of a frame before the association.

    Attributes:
        gray: image in gray levels.
        motion: result of the motion mask.
        mask: active pixels that the network computed.
        network_detections: detections before non-maximum suppression.
        detections: detections after it.
        is_saturated: True if more moved than may be active.
    """

    gray: NDArray[np.uint8]
    motion: MotionResult
    mask: NDArray[np.bool_]
    network_detections: NetworkDetections
    detections: Detections
    is_saturated: bool


@dataclass(frozen=True)
class PreparedImage:
    """An image with results that do not depend on the frame in progress; see `SpaxTracker.prepare`.

    Attributes:
        image: image as in `SpaxTracker.track`.
        gray: image in gray levels.
        registration: registration to the previous frame; None: it is registered later.
    """

    image: NDArray[np.uint8]
    gray: NDArray[np.uint8]
    registration: Registration | None


class SpaxTracker:
    """Tracker of every moving object in a stream of images of one size.

    Args:
        model: model of the network.
        settings: settings of the tracker; None: the defaults.
        times: durations of the stages; None: new ones.
        inference: inference of the model's network; None: PyTorch.

    Attributes:
        model: model of the network.
        inference: inference of the network.
        max_load_level: highest load level.
        size_tolerance_px: rows and columns by which frames of a stream may differ.
    """

    max_load_level: int = MAX_LOAD_LEVEL
    size_tolerance_px: int = SIZE_TOLERANCE_PX

    def __init__(
        self,
        model: LoadedModel,
        settings: TrackerSettings | None = None,
        times: StageTimes | None = None,
        inference: Inference | None = None,
    ) -> None:
        self.model = model
        self.inference = inference or PyTorchInference(model.network)
        self._settings = settings or TrackerSettings()
        self._times = times or StageTimes()
        self._load_level = 0
        needs_accumulation = self.model.pixel_encoder.needs_accumulation
        self._motion_mask = MotionMask(
            replace(self._settings.motion, accumulates=True) if needs_accumulation else self._settings.motion
        )
        self._association = GaussianTracker(self._settings.association)
        self.reset()

    @property
    def engine_description(self) -> str:
        """Name of the engine that runs the network, its device and its precision."""
        return self.inference.description

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the class ids."""
        return self.model.config.classes

    @property
    def times(self) -> StageTimes:
        """Durations of the stages mask, engine, peaks and associate."""
        return self._times

    def reset(self) -> None:
        """Delete all tracks and the background; the next frame may have another size."""
        self._motion_mask.reset()
        self._association.reset()
        self._stream = self.inference.start_stream()
        self._format: _StreamFormat | None = None
        self._brightness = BrightnessFollower()
        self._raw_image: NDArray[Any] | None = None  # newest image, if not uint8
        self._previous: _PreviousFrame | None = None

    def warm_up(self) -> None:
        """Run the network on frames of noise. The first runs of an engine take longer than the following.

        Tracks, background and times of this tracker do not change.
        """
        tracker = SpaxTracker(self.model, self._settings, inference=self.inference)
        rng = np.random.default_rng(0)
        for index in range(_WARM_UP_FRAMES):
            tracker.track(rng.integers(0, 255, _WARM_UP_SIZE, np.uint8), index * _WARM_UP_INTERVAL_NS)

    def set_load_level(self, level: int) -> None:
        """Set the load level: the network computes 1 of every 2^level active tiles, those of most energy.

        Args:
            level: load level from 0 (all active tiles) to `max_load_level`.
        """
        self._load_level = level

    def copy_state_from(self, other: SpaxTracker) -> None:
        """Continue with the tracks and the background of another tracker, without its recurrent state.

        Raises:
            ModelError: the models have different classes.
        """
        if other.class_names != self.class_names:
            raise ModelError(
                f"both models must have the same classes: {self.model.name} has {self.class_names}, "
                f"{other.model.name} has {other.class_names}"
            )
        self.reset()
        self._motion_mask = other._motion_mask
        self._association = other._association
        self._format = other._format
        self._brightness = other._brightness
        self._raw_image = other._raw_image
        self._previous = other._previous

    def prepare(self, image: NDArray[Any]) -> PreparedImage | None:
        """Prepare an image that `track` gets next. Another thread may call this during `track`.

        Args:
            image: image as in `track`.

        Returns:
            Argument of `track`, whose result does not depend on it; None if the image cannot be prepared.
        """
        stream_format = self._format
        if stream_format is None or image.dtype != np.uint8 or is_cube(image):
            return None
        if image.shape[:2] != (stream_format.height, stream_format.width):
            return None
        gray = to_gray(to_uint8(image))
        return PreparedImage(image, gray, self._motion_mask.register_ahead(gray))

    def track(
        self, image: NDArray[Any], stamp_ns: int, prepared: PreparedImage | None = None
    ) -> TrackingResult:
        """Track in the next frame.

        Args:
            image: image ``(H, W)``, or ``(H, W, C)`` with blue, green, red, and perhaps a fourth channel that
                is left out; uint8, uint16 or float32. The mean of a cube of 5 or more bands is searched, and
                its spectra tell look-alikes apart. The range of uint16 and float32 follows the stream:
                when it changes, the background starts anew, and the tracks stay.
            stamp_ns: time stamp of the frame in nanoseconds.
            prepared: result of `prepare` for this image, which saves time; None: none.

        Raises:
            FrameRefusedError: the image has another shape or type, or differs by more than
                `size_tolerance_px` in size from the frames before. Smaller differences, as in stabilized
                video, are cropped or padded.
        """
        cube = image if is_cube(image) else None
        if cube is not None:
            image = compute_panchromatic(cube)
        previous_gray = None if self._previous is None else self._previous.gray
        range_before = self._brightness.range
        frame = self._prepare_image(image)
        has_new_range = self._brightness.range != range_before and self._raw_image is not None
        if has_new_range:
            self._restart_background()
        if image.dtype != np.uint8:
            self._raw_image = np.array(image)

        # Steps 1 and 2: active pixels, and the network's detections in them.
        is_prepared = prepared is not None and prepared.image is image
        objects = self._find_objects(frame, prepared if is_prepared else None)

        # Step 3: tracks.
        detections, motion, network_detections = (
            objects.detections,
            objects.motion,
            objects.network_detections,
        )
        with self._times.measure("associate"):
            tracks = self._association.update(
                detections.boxes,
                detections.scores,
                detections.class_ids,
                stamp_ns,
                camera_motion=motion.transform,
                spectra=None if cube is None else compute_box_spectra(cube, detections.boxes),
            )
            tracks = tracks.clip_to_image(frame.shape[1], frame.shape[0])

        if has_new_range:
            warning = describe_range_change(range_before, self._brightness.range)
        else:
            warning = find_image_warning(objects.gray, previous_gray, is_saturated=objects.is_saturated)
        return TrackingResult(
            tracks=tracks,
            detections=detections,
            motion_mask=objects.mask,
            heat_map=network_detections.heat_map,
            active_fraction=network_detections.active_fraction,
            is_saturated=objects.is_saturated,
            camera_motion=motion.transform,
            operations=network_detections.operations,
            warning=warning,
            brightness=self._brightness.range,
        )

    def _prepare_image(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the image with 8 bits and of the stream's size, and follow the stream's brightness range.

        The first image sets the size.
        """
        check_image(image)
        height, width = image.shape[:2]
        if self._format is not None:
            check_size(width, height, self._format.width, self._format.height)
        self._format = self._format or _StreamFormat(height, width)
        self._brightness.update(image)
        return self._convert_image(image, self._format)

    def _convert_image(self, image: NDArray[Any], stream_format: _StreamFormat) -> NDArray[np.uint8]:
        """Return an image with 8 bits in the brightness range in force, of the stream's size."""
        brightness = self._brightness.range
        image = to_uint8(image, brightness.white, brightness.black)
        return crop_or_pad(image, stream_format.height, stream_format.width)

    def _restart_background(self) -> None:
        """Start the background anew with the previous image in the new brightness range."""
        self._motion_mask.reset()
        self._stream = self.inference.start_stream()
        self._previous = None
        if self._raw_image is not None and self._format is not None:
            self._find_objects(self._convert_image(self._raw_image, self._format))

    def _find_objects(self, image: NDArray[np.uint8], prepared: PreparedImage | None = None) -> _FrameObjects:
        """Find the active pixels of the next frame, and objects in them. The next frame needs the result."""
        gray = to_gray(image) if prepared is None else prepared.gray
        with self._times.measure("mask"):
            motion = self._find_motion(gray, None if prepared is None else prepared.registration)
            num_active_tiles = count_active_tiles(motion.mask, TILE_PX)
            mask = self._limit_tiles(motion, num_active_tiles)
        has_colors = self.model.config.inputs == "bgr"
        network_detections = self._detect(image if has_colors else gray, motion, mask)
        detections = suppress_non_maxima(network_detections.detections, self._settings.max_overlap)
        self._previous = _PreviousFrame(gray, network_detections.heat_map, detections)
        is_saturated = motion.is_saturated or num_active_tiles > self._settings.max_tiles
        return _FrameObjects(gray, motion, mask, network_detections, detections, is_saturated)

    def _find_motion(self, gray: NDArray[np.uint8], registration: Registration | None) -> MotionResult:
        if self._previous is None:
            return self._motion_mask.update(gray, registration=registration)
        detections = self._previous.detections
        is_confident = detections.scores >= self._settings.association.new_score
        return self._motion_mask.update(
            gray, self._previous.heat_map, detections.boxes[is_confident], registration
        )

    def _limit_tiles(self, motion: MotionResult, num_active_tiles: int) -> NDArray[np.bool_]:
        """Return the mask, without its weakest tiles if the load level or the settings permit fewer."""
        max_tiles = min(self._settings.max_tiles, -(-num_active_tiles >> self._load_level))
        if num_active_tiles <= max_tiles:
            return motion.mask
        energy = motion.residual
        if self._previous is not None:
            energy = energy + _HEAT_ENERGY * self._previous.heat_map
        return select_strongest_tiles(motion.mask, energy, TILE_PX, max_tiles)

    @torch.inference_mode()
    def _detect(
        self,
        image: NDArray[np.uint8],
        motion: MotionResult,
        mask: NDArray[np.bool_],
    ) -> NetworkDetections:
        """Run the network on the active pixels of a frame."""
        with self._times.measure("engine"):
            height, width = mask.shape
            grid = make_sparse_grid(mask, self.model.config, self._stream.choose_capacity)
            frame = partial(make_network_input, self.model.pixel_encoder, image, motion)
            shift = compute_center_shift(motion.transform, height, width)
            output = self._stream.step(frame, grid, shift[None])
        with self._times.measure("peaks"):
            heat_map = np.zeros(mask.shape, np.float32)
            heat_map[grid.positions] = output.mask[:, 0].numpy()[grid.active_rows]
            peaks = output.peaks.keep_best(self._settings.max_detections)
            detections = decode_peaks(peaks, grid, self._settings.min_score)
        return NetworkDetections(detections, heat_map, grid.operations, np.count_nonzero(mask) / mask.size)


def describe_range_change(before: BrightnessRange, after: BrightnessRange) -> str:
    """Return a warning about a changed brightness range, for users."""
    change = f"from {before.black:g}..{before.white:g} to {after.black:g}..{after.white:g}"
    kind = "were clipped" if _get_span(after) > _get_span(before) else "used a small part of the range"
    return (
        f"pixels {kind}: the range of brightness was changed {change} and the background started anew; "
        "did the exposure change?"
    )


def _get_span(brightness: BrightnessRange) -> float:
    return brightness.white - brightness.black


def find_image_warning(
    gray: NDArray[np.uint8], previous: NDArray[np.uint8] | None, *, is_saturated: bool
) -> str:
    """Return a warning about a faulty image, for users; empty if no fault is found.

    Args:
        gray: image in gray levels.
        previous: previous image; None: there was no previous image.
        is_saturated: True if more moved than may be active.
    """
    if int(gray.max()) - int(gray.min()) < MIN_BRIGHTNESS_RANGE:
        return "the image has one brightness: is the lens covered, or the sensor over- or underexposed?"
    if previous is not None and np.array_equal(gray, previous):
        return "the image equals the previous one: is the camera frozen?"
    if is_saturated:
        return (
            "more moves than may be active, only the strongest is kept: clouds, a flash, or a camera that "
            "turns, zooms or looks aslant (which needs the profile drone)?"
        )
    return ""


def suppress_non_maxima(detections: Detections, max_overlap: float) -> Detections:
    """Remove the weaker of two detections that overlap. A large object has several peaks.

    Args:
        detections: detections of a frame.
        max_overlap: IoU above which the weaker detection is removed.
    """
    boxes, scores = detections.boxes, detections.scores
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, max_overlap)
    indices = np.asarray(kept, np.int64).reshape(-1)
    return Detections(boxes[indices], scores[indices], detections.class_ids[indices])


def make_sparse_grid(
    mask: NDArray[np.bool_], config: SpaxConfig, choose_capacity: Callable[[int], int] = round_to_bucket
) -> SparseGrid:
    """Make the grid of an image's active pixels.

    Args:
        mask: active pixels ``(H, W)`` of an image of any size.
        config: configuration of the network.
        choose_capacity: function from the number of active tiles to the tile capacity.
    """
    multiple = max(config.size_multiple, TILE_PX)
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % multiple), (0, -width % multiple)))
    return SparseGrid(padded[None], config.num_levels, TILE_PX, choose_capacity)


def make_network_input(
    encoder: PixelEncoder,
    image: NDArray[np.uint8],
    motion: MotionResult,
    grid: Grid,
    shift: Shift,
) -> torch.Tensor:
    """Return a frame as network input, ``(rows, C)``: a `FrameSampler` with its first arguments bound.

    Args:
        encoder: encoder of the pixels.
        image: image of the frame.
        motion: motion of the frame.
        grid: sparse grid of a later frame, or of this one.
        shift: the pixel (y, x) of the grid is at (y, x) + shift in the frame, ``(1, 2)``.
    """
    assert isinstance(grid, SparseGrid)
    height, width = motion.residual.shape
    y, x = (positions + step for positions, step in zip(grid.positions, shift[0], strict=True))
    if not shift.any():
        values = encoder.encode_pixels(image, motion.residual, y * width + x, motion.accumulated)
        return grid.scatter_active(torch.from_numpy(values))
    is_inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    pixels = np.where(is_inside, y * width + x, 0)
    values = encoder.encode_pixels(image, motion.residual, pixels, motion.accumulated)
    values[~is_inside] = 0
    return grid.scatter_active(torch.from_numpy(values))


def check_size(width: int, height: int, stream_width: int, stream_height: int) -> None:
    """Check that an image differs by a few pixels at most from the size of its stream.

    Raises:
        FrameRefusedError: the sizes differ by more than `SIZE_TOLERANCE_PX`.
    """
    if max(abs(stream_height - height), abs(stream_width - width)) > SIZE_TOLERANCE_PX:
        raise FrameRefusedError(
            f"all images of a stream must have one size: got {width} x {height} pixels "
            f"after {stream_width} x {stream_height}; reset the tracker for a stream of another size"
        )


def crop_or_pad(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Crop or pad an image at its right and lower border to a size that differs by a few pixels.

    Raises:
        FrameRefusedError: the sizes differ by more than `SIZE_TOLERANCE_PX`.
    """
    check_size(image.shape[1], image.shape[0], width, height)
    missing_rows, missing_columns = height - image.shape[0], width - image.shape[1]
    if not missing_rows and not missing_columns:
        return image
    border = [(0, max(missing_rows, 0)), (0, max(missing_columns, 0)), (0, 0)][: image.ndim]
    return np.pad(image, border, mode="edge")[:height, :width]


def load_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    settings: TrackerSettings | None = None,
    times: StageTimes | None = None,
    *,
    engine_settings: EngineSettings | None = None,
    executor: Executor | None = None,
) -> SpaxTracker:
    """Load a model and return its tracker.

    Args:
        name_or_path: name of a model, or path of its manifest.
        engine: name of an engine; ``auto``: the fastest that works on this machine.
        settings: settings of the tracker; None: the defaults.
        times: durations of the stages; None: new ones.
        engine_settings: precision and threads; `engine` replaces its engine.
        executor: executor that builds engines while frames are tracked; None: frames wait for the builds.

    Raises:
        ModelError: the model cannot be loaded, or runs on PyTorch only.
        EngineError: the engine is unknown or does not work on this machine.
    """
    model = load_spax(name_or_path)
    requested = replace(engine_settings or EngineSettings(), engine=engine)
    return SpaxTracker(model, settings, times, load_inference(model, requested, executor))
