"""Process of a node: executor, signals and exit status."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import (
    InvalidHandle,
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from tracking_runtime.ros.node.autostart import Autostart
from tracking_runtime.ros.node.executor import TolerantExecutor
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.process_watchdog import EXIT_UNHEALTHY, end_process
from tracking_runtime.ros.processes import interrupt_with_parent
from tracking_runtime.ros.shared_memory import free_abandoned_memory

_SIGNALS = {signal.SIGINT, signal.SIGTERM}
# Time after the first signal in which further signals are the same request, in seconds: systemd and terminals
# send a signal to launch and to its nodes, and launch sends it to the nodes again.
_SAME_REQUEST_S = 3.0
_MAX_SHUTDOWN_S = 60.0  # time from the first signal to the end of the process
_ERROR_SHOWN_S = 30.0  # time in which a failed callback makes the diagnosis an error
_EXIT_BUILD_FAILED = 1
_EXIT_INVALID_PARAMETER = 2


def run_node(make_node: Callable[[], ManagedNode[Any]]) -> int:
    """Run one node until SIGINT or SIGTERM, then shut it down. A later signal ends the process at once.

    Returns:
        exit status: 0; 1 if the node should only be built and that failed; 2 if a parameter has an invalid
        value at the start; 70 if the node cannot recover by itself (then the process may end at once).
    """
    faulthandler.enable()  # writes the stacks of all threads if native code crashes
    is_signaled = _install_signal_handlers()
    # Objects of the imports stay for good. A collection of them takes 0.1 s, which delays frames.
    gc.freeze()
    interrupt_with_parent()
    free_abandoned_memory()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        try:
            node = make_node()
        except (ValueError, InvalidParameterTypeException, InvalidParameterValueException) as error:
            print(error, file=sys.stderr)
            return _EXIT_INVALID_PARAMETER
        if node.is_build_only:
            return _build_only(node)
        status = _spin(node, is_signaled)
        if node.has_stuck_threads:
            sys.stdout.flush()
            os._exit(status)  # Python would wait for the threads
    finally:
        rclpy.try_shutdown()
        for number in _SIGNALS:  # Python's default handlers would end the process while it exits
            signal.signal(number, signal.SIG_IGN)
    return status


def _build_only(node: ManagedNode[Any]) -> int:
    """Configure a node, log what it has built, shut it down, and return the exit status."""
    begin_s = time.monotonic()
    is_built = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    if is_built:
        engine = node.diagnose().values.get("engine", "nothing")
        node.get_logger().info(f"built in {time.monotonic() - begin_s:.0f} s: {engine}")
    node.shut_down()
    return 0 if is_built else _EXIT_BUILD_FAILED


def _spin(node: ManagedNode[Any], is_signaled: Future) -> int:
    """Run the callbacks of a node until a signal comes, shut the node down, and return the exit status."""
    executor = TolerantExecutor()
    executor.add_node(node)
    node.process_watchdog.start()
    status = 0
    if node.parameters.autostart:
        Autostart(node).attempt()
    while not is_signaled.done():
        try:
            executor.spin_until_future_complete(is_signaled)
        except InvalidHandle:
            node.get_logger().warning("a request stays without answer: its service has ended")
        except MemoryError as error:
            node.diagnostics.record_error("memory has run out", error)
            status = node.diagnostics.exit_status = EXIT_UNHEALTHY
            break
        except Exception as error:
            node.diagnostics.record_error("callback failed", error, _ERROR_SHOWN_S)
        except BaseException as error:
            node.diagnostics.record_error("callback ended the process", error)
            status = node.diagnostics.exit_status = EXIT_UNHEALTHY
            break
    _limit_shutdown()
    node.process_watchdog.stop()
    node.shut_down()
    executor.shutdown()
    node.destroy_node()
    return status


def _limit_shutdown() -> None:
    """End the process if its shutdown takes too long."""
    arguments = (f"its shutdown has taken {_MAX_SHUTDOWN_S:g} s",)
    timer = threading.Timer(_MAX_SHUTDOWN_S, end_process, arguments)
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:
        end_process("its shutdown cannot be supervised: memory is exhausted")


def _install_signal_handlers() -> Future:
    """Watch for signals in a thread, and return a future that the first signal completes."""
    is_signaled = Future()
    arguments = (_open_signal_pipe(), is_signaled)
    threading.Thread(target=_watch_signals, args=arguments, name="signals", daemon=True).start()
    return is_signaled


def _open_signal_pipe() -> int:
    """Open a pipe into which each signal writes its number as a byte, and return the end to read from."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    return read_end


def _watch_signals(pipe: int, is_signaled: Future) -> None:
    os.read(pipe, 1)
    is_signaled.set_result(None)
    _limit_shutdown()
    first_s = time.monotonic()
    while True:
        number = os.read(pipe, 1)[0]
        if time.monotonic() - first_s > _SAME_REQUEST_S:
            os._exit(128 + number)
