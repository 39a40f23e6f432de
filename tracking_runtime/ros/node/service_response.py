"""Responses of services with the fields `success` and `message`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.node import Node

from tracking_runtime.ros.node.diagnostics_updater import log_exception

_LOG_PERIOD_S = 1.0  # shortest time between two log lines of requests that the node refuses


@contextmanager
def fill_response(node: Node, action: str, response: Any) -> Iterator[None]:
    """Fill in `success` and `message` of a service response. Exceptions in the block make it a failure.

    Args:
        node: node that logs the failure.
        action: description of the service's job for messages ("set the target").
        response: response of the service. The block sets the message of a success.
    """
    response.success = False
    try:
        yield
    except (ValueError, TimeoutError) as error:
        response.message = str(error)
        node.get_logger().warning(f"cannot {action}: {error}", throttle_duration_sec=_LOG_PERIOD_S)
    except Exception as error:
        response.message = str(error) or type(error).__name__
        log_exception(node.get_logger(), f"cannot {action}: {response.message}", error)
    else:
        response.success = True
