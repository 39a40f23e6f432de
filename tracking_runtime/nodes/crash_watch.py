"""Watch over other nodes: finds in their diagnoses when a process ended without a shutdown, or hangs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_MAX_SILENT_CHECKS = 4  # checks, one a second, without a diagnosis of an active node
_MAX_KNOWN_PROCESSES = 100  # process ids of a node that are remembered
_MAX_REASON = 500  # characters of a reason
_MAX_NODES = 1000  # watched nodes; a hostile peer can report under any name


@dataclass(frozen=True)
class Incident:
    """End or silence of a node that was not asked for.

    Attributes:
        node: name of the node with its namespace.
        reason: description of the event, for people.
    """

    node: str
    reason: str


@dataclass
class _Watched:
    state: str
    process: str
    known_processes: list[str] = field(default_factory=list)
    num_silent_checks: int = 0
    is_reported: bool = False


class CrashWatch:
    """Watch over the nodes of one namespace.

    A node that ends by itself or by its operator reports the state `finalized` first, with an `exit_status`
    if it cannot recover. A killed or crashed one does not: it falls silent, or another process reports under
    its name.

    Args:
        namespace: namespace of the nodes, with those below it.
        own_name: name of the node that watches, which is left out.
    """

    def __init__(self, namespace: str, own_name: str) -> None:
        self._prefix = namespace.rstrip("/") + "/"
        self._own_name = own_name
        self._nodes: dict[str, _Watched] = {}

    def receive(self, name: str, values: Mapping[str, str]) -> Incident | None:
        """Take a diagnosis, and return an incident if it shows one.

        Args:
            name: name of the node with its namespace.
            values: values of the diagnosis; nodes without `state` and `pid` are not watched, nor more than
                1000 nodes.
        """
        state, process = values.get("state"), values.get("pid")
        if not name.startswith(self._prefix) or name == self._own_name or state is None or process is None:
            return None
        if name not in self._nodes and len(self._nodes) >= _MAX_NODES:
            return None
        watched = self._nodes.setdefault(name, _Watched(state, process, [process]))
        is_new = process not in watched.known_processes
        has_crashed = is_new and watched.state != "finalized" and not watched.is_reported
        incident = None
        if has_crashed:
            reason = f"process {watched.process} ended without a shutdown, in state {watched.state}"
            incident = Incident(name, f"{reason}; process {process} runs now")
        elif "exit_status" in values and not watched.is_reported:
            reason = f"process {process} ends with status {values['exit_status']}"
            incident = Incident(name, f"{reason}: {values.get('last_error', '')}"[:_MAX_REASON])
        if is_new:
            watched.known_processes = [*watched.known_processes, process][-_MAX_KNOWN_PROCESSES:]
        watched.state, watched.process = state, process
        watched.num_silent_checks, watched.is_reported = 0, "exit_status" in values
        return incident

    def check(self) -> list[Incident]:
        """Return the nodes that have fallen silent since the check before. Call this once a second."""
        incidents = []
        for name, watched in self._nodes.items():
            watched.num_silent_checks += 1
            is_silent = watched.num_silent_checks > _MAX_SILENT_CHECKS and watched.state == "active"
            if is_silent and not watched.is_reported:
                watched.is_reported = True
                reason = f"process {watched.process} has ended or hangs: no diagnosis for "
                incidents.append(Incident(name, f"{reason}{watched.num_silent_checks} s, in state active"))
        return incidents
