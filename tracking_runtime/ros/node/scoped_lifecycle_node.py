"""Lifecycle node whose publishers, subscriptions, services and timers end with the opposite transition."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from tracking_runtime.ros.node import qos

STEADY_CLOCK = Clock(clock_type=ClockType.STEADY_TIME)
"""Clock of all timers. With `use_sim_time` the clock of a node may stand still, or jump back."""


class ScopedLifecycleNode(LifecycleNode):
    """Lifecycle node with a scope of resources for `configure` and one for `activate`.

    `advertise`, `subscribe`, `offer_service` and `add_timer` create resources in the scope of the current
    transition. `scope` takes others. A subclass chooses the scope and closes it in the opposite transition.
    """

    def __init__(self, name: str, **options: Any) -> None:
        """Create the node without the services of its lifecycle.

        Args:
            name: name of the node unless it is remapped.
            options: options of `rclpy.node.Node`.
        """
        super().__init__(name, enable_communication_interface=False, **options)
        self._configured_scope = ExitStack()
        self._active_scope = ExitStack()
        self._scope = self._configured_scope

    @property
    def state(self) -> str:
        """Lifecycle state: unconfigured, inactive, active, finalized, or the name of a transition state."""
        return str(self._state_machine.current_state[1])

    @property
    def scope(self) -> ExitStack:
        """Resources that the opposite of the current transition releases."""
        return self._scope

    def advertise(self, message_type: Any, topic: str, profile: QoSProfile) -> Publisher:
        """Create a publisher in the current scope. Users may override its QoS."""

        def report(event: Any) -> None:
            self.report_incompatible_qos("a subscriber", topic, event)

        publisher = self.create_publisher(
            message_type,
            topic,
            profile,
            qos_overriding_options=QoSOverridingOptions(qos.OVERRIDABLE_POLICIES),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=report),
        )
        self._scope.callback(self.destroy_publisher, publisher)
        return publisher

    def subscribe(
        self,
        message_type: Any,
        topic: str,
        callback: Callable[..., Any],
        profile: QoSProfile,
        group: CallbackGroup | None = None,
    ) -> Subscription:
        """Create a subscription in the current scope. Users may override its QoS."""

        def report(event: Any) -> None:
            self.report_incompatible_qos("the publisher", topic, event)

        subscription = self.create_subscription(
            message_type,
            topic,
            callback,
            profile,
            qos_overriding_options=QoSOverridingOptions(qos.OVERRIDABLE_POLICIES),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=report),
            callback_group=group,
        )
        self._scope.callback(self.destroy_subscription, subscription)
        return subscription

    def offer_service(
        self,
        service_type: Any,
        name: str,
        answer: Callable[[Any, Any], Any],
        group: CallbackGroup | None = None,
    ) -> None:
        """Create a service in the current scope.

        Args:
            service_type: type of the service.
            name: name of the service.
            answer: function that fills in a response for a request and returns the response.
            group: callback group; None: the node's default group.
        """
        service = self.create_service(
            service_type, name, answer, qos_profile=qos.make_service_profile(), callback_group=group
        )
        self._scope.callback(self.destroy_service, service)

    def add_timer(self, period_s: float, function: Callable[[], None]) -> None:
        """Call a function periodically in the current scope, by the steady clock.

        Args:
            period_s: time between two calls in seconds.
            function: function without arguments.
        """
        timer = self.create_timer(period_s, function, clock=STEADY_CLOCK)
        self._scope.callback(self.destroy_timer, timer)

    @abstractmethod
    def report_incompatible_qos(self, peer: str, topic: str, event: Any) -> None:
        """Report a publisher or subscriber whose QoS does not fit.

        Args:
            peer: description of the other side ("a subscriber").
            topic: name of the topic as given to `advertise` or `subscribe`.
            event: event of rclpy with the policy that differs.
        """
