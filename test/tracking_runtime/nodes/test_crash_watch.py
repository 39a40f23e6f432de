from __future__ import annotations

from tracking_runtime.nodes.crash_watch import CrashWatch


def diagnose(state: str, pid: int) -> dict[str, str]:
    return {"state": state, "pid": str(pid)}


def test_new_process_without_a_shutdown_is_an_incident() -> None:
    watch = CrashWatch("/", "/recorder")
    watch.receive("/spax_tracker", diagnose("active", 1))

    incident = watch.receive("/spax_tracker", diagnose("unconfigured", 2))

    assert incident is not None
    assert incident.node == "/spax_tracker"
    assert incident.reason == "process 1 ended without a shutdown, in state active; process 2 runs now"
    assert watch.receive("/spax_tracker", diagnose("active", 2)) is None


def test_silence_of_an_active_node_is_one_incident() -> None:
    watch = CrashWatch("/", "/recorder")
    watch.receive("/spax_tracker", diagnose("active", 1))

    incidents = [watch.check() for _ in range(8)]

    assert [len(found) for found in incidents] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert "no diagnosis for 5 s" in incidents[4][0].reason
    assert watch.receive("/spax_tracker", diagnose("unconfigured", 2)) is None, "told already"
    watch.receive("/spax_tracker", diagnose("active", 2))
    assert any(watch.check() for _ in range(8)), "the next process can crash too"


def test_shutdown_and_idle_nodes_are_no_incidents() -> None:
    watch = CrashWatch("/", "/recorder")
    watch.receive("/spax_tracker", diagnose("finalized", 1))
    watch.receive("/visualizer", diagnose("inactive", 2))

    assert watch.receive("/spax_tracker", diagnose("unconfigured", 3)) is None
    assert not any(watch.check() for _ in range(8))


def test_shutdown_of_a_node_that_cannot_recover_is_one_incident() -> None:
    watch = CrashWatch("/", "/recorder")
    watch.receive("/spax_tracker", diagnose("active", 1))
    failed = {"exit_status": "70", "last_error": "memory has run out: " + "x" * 1000}

    incident = watch.receive("/spax_tracker", {**diagnose("finalized", 1), **failed})

    assert incident is not None
    assert incident.reason.startswith("process 1 ends with status 70: memory has run out: xxx")
    assert len(incident.reason) == 500
    assert watch.receive("/spax_tracker", {**diagnose("finalized", 1), **failed}) is None
    assert watch.receive("/spax_tracker", diagnose("unconfigured", 2)) is None, "told already"


def test_two_nodes_of_one_name_are_one_incident() -> None:
    watch = CrashWatch("/", "/recorder")

    incidents = [watch.receive("/spax_tracker", diagnose("active", 1 + number % 2)) for number in range(10)]

    assert sum(incident is not None for incident in incidents) == 1


def test_watch_leaves_other_namespaces_and_nodes_out() -> None:
    watch = CrashWatch("/north", "/north/recorder")
    for name in ("/south/spax_tracker", "/north/recorder", "/northern/spax_tracker"):
        watch.receive(name, diagnose("active", 1))
    watch.receive("/north/driver", {"temperature": "40"})

    assert not any(watch.check() for _ in range(8))
    watch.receive("/north/spax_tracker", diagnose("active", 1))
    assert any(watch.check() for _ in range(8))


def test_hostile_peer_cannot_fill_the_memory() -> None:
    watch = CrashWatch("/", "/recorder")
    for number in range(3000):
        watch.receive(f"/node_{number}", diagnose("active", number))

    incidents = [incident for _ in range(8) for incident in watch.check()]

    assert len(incidents) == 1000
