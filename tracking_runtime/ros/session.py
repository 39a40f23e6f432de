"""A small node of one's own, spun by a thread: for programs that talk to nodes, and for tests."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from tracking_runtime.ros.waiting import wait_for

T = TypeVar("T")


class ServiceError(RuntimeError):
    """A service is not there, or does not answer. The message names it."""


class RosSession:
    """A ROS context with one node, from ``with`` to the end of the block.

    Attributes:
        node: its callbacks run in the session's thread.
    """

    def __init__(self, name: str, domain_id: int | None = None) -> None:
        self._context = Context()
        self._context.init(domain_id=domain_id)
        self.node = Node(name, context=self._context, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)
        self._thread.start()

    def listen(self, message_type: type[T], topic: str, qos: QoSProfile | int = 100) -> list[T]:
        """A list that grows by every message that arrives on a topic."""
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
        """The response of a service; None if it is lost.

        Args:
            service_type: of the service.
            name: of the service.
            request: to it.
            timeout_s: for the service to be there, and then to answer.
            is_lost: whether the response to what was asked at that time (``time.monotonic``) will not come.

        Raises:
            ServiceError: there is no such service, or it does not answer in time.
        """
        client = self.node.create_client(service_type, name)
        try:
            if not client.wait_for_service(timeout_s):
                raise ServiceError(f"no service {name} within {timeout_s:g} s: is its node running?")
            response, asked_s = client.call_async(request), time.monotonic()
            wait_for(lambda: response.done() or is_lost(asked_s), timeout_s)
            return response.result() if response.done() else None
        except TimeoutError as error:
            raise ServiceError(f"{name} did not answer within {timeout_s:g} s") from error
        finally:
            self.run(lambda: self.node.destroy_client(client))

    def run(self, function: Callable[[], T]) -> T:
        """The result of a function, run in the session's thread between callbacks."""
        task = self._executor.create_task(function)
        wait_for(task.done, what="the session's thread")
        return task.result()

    def close(self) -> None:
        """End thread, node and context."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> RosSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException, ShutdownException):
            self._executor.spin()
