"""The base of the trackers' nodes: the path of a frame from the camera's topic to the result's."""

from __future__ import annotations

import gc
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future as ConcurrentFuture
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.task import Future
from remote_sensing_tracking.srv import ReloadModel
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from tracking_runtime.engines.build_progress import BuildProgress, followed
from tracking_runtime.errors import FrameRefusedError, ModelError
from tracking_runtime.messages.image_encodings import decode_image
from tracking_runtime.ros.conversions import image_messages
from tracking_runtime.ros.conversions.track_messages import FrameFacts, stamp_ns
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import BESIDES_ENGINE, Diagnosis, Level, Value, stage_values
from tracking_runtime.ros.node.managed_node import TrackingNode
from tracking_runtime.ros.node.parameters import Change, NodeParameters, parameter
from tracking_runtime.ros.tracker_node.frame_counters import FrameAccount
from tracking_runtime.ros.tracker_node.load_shedding import Easing
from tracking_runtime.ros.tracker_node.worker import Worker
from tracking_runtime.timing import StageTimes

_TRANSPORTS = ("raw", "compressed")
_OVERLOAD = ("skip", "shrink", "light")
_JOB_TIMEOUT_S = 10.0
_RECENTLY_S = 5.0
_REMINDER_S = 30.0
_TOLERATED_LOSS = 0.1
_LOSS_CURE = "start their publisher with the transport profile, see Large images in the README"
_ENGINE = "engine"  # the stage in which trackers run their network


@dataclass(frozen=True)
class FrameNodeParameters(NodeParameters):
    """The parameters of every node that tracks."""

    model: str = parameter("", "name of a model, or path of its manifest")
    engine: str = parameter("auto", "what runs the network; auto: the fastest that works here")
    max_age: float = parameter(
        0.0,
        "[s] frames older than this, by their stamp, are refused; 0: none",
        minimum=0.0,
        change=Change.ALWAYS,
    )
    image_transport: str = parameter(
        "raw", "how images come: on image, or as JPEG or PNG on image/compressed", choices=_TRANSPORTS
    )
    overload: str = parameter(
        "skip",
        "what to do where frames come faster than they are tracked, beside skipping some: nothing more; "
        "shrink what is looked at; or fall back to light_model; until there is room again",
        choices=_OVERLOAD,
    )
    light_model: str = parameter("", "model to fall back to, with overload: light; kept ready beside model")
    build_only: bool = parameter(
        False, "configure, which builds and keeps what runs the network, and end", change=Change.NEVER
    )


class Tracker(Protocol):
    """What a node needs of any tracker."""

    deepest_easing: int
    size_tolerance_px: int  # rows and columns more or less that a frame of the same stream may have

    def reset(self) -> None:
        """Forget everything seen."""

    def ease(self, level: int) -> None:
        """Do less in each frame; 0: do all there is to do, to ``deepest_easing``."""

    def take_over(self, other: Any) -> None:
        """Go on where another tracker of this kind is, which has seen the same."""


@dataclass(frozen=True)
class _Arrival:
    message: Image | CompressedImage
    arrived_ns: int


@dataclass(frozen=True)
class _Stream:
    """What frames of one camera have in common."""

    width: int
    height: int
    encoding: str
    frame_id: str

    def goes_on_with(self, other: _Stream, tolerance_px: int) -> bool:
        """Whether a frame of another is one more of this; stabilised video loses and gains a few rows."""
        uneven = max(abs(other.width - self.width), abs(other.height - self.height))
        same = (other.encoding, other.frame_id) == (self.encoding, self.frame_id)
        return same and uneven <= tolerance_px


P = TypeVar("P", bound=FrameNodeParameters)
T = TypeVar("T", bound=Tracker)
R = TypeVar("R")
J = TypeVar("J")


class FrameNode(TrackingNode[P], Generic[P, T, R]):
    """Takes frames from ``image``, the newest first of all, tracks in a thread of its own, and publishes.

    A frame that cannot be used is refused with a reason; an error in the tracker costs its frame and resets
    the tracker; stamps that go back, or another size (by more than the tracker tolerates), encoding or
    frame_id, begin a new epoch.

    Attributes:
        trackers: with the model, and with the light one if there is to be one; touched by the worker only, or
            by a job given to ``in_worker``.
        tracker: the one of them at work.
        times: of each stage.
        epoch: counts resets since the node was configured.
        model: name or path of the current model.
        loading: group of the callbacks that wait for ``in_background``: one at a time, beside all others.
    """

    tracker: T
    trackers: Sequence[T]
    _worker: Worker[_Arrival] | None
    _stream: _Stream | None

    def __init__(self, name: str, specification: type[P], **options: Any) -> None:
        super().__init__(name, specification, **options)
        self.loading = MutuallyExclusiveCallbackGroup()
        self._forget()

    # What subclasses fill in

    @abstractmethod
    def open_tracker(self, model: str) -> T:
        """A tracker with a model, warmed up, that counts in ``self.times``."""

    @abstractmethod
    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """What the tracker takes, of an image as it came. Raises FrameRefused."""

    @abstractmethod
    def track(self, frame: NDArray[Any], stamp_ns: int) -> R:
        """The result of a decoded frame. Raises FrameRefused."""

    @abstractmethod
    def publish(self, facts: FrameFacts, frame: NDArray[Any], result: R) -> None:
        """Publish the result, and what else somebody subscribed to."""

    @abstractmethod
    def describe_tracker(self) -> dict[str, Value]:
        """What diagnostics say of the tracker."""

    # The lifecycle

    @property
    def build_only(self) -> bool:
        """Whether to end as soon as the node is configured."""
        return self.parameters.build_only

    def load(self) -> None:
        """Open the model and offer the services."""
        self._forget()
        self._loader = ThreadPoolExecutor(1, f"{self.get_name()}_loader")
        self.scope.callback(self._loader.shutdown, cancel_futures=True)
        self.adopt(self.open_trackers(self.parameters.model), self.parameters.model)
        self.serve(Trigger, "~/reset", self._answer_reset)
        self.serve(ReloadModel, "~/reload_model", self._answer_reload, self.loading)

    def start(self) -> None:
        """Take frames."""
        worker = Worker(self._handle, f"{self.get_name()}_worker")
        self._worker = worker
        self._drops_seen = 0
        self._account.listen()
        worker.start()
        self.scope.callback(self._retire, worker)
        image_type = Image if self.parameters.image_transport == "raw" else CompressedImage
        self._subscription = self.subscribe(image_type, self.image_topic, self._receive, qos.sensor())
        self.get_logger().info(f"{self.model} takes images from {self._subscription.topic_name}")

    def unload(self) -> None:
        """Free the model."""
        if hasattr(self, "tracker"):
            del self.tracker, self.trackers
        gc.collect()

    def diagnose(self) -> Diagnosis:
        """How the frames fare."""
        account = self._account
        values = {
            **account.values(),
            "frames_dropped": account.dropped + self._waiting_drops(),
            "epoch": self.epoch,
            "overload": self.parameters.overload,
            "eased": self._easing.level,
            "load": round(self._easing.load, 3),
        }
        fallen_back = self.parameters.overload == "light" and self._easing.level
        values["model"] = self.parameters.light_model if fallen_back else self.model
        values["age_ms"] = round(self._age_ms, 3)
        values |= self.describe_tracker() if hasattr(self, "tracker") else {}
        if self._building:
            values["building"] = self._building
        values |= stage_values(self.times.summary())
        now = time.monotonic()
        if now - account.last_failure_s < _RECENTLY_S:
            return Diagnosis(Level.ERROR, self._failure, values)
        if now - account.last_refusal_s < _RECENTLY_S:
            return Diagnosis(Level.WARN, f"frame refused: {account.last_refusal}", values)
        if self._worker is not None and (trouble := self._trouble()):
            self.get_logger().warning(trouble, throttle_duration_sec=_REMINDER_S)
            return Diagnosis(Level.WARN, trouble, values)
        return Diagnosis(Level.OK, "tracking" if self._worker else self.state, values)

    def _trouble(self) -> str:
        """What an operator should see to while frames are taken; empty if nothing."""
        if (cameras := self._subscription.get_publisher_count()) > 1:
            topic = self._subscription.topic_name
            return f"{cameras} cameras publish on {topic}: remap it to the topic of one"
        if self._account.silence_s > _RECENTLY_S:
            return self._silence()
        if (share := self._account.lost_share) > _TOLERATED_LOSS:
            return f"{share:.0%} of the frames are lost in transport: {_LOSS_CURE}"
        return self._burden()

    def _silence(self) -> str:
        """What an operator is told when no frames come."""
        topic = self._subscription.topic_name
        if not self._subscription.get_publisher_count():
            return f"no frames on {topic}: nobody publishes there"
        return f"no frames on {topic}: its publisher is silent, or all are lost in transport: {_LOSS_CURE}"

    def _burden(self) -> str:
        """What an operator is told of overload; empty if there is none."""
        easing = self._easing
        if easing.overloaded:
            return f"overloaded: {easing.dropped_share:.0%} of the frames are skipped"
        if not easing.level:
            return ""
        light = self.parameters.overload == "light"
        how = "light_model is used" if light else f"the search is shrunk, level {easing.level},"
        return f"overloaded: {how} until there is room"

    # What subclasses use

    @property
    def image_topic(self) -> str:
        """Where images come, by image_transport's names."""
        return "image" if self.parameters.image_transport == "raw" else "image/compressed"

    def open_trackers(self, model: str, open_tracker: Callable[[str], T] | None = None) -> Sequence[T]:
        """Trackers with a model, and with the light one if there is to be one.

        Args:
            model: name or path.
            open_tracker: takes each name or path; None: the node's own method.

        Raises:
            ModelError: no light model is named, or it cannot go on where the other is; or what
                ``open_tracker`` raises.
        """
        open_tracker = open_tracker or self.open_tracker
        trackers = [open_tracker(model)]
        if self.parameters.overload == "light":
            if not self.parameters.light_model:
                raise ModelError("parameter overload is light: light_model has to say which model that is")
            light = open_tracker(self.parameters.light_model)
            try:
                light.take_over(trackers[0])
            except ModelError as error:
                raise ModelError(f"light_model {self.parameters.light_model}: {error}") from error
            trackers.append(light)
        return trackers

    def in_worker(self, job: Callable[[], J]) -> J:
        """The result of a function that may touch the tracker.

        Raises:
            TimeoutError: the worker was too busy to begin.
        """
        return job() if self._worker is None else self._worker.run(job, _JOB_TIMEOUT_S)

    async def in_background(self, load: Callable[[], J]) -> J:
        """The result of a function that may take long; frames are tracked and requests answered meanwhile.

        For callbacks of the group ``loading``.

        Raises:
            ValueError: the node was cleaned up meanwhile.
        """
        loader = self._loader
        loaded = await self._result(self._submit(load))
        if loader is not self._loader or not hasattr(self, "tracker"):
            raise ValueError("the node was cleaned up meanwhile")
        return loaded

    def meanwhile(self, what: str, job: Callable[[], None]) -> None:
        """Do what nobody waits for, beside the frames; the diagnostics tell why it cannot be done."""

        def told(done: ConcurrentFuture[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                self.note_error(f"cannot {what}", error)

        self._submit(job).add_done_callback(told)

    async def before_frames(self, load: Callable[[], J], adopt: Callable[[J], None]) -> None:
        """Load what no frame can do without, and adopt it; frames wait, requests do not.

        For callbacks of the group ``loading``. Raises what ``load`` and ``in_background`` raise.
        """
        if self._worker is None:
            loaded = await self.in_background(load)
            self.in_worker(lambda: adopt(loaded))
        else:
            await self._result(self._worker.submit(lambda: adopt(load())))

    def begin_epoch(self) -> None:
        """Forget everything seen."""
        for tracker in self.trackers:
            tracker.reset()
        self.epoch += 1
        self._stream, self._last_stamp_ns = None, 0

    def adopt(self, trackers: Sequence[T], model: str) -> None:
        """Go on with others, of ``open_trackers``, in a new epoch if there were some before."""
        replaces = hasattr(self, "tracker")
        self.trackers, self.tracker, self.model = trackers, trackers[0], model
        levels = {"skip": 0, "shrink": self.tracker.deepest_easing, "light": 1}
        self._easing = Easing(levels[self.parameters.overload])
        if replaces:
            self.begin_epoch()

    # The path of a frame

    def _receive(self, message: Image | CompressedImage, information: dict[str, Any]) -> None:
        arrived_ns = time.monotonic_ns()
        alone = self._subscription.get_publisher_count() == 1
        self._account.arrive(information["publication_sequence_number"] if alone else None)
        if self._worker is not None:
            self._worker.put(_Arrival(message, arrived_ns))

    def _handle(self, arrival: _Arrival) -> None:
        message = arrival.message
        begun_ns, engine_ms = time.monotonic_ns(), self.times.spent_ms(_ENGINE)
        self.times.add("wait", (begun_ns - arrival.arrived_ns) / 1e6)
        try:
            stamp = self._checked_stamp(message)
            with self.times.stage("decode"):
                image, encoding = _pixels(message)
                frame = self.decode(image, encoding)
            height, width = image.shape[:2]
            self._follow_stream(_Stream(width, height, encoding, message.header.frame_id), stamp)
            result = self.track(frame, stamp)
            with self.times.stage("publish"):
                self.publish(self._facts(arrival, frame), frame, result)
        except FrameRefusedError as error:
            self._refuse(str(error))
        except Exception as error:
            self._fail(error)
        else:
            self._account.processed += 1
            done_ns, engine_ms = time.monotonic_ns(), self.times.spent_ms(_ENGINE) - engine_ms
            busy_ms = (done_ns - begun_ns) / 1e6
            self.times.add(BESIDES_ENGINE, busy_ms - engine_ms)
            self.times.add("total", (done_ns - arrival.arrived_ns) / 1e6)
            self._age_ms = (self.get_clock().now().nanoseconds - stamp) / 1e6
            self._judge_load(busy_ms)

    def _checked_stamp(self, message: Image | CompressedImage) -> int:
        stamp = stamp_ns(message.header.stamp)
        if stamp <= 0:
            raise FrameRefusedError("the frame's stamp is zero: the camera driver must set it")
        if stamp == self._last_stamp_ns:
            raise FrameRefusedError(f"the frame has the stamp of the one before, {stamp / 1e9:.6f} s")
        limit = self.parameters.max_age
        age = (self.get_clock().now().nanoseconds - stamp) / 1e9
        if 0 < limit < age:
            raise FrameRefusedError(f"the frame is {age:.3f} s old, max_age is {limit:g} s")
        return stamp

    def _follow_stream(self, stream: _Stream, stamp: int) -> None:
        """Begin an epoch where this frame does not follow the one before."""
        known = self._stream
        if known is not None and not known.goes_on_with(stream, self.tracker.size_tolerance_px):
            self.get_logger().warning(
                f"new stream: {stream}, before {known}; the tracker starts anew",
                throttle_duration_sec=_RECENTLY_S,
            )
            self.begin_epoch()
        elif stamp < self._last_stamp_ns:
            back = (self._last_stamp_ns - stamp) / 1e9
            self.get_logger().warning(
                f"stamps jumped back by {back:.3f} s; the tracker starts anew",
                throttle_duration_sec=_RECENTLY_S,
            )
            self.begin_epoch()
        self._stream, self._last_stamp_ns = self._stream or stream, stamp

    def _judge_load(self, busy_ms: float) -> None:
        """Ease the work, or take it up again, by what the frames of late took."""
        drops, rate_hz, before = self._waiting_drops(), self._account.rate_hz, self._easing.level
        dropped, self._drops_seen = drops - self._drops_seen, drops
        if rate_hz and (level := self._easing.judge(busy_ms, 1e3 / rate_hz, dropped)) != before:
            self._ease(level)
            what = "eased" if level > before else "taken up again"
            self.get_logger().info(f"work is {what}: {self._burden() or 'there is room for all of it'}")

    def _ease(self, level: int) -> None:
        if self.parameters.overload == "light":
            before, self.tracker = self.tracker, self.trackers[level]
            self.tracker.take_over(before)
        else:
            self.tracker.ease(level)

    def _facts(self, arrival: _Arrival, frame: NDArray[Any]) -> FrameFacts:
        height, width = frame.shape[:2]
        latency_ns = time.monotonic_ns() - arrival.arrived_ns
        return FrameFacts(arrival.message.header, width, height, self.epoch, latency_ns)

    def _refuse(self, reason: str) -> None:
        account = self._account
        repeated = reason == account.last_refusal and time.monotonic() - account.last_refusal_s < _RECENTLY_S
        account.refuse(reason)
        if not repeated:
            self.get_logger().warning(
                f"frame on {self.resolve_topic_name(self.image_topic)} refused: {reason}"
            )

    def _fail(self, error: Exception) -> None:
        self._account.fail()
        self._failure = f"cannot track: {error or type(error).__name__}"
        self.log_exception(self._failure, error)
        self.begin_epoch()

    # Services

    @contextmanager
    def answering(self, what: str, response: Any) -> Iterator[None]:
        """Within it a service does its job: response.success tells whether it could, the message why not."""
        response.success = False
        try:
            yield
        except (ValueError, TimeoutError) as error:
            response.message = str(error)
            self.get_logger().warning(f"cannot {what}: {error}")
        except Exception as error:
            response.message = str(error) or type(error).__name__
            self.log_exception(f"cannot {what}: {response.message}", error)
        else:
            response.success = True

    def _answer_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self.answering("reset", response):
            self.in_worker(self.begin_epoch)
            response.message = f"epoch {self.epoch}"
        return response

    async def _answer_reload(
        self, request: ReloadModel.Request, response: ReloadModel.Response
    ) -> ReloadModel.Response:
        model = request.model or self.model
        with self.answering(f"load {model}, {self.model} stays", response):
            trackers = await self.in_background(lambda: self.open_trackers(model))
            self.in_worker(lambda: self.adopt(trackers, model))
            response.message = f"model {model}"
        return response

    # Inside

    def _submit(self, load: Callable[[], J]) -> ConcurrentFuture[J]:
        """Have the loader do something; meanwhile the diagnostics tell how far its engines are."""

        def tell(progress: BuildProgress) -> None:
            self._building = str(progress)

        def told() -> J:
            try:
                with followed(tell):
                    return load()
            finally:
                self._building = ""

        return self._loader.submit(told)

    async def _result(self, job: ConcurrentFuture[J]) -> J:
        """The result of what another thread does; the executor goes on meanwhile."""
        done = Future(executor=self.executor)

        def wake(_: object) -> None:
            done.set_result(None)
            self.executor.wake()

        job.add_done_callback(wake)
        await done
        if job.cancelled():
            raise ValueError("the node was cleaned up meanwhile")
        return job.result()

    def _retire(self, worker: Worker[_Arrival]) -> None:
        worker.stop()
        self._worker = None
        self._account.dropped += worker.dropped

    def _waiting_drops(self) -> int:
        return 0 if self._worker is None else self._worker.dropped

    def _forget(self) -> None:
        self._account = FrameAccount()
        self._easing = Easing(0)
        self._drops_seen = 0
        self._building = ""
        self.times = StageTimes()
        self.epoch = 0
        self._worker = None
        self._stream = None
        self._last_stamp_ns = 0
        self.model = ""
        self._failure = ""
        self._age_ms = 0.0


def _pixels(message: Image | CompressedImage) -> tuple[NDArray[Any], str]:
    """The pixels of an image and their encoding. Raises FrameRefused."""
    if isinstance(message, CompressedImage):
        return image_messages.decompress(message)
    image, encoding = decode_image(message)
    if image.dtype == np.float32 and not np.isfinite(image.sum(dtype=np.float64)):
        raise FrameRefusedError("the image has values that are not finite")
    return image, encoding
