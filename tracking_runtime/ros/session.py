"""Session of a program that talks to nodes: an own node, spun by a thread. Tests use it too."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, ShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile

from tracking_runtime.errors import TrackingError
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.executor import TolerantExecutor
from tracking_runtime.ros.waiting import wait_for

T = TypeVar("T")
_MAX_END_S = 5.0  # time that the end of a session waits for a callback


class ServiceError(TrackingError, RuntimeError):
    """A service that does not exist or does not answer. The message names the service."""


class RosSession:
    """ROS context with one node, for a `with` block. A thread runs the callbacks of the node.

    Attributes:
        node: node of the session. Its callbacks run in the thread of the session.
    """

    def __init__(self, name: str, domain_id: int | None = None) -> None:
        """Create the node and start the thread.

        Args:
            name: name of the node.
            domain_id: ROS domain; None: the domain of the environment.
        """
        self._is_closing = False
        self._context = Context()
        self._context.init(domain_id=domain_id)
        self.node = Node(name, context=self._context, use_global_arguments=False)
        self._executor = TolerantExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)
        self._thread.start()

    def listen(self, message_type: type[T], topic: str, qos: QoSProfile | int = 100) -> list[T]:
        """Subscribe to a topic and return a list to which every message is appended."""
        received: list[T] = []
        self.node.create_subscription(message_type, topic, received.append, qos)
        return received

    def call(
        self,
        service_type: Any,
        name: str,
        request: Any,
        timeout_s: float = 10.0,
        is_lost: Callable[[float], bool] = lambda _: False,
    ) -> Any:
        """Call a service and return its response; None if the response is lost.

        Args:
            service_type: type of the service.
            name: name of the service.
            request: request of the service.
            timeout_s: longest time until the service exists, and again until the response, in seconds.
            is_lost: function that takes the monotonic time of the request in seconds, and returns whether its
                response is lost.

        Raises:
            ServiceError: the service does not exist, or does not answer in time.
        """
        client = self.node.create_client(service_type, name, qos_profile=qos.make_service_profile())
        try:
            if not client.wait_for_service(timeout_s):
                raise ServiceError(f"no service {name} within {timeout_s:g} s: is its node running?")
            response = client.call_async(request)
            request_s = time.monotonic()
            wait_for(lambda: response.done() or is_lost(request_s), timeout_s)
            return response.result() if response.done() else None
        except TimeoutError as error:
            raise ServiceError(f"{name} did not answer within {timeout_s:g} s") from error
        finally:
            self.run(lambda: self.node.destroy_client(client))

    def run(self, function: Callable[[], T]) -> T:
        """Run a function in the thread of the session, between callbacks, and return its result."""
        task = self._executor.create_task(function)
        wait_for(task.done, description="the session's thread")
        return task.result()

    def close(self) -> None:
        """End thread, node and context. A thread whose callback hangs is left behind with them."""
        self._is_closing = True
        self._executor.shutdown(_MAX_END_S)
        self._thread.join(_MAX_END_S)
        if self.is_alive:
            return
        self.node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> RosSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Running state of the thread. False: no callback of the session's node runs any more."""
        return self._thread.is_alive()

    def _spin(self) -> None:
        """Run callbacks until the session is closed. A callback that raises an error is logged."""
        with contextlib.suppress(ExternalShutdownException, ShutdownException):
            while self._context.ok() and not self._is_closing:
                try:
                    self._executor.spin()
                    return
                except (ExternalShutdownException, ShutdownException):
                    raise
                except Exception as error:
                    message = "".join(traceback.format_exception(error))
                    self.node.get_logger().error(f"callback failed: {message}", throttle_duration_sec=5.0)
