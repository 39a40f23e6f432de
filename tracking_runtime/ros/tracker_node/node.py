"""Base of both tracker nodes: the path of a frame from the camera's topic to the topic of the result."""

from __future__ import annotations

import gc
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future as ConcurrentFuture
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.subscription import Subscription
from remote_sensing_tracking.srv import ReloadModel
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from tracking_runtime.errors import FrameRefusedError, ModelError
from tracking_runtime.messages.image_encodings import decode_image
from tracking_runtime.models.signatures import set_required
from tracking_runtime.ros.conversions import image_messages
from tracking_runtime.ros.conversions.track_messages import FrameMetadata, to_nanoseconds
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import (
    BESIDES_ENGINE,
    Diagnosis,
    DiagnosticLevel,
    Value,
    make_stage_values,
)
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import expand_path
from tracking_runtime.ros.node.process_memory import free_unused_memory
from tracking_runtime.ros.tracker_node.background_loader import CLEANED_UP, BackgroundLoader, PendingResults
from tracking_runtime.ros.tracker_node.frame_counters import FrameCounters
from tracking_runtime.ros.tracker_node.health import describe_overload, describe_slow_frames, find_warning
from tracking_runtime.ros.tracker_node.image_stream import ImageFormat, ImageStream
from tracking_runtime.ros.tracker_node.load_shedding import LoadShedder
from tracking_runtime.ros.tracker_node.parameters import TrackerNodeParameters
from tracking_runtime.ros.tracker_node.supervision import PERIOD_S, FrameLimits, compute_frame_limits
from tracking_runtime.ros.tracker_node.worker import (
    NO_LIMIT,
    WorkerBusyError,
    find_current,
    require_current,
)
from tracking_runtime.ros.tracker_node.worker_supervisor import WorkerSupervisor
from tracking_runtime.timing import StageTimes

_JOB_TIMEOUT_S = 10.0  # time that a service waits for the worker
_RECENTLY_S = 5.0  # time that a fault stays in the diagnostics; shortest time between two equal log lines
_REMINDER_S = 30.0  # time between two log lines of a warning that persists
_ENGINE_STAGE = "engine"  # stage in which the trackers run their network
_RECENT_FRAMES = 3  # frames from which an overload is known at once


class NodeTracker(Protocol):
    """Interface of a tracker that a node runs.

    Attributes:
        max_load_level: highest load level; 0 if the tracker cannot shed load.
        size_tolerance_px: rows and columns by which frames of one stream may differ.
    """

    max_load_level: int
    size_tolerance_px: int

    def reset(self) -> None:
        """Delete all targets or tracks."""

    def set_load_level(self, level: int) -> None:
        """Set the load level, from 0 (full work) to `max_load_level`."""

    def copy_state_from(self, other: Any) -> None:
        """Continue with the targets or tracks of another tracker of this kind."""


P = TypeVar("P", bound=TrackerNodeParameters)
T = TypeVar("T", bound=NodeTracker)
R = TypeVar("R")
J = TypeVar("J")


@dataclass(frozen=True)
class _ReceivedImage:
    """Image with the monotonic time at which the callback received it."""

    message: Image | CompressedImage
    received_ns: int


@dataclass
class _Configuration:
    """State of a node from one configuration to the next. Diagnostics show it also after a clean-up.

    Attributes:
        loader: thread that loads models.
        supervisor: supervisor of the thread that tracks.
        counters: counts of the frames.
        model: name or path of the current model.
        tracker_index: index of the tracker at work: 0 for the model, 1 for the light model.
        stream: stamps, format and epoch of the images.
        shedder: load level.
        num_known_drops: dropped frames that the load level already takes into account.
        times: durations of each stage.
        recent_busy_ms: times that the newest frames took, in milliseconds.
    """

    loader: BackgroundLoader
    supervisor: WorkerSupervisor[_ReceivedImage]
    counters: FrameCounters
    model: str = ""
    tracker_index: int = 0
    stream: ImageStream = field(default_factory=ImageStream)
    shedder: LoadShedder = field(default_factory=lambda: LoadShedder(0))
    num_known_drops: int = 0
    times: StageTimes = field(default_factory=StageTimes)
    recent_busy_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT_FRAMES))


class TrackerNode(ManagedNode[P], Generic[P, T, R]):
    """Base of a node that tracks in the images of one camera.

    A worker thread takes the newest image from `image`, tracks, and publishes the result. An image that
    cannot be used is refused with a reason. An error in the tracker costs this frame and resets the tracker.
    A new epoch begins when a stamp jumps back, or when encoding, frame_id or size differ. The tracker sets
    the tolerance of the size.

    The node supervises its worker. If the worker ends by an error or hangs in a frame, the node loads the
    tracker again and continues with a new worker. The process ends with status 70 if that does not help.

    Attributes:
        trackers: tracker of the model, and of the light model with `overload: light`; empty while
            unconfigured. Only the worker, or a job for `run_in_worker`, may use them.
        loading_group: callback group of callbacks that await `load_in_background`: one at a time, beside
            callbacks of other groups.
        request_group: callback group of services that await `run_in_worker`: any number at a time.
    """

    def __init__(self, name: str, specification: type[P], **options: Any) -> None:
        super().__init__(name, specification, **options)
        self.loading_group = MutuallyExclusiveCallbackGroup()
        self.request_group = ReentrantCallbackGroup()
        self.trackers: Sequence[T] = ()
        self._configuration = self._make_configuration()
        self._subscription: Subscription | None = None
        self._pending_results = PendingResults()
        self._is_reloading = False

    # Methods that subclasses implement

    @abstractmethod
    def open_tracker(self, model: str) -> T:
        """Load a model and return its tracker, warmed up. The tracker adds its stages to `self.times`."""

    @abstractmethod
    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """Convert an image to the tracker's input. Raise FrameRefusedError if that is not possible."""

    def check_frame(self, frame: NDArray[Any], image_format: ImageFormat) -> None:
        """Raise FrameRefusedError if no tracker can use the frame. Such a frame begins no epoch."""

    def look_ahead(self, message: Image | CompressedImage) -> None:
        """Begin work on an image that waits for the frame in progress, on a thread of its own.

        The image may be replaced by a newer one before its turn.
        """

    @abstractmethod
    def track(self, frame: NDArray[Any], stamp_ns: int) -> R:
        """Track in a decoded frame. Raise FrameRefusedError if the frame cannot be used.

        The method must not change the node. A worker that hung may finish it long after its replacement.
        """

    @abstractmethod
    def publish(self, metadata: FrameMetadata, frame: NDArray[Any], result: R) -> None:
        """Store and publish the result. Publish other topics if they have subscribers."""

    @abstractmethod
    def describe_tracker(self) -> dict[str, Value]:
        """Return the diagnostics values of the tracker."""

    def describe_work(self) -> str:
        """Return the amount of work of a frame for warnings of overload; empty if it hardly varies."""
        return ""

    # Lifecycle

    @property
    def is_build_only(self) -> bool:
        """Value of the parameter `build_only`: end as soon as the node is configured."""
        return self.parameters.build_only

    def load(self) -> None:
        """Load the model and offer the services."""
        set_required(self.parameters.require_signed_models)
        self._configuration = self._make_configuration()
        self.scope.callback(self._close_loader, self._configuration.loader)
        begin_s = time.monotonic()
        self.use_trackers(self.open_trackers(self.parameters.model), self.parameters.model)
        self._supervisor.load_s = time.monotonic() - begin_s
        self.offer_service(Trigger, "~/reset", self._answer_reset, self.request_group)
        self.offer_service(ReloadModel, "~/reload_model", self._answer_reload, self.request_group)
        self.add_timer(PERIOD_S, self._supervise)

    def start(self) -> None:
        """Start the worker and subscribe to the images."""
        self._configuration.counters.start_listening()
        self.scope.callback(self._supervisor.stop)
        image_type = Image if self.parameters.image_transport == "raw" else CompressedImage
        subscription = self.subscribe(image_type, self.image_topic, self._receive, qos.make_sensor_profile())
        self._subscription = subscription
        self._supervisor.start()
        self.get_logger().info(f"{self.model} takes images from {subscription.topic_name}")

    def unload(self) -> None:
        """Free the model."""
        self.trackers = ()
        gc.collect()
        free_unused_memory()

    def diagnose(self) -> Diagnosis:
        """Return the state of the frames: recent failure, refusal or warning, and all values."""
        counters = self._configuration.counters
        values = self._collect_values()
        now_s = time.monotonic()
        if fault := self._supervisor.describe_fault():
            return Diagnosis(DiagnosticLevel.ERROR, fault, values)
        if now_s - counters.last_failure_s < _RECENTLY_S:
            return Diagnosis(DiagnosticLevel.ERROR, counters.last_failure, values)
        if now_s - counters.last_refusal_s < _RECENTLY_S:
            return Diagnosis(DiagnosticLevel.WARN, f"frame refused: {counters.last_refusal}", values)
        if self._supervisor.worker is None or self._subscription is None:
            return Diagnosis(DiagnosticLevel.OK, self.state, values)
        if warning := self._find_warning(self._subscription):
            self.get_logger().warning(warning, throttle_duration_sec=_REMINDER_S)
            return Diagnosis(DiagnosticLevel.WARN, warning, values)
        return Diagnosis(DiagnosticLevel.OK, "tracking", values)

    def _collect_values(self) -> dict[str, Value]:
        parameters = self.parameters
        configuration = self._configuration
        shedder = configuration.shedder
        supervisor = configuration.supervisor
        is_light = parameters.overload == "light" and shedder.level > 0
        values: dict[str, Value] = {
            **configuration.counters.to_values(),
            "frames_dropped": self._num_dropped,
            "epoch": self.epoch,
            "overload": parameters.overload,
            "eased": shedder.level,
            "load": round(shedder.load, 3),
            "model": parameters.light_model if is_light else self.model,
            "age_ms": round(configuration.counters.age_ms, 3),
            "busy_s": round(supervisor.busy_s, 1) if supervisor.worker else 0.0,
            "restarts": supervisor.num_restarts,
        }
        if self.trackers:
            values |= self.describe_tracker()
        if configuration.loader.progress:
            values["building"] = configuration.loader.progress
        return values | make_stage_values(self.times.summarize())

    def _find_warning(self, subscription: Subscription) -> str:
        return find_warning(
            subscription.topic_name,
            subscription.get_publisher_count(),
            self._configuration.counters,
            self._configuration.shedder,
            self.parameters.overload,
            describe_slow_frames(
                list(self._configuration.recent_busy_ms),
                self._configuration.counters.rate_hz,
                self.describe_work(),
            ),
        )

    # Methods that subclasses use

    @property
    def image_topic(self) -> str:
        """Topic of the images, named as image_transport does."""
        return "image" if self.parameters.image_transport == "raw" else "image/compressed"

    @property
    def tracker(self) -> T:
        """Tracker at work: of the model, or of the light model during overload."""
        return self.trackers[self._configuration.tracker_index]

    @property
    def model(self) -> str:
        """Name or path of the current model; empty before the first configuration."""
        return self._configuration.model

    @property
    def epoch(self) -> int:
        """Number of resets since the node was configured."""
        return self._configuration.stream.epoch

    @property
    def times(self) -> StageTimes:
        """Durations of each stage since the node was configured."""
        return self._configuration.times

    def open_trackers(self, model: str, open_tracker: Callable[[str], T] | None = None) -> Sequence[T]:
        """Load a model, and the light model with `overload: light`, and return their trackers.

        Args:
            model: name or path of the model.
            open_tracker: function from a name or path to a tracker; None: the node's own method.

        Raises:
            ModelError: a model cannot be loaded, or the light model is not set or does not fit the model.
        """
        open_tracker = open_tracker or self.open_tracker
        trackers = [open_tracker(model)]
        light_model = self.parameters.light_model
        if self.parameters.overload == "light":
            if not light_model:
                raise ModelError("parameter light_model must be set with overload: light: got an empty text")
            light_tracker = open_tracker(light_model)
            try:
                light_tracker.copy_state_from(trackers[0])
            except ModelError as error:
                raise ModelError(f"light_model {light_model}: {error}") from error
            trackers.append(light_tracker)
        return trackers

    async def run_in_worker(self, job: Callable[[], J]) -> J:
        """Run a job that may use the tracker between two frames, and return its result.

        For callbacks of `request_group` and `loading_group`.

        Raises:
            WorkerBusyError: the worker was too busy to run the job.
            ValueError: the node was deactivated before the job was done.
        """
        worker = self._supervisor.worker
        if worker is None:
            return job()
        future = worker.submit_job(job)
        return await self._pending_results.wait_for(future, self.executor, _JOB_TIMEOUT_S)

    async def load_in_background(self, load: Callable[[], J]) -> J:
        """Run a long job on the loader thread and return its result. Frames and requests are not held back.

        For callbacks of `loading_group`.

        Raises:
            ValueError: the node was cleaned up, or its tracker replaced, before the job was done.
        """
        configuration = self._configuration
        trackers = self.trackers
        loaded = await self._pending_results.wait_for(
            configuration.loader.submit(load), self.executor, NO_LIMIT
        )
        if configuration is not self._configuration or not self.trackers:
            raise ValueError(CLEANED_UP)
        if trackers is not self.trackers:
            raise ValueError("the tracker was replaced meanwhile; try again")
        return loaded

    def submit_background(self, action: str, job: Callable[[], None]) -> None:
        """Run a job on the loader thread. A failure is logged and shown in the diagnostics.

        Args:
            action: description of the job for messages ("build the engine for 4 targets").
            job: function without arguments.
        """

        def report(done: ConcurrentFuture[None]) -> None:
            if done.cancelled():
                return
            if (error := done.exception()) is not None:
                self.record_error(f"cannot {action}", error)
            else:
                self.clear_error(f"cannot {action}")

        self._configuration.loader.submit(job).add_done_callback(report)

    async def load_before_next_frame(self, load: Callable[[], J], install: Callable[[J], None]) -> None:
        """Load something that the next frame needs, then install it. Frames wait, services still answer.

        For callbacks of `loading_group`.

        Args:
            load: long job that returns the loaded thing. Its exception is raised here.
            install: function that makes the tracker use the loaded thing.

        Raises:
            ValueError: the node was cleaned up before the job was done.
        """
        worker = self._supervisor.worker
        if worker is None:
            loaded = await self.load_in_background(load)
            await self.run_in_worker(lambda: install(loaded))
        else:
            job = worker.submit_job(lambda: install(load()), NO_LIMIT)
            await self._pending_results.wait_for(job, self.executor, NO_LIMIT)

    def begin_epoch(self) -> None:
        """Reset the trackers and begin a new epoch."""
        try:
            for tracker in self.trackers:
                tracker.reset()
        except Exception as error:
            self._supervisor.fault = f"cannot reset the tracker: {error or type(error).__name__}"
            raise
        require_current()
        self._configuration.stream.begin_epoch()

    def use_trackers(self, trackers: Sequence[T], model: str) -> None:
        """Install the trackers of a model. If there were others before, a new epoch begins.

        Args:
            trackers: result of `open_trackers`.
            model: name or path of the model.
        """
        is_replacement = bool(self.trackers)
        configuration = self._configuration
        configuration.tracker_index = 0
        self.trackers = trackers
        configuration.model = model
        max_levels = {"skip": 0, "shrink": self.tracker.max_load_level, "light": 1}
        configuration.shedder = LoadShedder(max_levels[self.parameters.overload])
        if is_replacement:
            self.begin_epoch()

    # Path of a frame

    def _receive(self, message: Image | CompressedImage, information: dict[str, Any]) -> None:
        received_ns = time.monotonic_ns()
        worker = self._supervisor.worker
        if worker is None or self._subscription is None:
            return
        # Sequence numbers of several publishers are independent of each other.
        is_single = self._subscription.get_publisher_count() == 1
        sequence_number = information["publication_sequence_number"] if is_single else None
        self._configuration.counters.count_received(sequence_number)
        worker.put(_ReceivedImage(message, received_ns))
        if worker.activity is not None:
            self.look_ahead(message)

    def _process(self, received: _ReceivedImage) -> None:
        begin_ns = time.monotonic_ns()
        engine_begin_ms = self.times.get_total_ms(_ENGINE_STAGE)
        self.times.add_duration("wait", (begin_ns - received.received_ns) / 1e6)
        try:
            stamp_ns = self._track_and_publish(received)
        except FrameRefusedError as error:
            self._refuse(str(error))
        except Exception as error:
            self._fail(error)
        else:
            end_ns = time.monotonic_ns()
            engine_ms = self.times.get_total_ms(_ENGINE_STAGE) - engine_begin_ms
            busy_ms = (end_ns - begin_ns) / 1e6
            self.times.add_duration(BESIDES_ENGINE, busy_ms - engine_ms)
            self.times.add_duration("total", (end_ns - received.received_ns) / 1e6)
            self._configuration.counters.age_ms = (self.get_clock().now().nanoseconds - stamp_ns) / 1e6
            self._supervisor.record_success()
            self._configuration.recent_busy_ms.append(busy_ms)
            self._update_load_level(busy_ms)

    def _track_and_publish(self, received: _ReceivedImage) -> int:
        """Process an image up to its published result, and return its stamp in nanoseconds."""
        message = received.message
        counters = self._configuration.counters
        stamp_ns = to_nanoseconds(message.header.stamp)
        now_ns = self.get_clock().now().nanoseconds
        self._configuration.stream.check_stamp(stamp_ns, now_ns, self.parameters.max_age)
        with self.times.measure("decode"):
            image, encoding = _read_image(message)
            frame = self.decode(image, encoding)
        height, width = image.shape[:2]
        image_format = ImageFormat(width, height, encoding, message.header.frame_id)
        self.check_frame(frame, image_format)
        self._continue_stream(image_format, stamp_ns)
        result = self.track(frame, stamp_ns)
        require_current()
        with self.times.measure("publish"):
            self.publish(self._make_metadata(received, frame), frame, result)
        self._settle(counters.count_processed)
        return stamp_ns

    def _settle(self, count: Callable[[], None]) -> None:
        """Count the frame in hand, unless the node has given up this thread and counted the frame itself."""
        worker = find_current()
        if worker is None:
            count()
        else:
            worker.settle(count)

    def _continue_stream(self, image_format: ImageFormat, stamp_ns: int) -> None:
        """Add a frame to the stream. A frame that does not continue the epoch begins a new one."""
        stream = self._configuration.stream
        if not stream.is_continued_by(image_format, self.tracker.size_tolerance_px):
            self.get_logger().warning(
                f"new stream: images are {image_format}, were {stream.format}; the tracker is reset",
                throttle_duration_sec=_RECENTLY_S,
            )
            self.begin_epoch()
        elif stamp_ns < stream.last_stamp_ns:
            jump_s = (stream.last_stamp_ns - stamp_ns) / 1e9
            self.get_logger().warning(
                f"stamps jumped back by {jump_s:.3f} s; the tracker is reset",
                throttle_duration_sec=_RECENTLY_S,
            )
            self.begin_epoch()
        stream.append(image_format, stamp_ns)

    def _update_load_level(self, busy_ms: float) -> None:
        """Raise or lower the load level by the time that the newest frame took."""
        configuration = self._configuration
        shedder = configuration.shedder
        num_dropped = self._num_dropped
        num_new_drops = num_dropped - configuration.num_known_drops
        configuration.num_known_drops = num_dropped
        rate_hz = configuration.counters.rate_hz
        previous_level = shedder.level
        if rate_hz and (level := shedder.update(busy_ms, 1e3 / rate_hz, num_new_drops)) != previous_level:
            self._set_load_level(level)
            reason = describe_overload(shedder, self.parameters.overload) or "full work"
            self.get_logger().info(f"load level {level}, was {previous_level}: {reason}")

    def _set_load_level(self, level: int) -> None:
        if self.parameters.overload == "light":
            previous_tracker = self.tracker
            self._configuration.tracker_index = level
            self.tracker.copy_state_from(previous_tracker)
        else:
            self.tracker.set_load_level(level)

    def _make_metadata(self, received: _ReceivedImage, frame: NDArray[Any]) -> FrameMetadata:
        height, width = frame.shape[:2]
        latency_ns = time.monotonic_ns() - received.received_ns
        return FrameMetadata(received.message.header, width, height, self.epoch, latency_ns)

    def _refuse(self, reason: str) -> None:
        counters = self._configuration.counters
        is_new = counters.is_new_refusal(reason, _RECENTLY_S)
        self._settle(lambda: counters.count_refused(reason))
        if is_new:
            topic = self.resolve_topic_name(self.image_topic)
            self.get_logger().warning(f"frame on {topic} refused: {reason}")

    def _fail(self, error: Exception) -> None:
        message = f"cannot track: {error or type(error).__name__}"
        self._settle(lambda: self._configuration.counters.count_failed(message))
        self.log_exception(message, error)
        self.begin_epoch()

    # Supervision of the worker

    @property
    def _supervisor(self) -> WorkerSupervisor[_ReceivedImage]:
        return self._configuration.supervisor

    @property
    def _num_dropped(self) -> int:
        """Frames that the workers have dropped since the node was configured."""
        return self._configuration.counters.dropped + self._supervisor.num_dropped

    def _supervise(self) -> None:
        self._pending_results.expire()
        self._supervisor.check()

    def _reload_trackers(self) -> None:
        """Load the trackers again. For the worker's thread."""
        model = self.model
        trackers = self.open_trackers(model)
        require_current()
        self.use_trackers(trackers, model)
        self.get_logger().info(f"the tracker is restarted with {model}")

    def _compute_frame_limits(self) -> FrameLimits:
        return compute_frame_limits(self.parameters.max_frame_time, self.times)

    def _close_loader(self, loader: BackgroundLoader) -> None:
        if not loader.close():
            self.record_stuck_thread("the loader")

    def _make_configuration(self) -> _Configuration:
        counters = FrameCounters()
        supervisor = WorkerSupervisor(
            self, counters, self._process, self._reload_trackers, self._compute_frame_limits
        )
        return _Configuration(BackgroundLoader(f"{self.get_name()}_loader"), supervisor, counters)

    # Services

    @contextmanager
    def service_response(self, action: str, response: Any) -> Iterator[None]:
        """Fill in `success` and `message` of a service response. Exceptions in the block make it a failure.

        Args:
            action: description of the service's job for messages ("set the target").
            response: response of the service.
        """
        response.success = False
        try:
            yield
        except (ValueError, TimeoutError) as error:
            response.message = str(error)
            self.get_logger().warning(f"cannot {action}: {error}", throttle_duration_sec=1.0)
        except Exception as error:
            response.message = str(error) or type(error).__name__
            self.log_exception(f"cannot {action}: {response.message}", error)
        else:
            response.success = True

    async def _answer_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self.service_response("reset", response):
            await self.run_in_worker(self.begin_epoch)
            response.message = f"epoch {self.epoch}"
        return response

    async def _answer_reload(
        self, request: ReloadModel.Request, response: ReloadModel.Response
    ) -> ReloadModel.Response:
        model = expand_path(request.model) or self.model
        with self.service_response(f"load {model}, {self.model} stays", response):
            if self._is_reloading:
                raise WorkerBusyError("another model is being loaded; try again")
            self._is_reloading = True
            try:
                trackers = await self.load_in_background(lambda: self.open_trackers(model))
                await self.run_in_worker(lambda: self.use_trackers(trackers, model))
            finally:
                self._is_reloading = False
            response.message = f"model {model}"
        return response


def _read_image(message: Image | CompressedImage) -> tuple[NDArray[Any], str]:
    """Return the image of a message and its encoding. Raise FrameRefusedError if it cannot be used."""
    if isinstance(message, CompressedImage):
        return image_messages.decompress(message)
    image, encoding = decode_image(message)
    if image.dtype == np.float32 and not np.isfinite(image.sum(dtype=np.float64)):
        raise FrameRefusedError("the image has values that are not finite")
    return image, encoding
