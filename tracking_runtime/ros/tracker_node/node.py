"""Base of both tracker nodes: the path of a frame from the camera's topic to the topic of the result."""

from __future__ import annotations

import gc
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

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
from tracking_runtime.ros.node.diagnostics import BESIDES_ENGINE, Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.diagnostics_updater import log_exception
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import expand_path
from tracking_runtime.ros.node.process_memory import free_unused_memory
from tracking_runtime.ros.node.service_response import fill_response
from tracking_runtime.ros.tracker_node.background_loader import BackgroundLoader
from tracking_runtime.ros.tracker_node.configuration import Configuration, ReceivedImage
from tracking_runtime.ros.tracker_node.frame_counters import FrameCounters
from tracking_runtime.ros.tracker_node.health import find_warning
from tracking_runtime.ros.tracker_node.image_stream import ImageFormat
from tracking_runtime.ros.tracker_node.jobs import NodeJobs
from tracking_runtime.ros.tracker_node.load_control import LoadController, NodeTracker
from tracking_runtime.ros.tracker_node.parameters import TrackerNodeParameters
from tracking_runtime.ros.tracker_node.supervision import PERIOD_S, compute_frame_limits
from tracking_runtime.ros.tracker_node.worker import WorkerBusyError, count_item, require_current
from tracking_runtime.ros.tracker_node.worker_supervisor import WorkerSupervisor
from tracking_runtime.timing import StageTimes

_RECENTLY_S = 5.0  # time that a fault stays in the diagnostics; shortest time between two equal log lines
_REMINDER_S = 30.0  # time between two log lines of a warning that persists
_ENGINE_STAGE = "engine"  # stage in which the trackers run their network

P = TypeVar("P", bound=TrackerNodeParameters)
T = TypeVar("T", bound=NodeTracker)
R = TypeVar("R")


class TrackerNode(ManagedNode[P], Generic[P, T, R]):
    """Base of a node that tracks in the images of one camera.

    A worker thread takes the newest image from `image`, tracks, and publishes the result. An image that
    cannot be used is refused with a reason. An error in the tracker costs this frame and resets the tracker.
    A new epoch begins when a stamp jumps back, or when encoding, frame_id or size differ. The tracker sets
    the tolerance of the size.

    The node supervises its worker. If the worker ends by an error or hangs in a frame, the node loads the
    tracker again and continues with a new worker. The process ends with status 70 if that does not help.

    Attributes:
        jobs: jobs on the threads of the node, for callbacks.
        loading_group: callback group of callbacks that await `jobs.load_in_background`: one at a time, beside
            callbacks of other groups.
        request_group: callback group of services that await `jobs.run_in_worker`: any number at a time.
    """

    def __init__(self, name: str, specification: type[P], **options: Any) -> None:
        super().__init__(name, specification, **options)
        self.loading_group = MutuallyExclusiveCallbackGroup()
        self.request_group = ReentrantCallbackGroup()
        self._configuration = self._make_configuration()
        self.jobs = NodeJobs[T](self, lambda: self._configuration)
        self._subscription: Subscription | None = None
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
        self.scope.callback(self.close_thread, "the loader", self._configuration.loader.close)
        begin_s = time.monotonic()
        self.use_trackers(self.open_trackers(self.parameters.model), self.parameters.model)
        self._supervisor.load_s = time.monotonic() - begin_s
        self.offer_service(Trigger, "~/reset", self._answer_reset, self.request_group)
        self.offer_service(ReloadModel, "~/reload_model", self._answer_reload, self.request_group)
        self.add_timer(PERIOD_S, self.jobs.expire)
        self.add_timer(PERIOD_S, self._supervisor.check)

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
        self._configuration.load.trackers = ()
        gc.collect()
        free_unused_memory()

    def diagnose(self) -> Diagnosis:
        """Return the state of the frames: recent failure, refusal or warning, and all values."""
        counters = self._configuration.counters
        tracker_values = self.describe_tracker() if self.trackers else {}
        values = self._configuration.to_values(self.parameters, tracker_values)
        now_s = time.monotonic()
        if fault := self._supervisor.describe_fault():
            return Diagnosis(DiagnosticLevel.ERROR, fault, values)
        if now_s - counters.last_failure_s < _RECENTLY_S:
            return Diagnosis(DiagnosticLevel.ERROR, counters.last_failure, values)
        if now_s - counters.last_refusal_s < _RECENTLY_S:
            return Diagnosis(DiagnosticLevel.WARN, f"frame refused: {counters.last_refusal}", values)
        subscription = self._subscription
        if self._supervisor.worker is None or subscription is None:
            return Diagnosis(DiagnosticLevel.OK, self.state, values)
        if warning := find_warning(subscription, self._configuration, self.describe_work()):
            self.get_logger().warning(warning, throttle_duration_sec=_REMINDER_S)
            return Diagnosis(DiagnosticLevel.WARN, warning, values)
        return Diagnosis(DiagnosticLevel.OK, "tracking", values)

    # Methods that subclasses use

    @property
    def image_topic(self) -> str:
        """Topic of the images, named as image_transport does."""
        return "image" if self.parameters.image_transport == "raw" else "image/compressed"

    @property
    def trackers(self) -> Sequence[T]:
        """Tracker of the model, and of the light model with `overload: light`; empty while unconfigured.

        Only the worker, or a job for `jobs.run_in_worker`, may use them.
        """
        return self._configuration.load.trackers

    @property
    def tracker(self) -> T:
        """Tracker at work: of the model, or of the light model during overload."""
        return self._configuration.load.tracker

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
        self._configuration.load.install(trackers)
        self._configuration.model = model
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
        worker.put(ReceivedImage(message, received_ns))
        if worker.activity is not None:
            self.look_ahead(message)

    def _process(self, received: ReceivedImage) -> None:
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
            load, rate_hz = self._configuration.load, self._configuration.counters.rate_hz
            if change := load.update(busy_ms, rate_hz, self._supervisor.num_dropped):
                self.get_logger().info(change)

    def _track_and_publish(self, received: ReceivedImage) -> int:
        """Process an image up to its published result, and return its stamp in nanoseconds."""
        message = received.message
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
        count_item(self._configuration.counters.count_processed)
        return stamp_ns

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

    def _make_metadata(self, received: ReceivedImage, frame: NDArray[Any]) -> FrameMetadata:
        height, width = frame.shape[:2]
        latency_ns = time.monotonic_ns() - received.received_ns
        return FrameMetadata(received.message.header, width, height, self.epoch, latency_ns)

    def _refuse(self, reason: str) -> None:
        counters = self._configuration.counters
        is_new = counters.is_new_refusal(reason, _RECENTLY_S)
        count_item(lambda: counters.count_refused(reason))
        if is_new:
            topic = self.resolve_topic_name(self.image_topic)
            self.get_logger().warning(f"frame on {topic} refused: {reason}")

    def _fail(self, error: Exception) -> None:
        message = f"cannot track: {error or type(error).__name__}"
        count_item(lambda: self._configuration.counters.count_failed(message))
        log_exception(self.get_logger(), message, error)
        self.begin_epoch()

    # Supervision of the worker

    @property
    def _supervisor(self) -> WorkerSupervisor[ReceivedImage]:
        return self._configuration.supervisor

    def _reload_trackers(self) -> None:
        """Load the trackers again. For the worker's thread."""
        model = self.model
        trackers = self.open_trackers(model)
        require_current()
        self.use_trackers(trackers, model)
        self.get_logger().info(f"the tracker is restarted with {model}")

    def _make_configuration(self) -> Configuration[T]:
        counters = FrameCounters()
        supervisor = WorkerSupervisor(
            self,
            counters,
            self._process,
            self._reload_trackers,
            lambda: compute_frame_limits(self.parameters.max_frame_time, self.times),
        )
        loader = BackgroundLoader(f"{self.get_name()}_loader")
        return Configuration(loader, supervisor, counters, LoadController(self.parameters.overload))

    # Services

    async def _answer_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with fill_response(self, "reset", response):
            await self.jobs.run_in_worker(self.begin_epoch)
            response.message = f"epoch {self.epoch}"
        return response

    async def _answer_reload(
        self, request: ReloadModel.Request, response: ReloadModel.Response
    ) -> ReloadModel.Response:
        model = expand_path(request.model) or self.model
        with fill_response(self, f"load {model}, {self.model} stays", response):
            if self._is_reloading:
                raise WorkerBusyError("another model is being loaded; try again")
            self._is_reloading = True
            try:
                trackers = await self.jobs.load_in_background(lambda: self.open_trackers(model))
                await self.jobs.run_in_worker(lambda: self.use_trackers(trackers, model))
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
