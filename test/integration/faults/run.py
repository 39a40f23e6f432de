"""Inject faults into live nodes and report: `python run.py --faults 500 --seed 1 --output DIR`."""

from __future__ import annotations

import argparse
import html
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from kinds import KINDS, Kind
from rig import Rig, Usage, check_accounts

from tracking_runtime.bags import BagReader
from tracking_runtime.ros.processes import make_local_environment, reserve_domain, set_environment
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import WaitTimeoutError, wait_for

_START_S = 120.0  # longest time until all nodes work at the start
_MAX_THREADS = 6  # growth of one process from its first to its last sample that is no leak
_MAX_HANDLES = 12
_MAX_MEMORY_FRACTION = 0.3


@dataclass
class Outcome:
    """Outcome of one fault.

    Attributes:
        number: number of the fault in the run.
        kind: name of the kind of fault.
        node: tracker under test.
        seed: seed of the fault.
        recovery_s: time from the end of the fault until all nodes worked, in seconds; None: not in time.
        account: difference between counted and published frames; empty if none.
        problem: description of what went wrong; empty if nothing.
        usage: resources of each tracker's process after the fault.
    """

    number: int
    kind: str
    node: str
    seed: int
    recovery_s: float | None = None
    account: str = ""
    problem: str = ""
    usage: dict[str, Usage] = field(default_factory=dict)


def run_fault(rig: Rig, kind: Kind, number: int, seed: int) -> Outcome:
    """Inject one fault and wait for the recovery."""
    rng = np.random.default_rng(seed)
    tracker = rig.trackers[int(rng.integers(len(rig.trackers)))]
    outcome = Outcome(number, kind.name, tracker.node, seed)
    try:
        kind.inject(rig, tracker, rng)
        ended_ns = time.time_ns()
        ended_s = time.monotonic()
        wait_for(lambda: rig.is_healthy(ended_ns, ended_ns), kind.limit_s, "the recovery")
        outcome.recovery_s = round(time.monotonic() - ended_s, 2)
        difference = check_accounts(rig.trackers)
        outcome.account = difference if kind.keeps_counters else ""
        outcome.usage = {each.node: each.measure() for each in rig.trackers}
    except WaitTimeoutError as error:
        outcome.problem = f"{error}: {rig.describe()}"
    except Exception:
        outcome.problem = traceback.format_exc()
    return outcome


def find_leaks(outcomes: list[Outcome]) -> list[str]:
    """Return a description of each resource that grew in one life of a process."""
    samples: dict[tuple[str, int], list[Usage]] = {}
    for outcome in outcomes:
        for node, usage in outcome.usage.items():
            samples.setdefault((node, usage.pid), []).append(usage)
    leaks = []
    for (node, pid), usages in samples.items():
        if len(usages) < 8:
            continue
        first, last = usages[3], usages[-1]
        growth = last.threads - first.threads, last.handles - first.handles
        if growth[0] > _MAX_THREADS or growth[1] > _MAX_HANDLES:
            leaks.append(f"{node} {pid}: {growth[0]} threads and {growth[1]} handles more")
        if len(usages) > 100 and last.memory_mb > first.memory_mb * (1 + _MAX_MEMORY_FRACTION):
            leaks.append(f"{node} {pid}: memory grew from {first.memory_mb:.0f} to {last.memory_mb:.0f} MB")
    return leaks


def check_recordings(folder: Path) -> dict[str, str]:
    """Read every recording below a folder. Return its number of messages, or the error."""
    results = {}
    for bag in sorted(path for path in folder.glob("recorder_*/bag*") if path.is_dir()):
        name = str(bag.relative_to(folder))
        try:
            number = sum(1 for _ in BagReader(bag).read_records())
            results[name] = f"{number} messages"
        except Exception as error:
            is_empty = not any(path.stat().st_size for path in bag.iterdir())
            results[name] = "empty: ended before its first message" if is_empty else f"ERROR: {error}"
    return results


def list_incidents(folder: Path) -> dict[str, str]:
    """Return the reason of each incident that the black box of a recorder saved."""
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())["reason"]
        for path in sorted(folder.glob("recorder_*/*/incident_*/incident.json"))
    }


def write_page(path: Path, report: dict[str, Any]) -> None:
    """Write the report as an HTML page."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for outcome in report["faults"]:
        by_kind.setdefault(outcome["kind"], []).append(outcome)
    rows = []
    for name, outcomes in sorted(by_kind.items()):
        times = [each["recovery_s"] for each in outcomes if each["recovery_s"] is not None]
        failed = [each for each in outcomes if each["problem"] or each["account"]]
        details = "<br>".join(
            html.escape(f"no. {each['number']}, seed {each['seed']}: {each['problem'] or each['account']}")
            for each in failed
        )
        figures = f"{np.median(times):.2f}</td><td>{max(times):.2f}" if times else "-</td><td>-"
        rows.append(
            f"<tr><td>{name}</td><td>{len(outcomes)}</td><td>{len(failed)}</td><td>{figures}</td>"
            f"<td>{details}</td></tr>"
        )
    recordings = _make_list(f"{name}: {result}" for name, result in report["recordings"].items())
    leaks = _make_list(report["leaks"])
    incidents = _make_list(f"{name}: {reason}" for name, reason in report["incidents"].items())
    header = ["kind", "faults", "failed", "median recovery [s]", "longest [s]", "problems"]
    path.write_text(
        "<!doctype html><meta charset=utf-8><title>Fault suite</title>"
        "<style>body{font-family:sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left;"
        "border-bottom:1px solid #ccc;vertical-align:top}</style>"
        f"<h1>Fault suite: {report['num_faults']} faults of {len(by_kind)} kinds, seed {report['seed']}</h1>"
        f"<p>{report['num_failed']} failed, in {report['duration_s']:.0f} s. "
        f"Exit statuses: {report['exits']}</p>"
        f"<table><tr><th>{'<th>'.join(header)}</tr>{''.join(rows)}</table>"
        f"<h2>Leaks</h2>{leaks}<h2>Recordings</h2>{recordings}"
        f"<h2>Black boxes</h2>{incidents}"
    )


def _make_list(items: Iterable[str]) -> str:
    return "<ul>" + ("".join(f"<li>{html.escape(item)}</li>" for item in items) or "<li>none</li>") + "</ul>"


def run(num_faults: int, seed: int, kinds: list[Kind], output: Path, max_s: float) -> dict[str, Any]:
    """Inject faults of all kinds in turn, shuffled by the seed, and return the report."""
    rng = np.random.default_rng(seed)
    outcomes: list[Outcome] = []
    begin_s = time.monotonic()
    with reserve_domain() as domain_id:
        environment = make_local_environment(domain_id)
        with set_environment(environment), RosSession("fault_suite", domain_id) as session:
            rig = Rig(session, output / "nodes", environment)
            try:
                started_ns = time.time_ns()
                wait_for(lambda: rig.is_healthy(started_ns, started_ns), _START_S, "the nodes at the start")
                check_accounts(rig.trackers)
                print(f"all nodes work after {time.monotonic() - begin_s:.1f} s", flush=True)
                while len(outcomes) < num_faults and time.monotonic() - begin_s < max_s:
                    for index in rng.permutation(len(kinds))[: num_faults - len(outcomes)]:
                        outcome = run_fault(rig, kinds[index], len(outcomes), int(rng.integers(2**31)))
                        outcomes.append(outcome)
                        _print_outcome(outcome)
                        if time.monotonic() - begin_s > max_s:
                            break
            except WaitTimeoutError as error:
                outcomes.append(
                    Outcome(len(outcomes), "start", "all", seed, problem=f"{error}: {rig.describe()}")
                )
                _print_outcome(outcomes[-1])
            finally:
                exits = rig.close()
    recordings = check_recordings(output / "nodes")
    leaks = find_leaks(outcomes)
    num_failed = sum(bool(outcome.problem or outcome.account) for outcome in outcomes)
    num_unreadable = sum(result.startswith("ERROR") for result in recordings.values())
    return {
        "seed": seed,
        "num_faults": len(outcomes),
        "num_kinds": len({outcome.kind for outcome in outcomes}),
        "num_failed": num_failed,
        "is_good": not (num_failed or num_unreadable or leaks or any(exits.values())),
        "duration_s": round(time.monotonic() - begin_s, 1),
        "exits": exits,
        "leaks": leaks,
        "recordings": recordings,
        "incidents": list_incidents(output / "nodes"),
        "faults": [asdict(outcome) for outcome in outcomes],
    }


def _print_outcome(outcome: Outcome) -> None:
    state = outcome.problem or outcome.account or "ok"
    recovery = "" if outcome.recovery_s is None else f"{outcome.recovery_s:.2f} s"
    print(f"{outcome.number:4} {outcome.kind:32} {outcome.node:14} {recovery:>8} {state}", flush=True)


def main() -> int:
    """Run the suite and return 0 if every node recovered from every fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=500, help="number of faults")
    parser.add_argument("--seed", type=int, default=0, help="seed; the same seed injects the same faults")
    parser.add_argument("--only", nargs="*", choices=sorted(KINDS), help="kinds of faults; default: all")
    parser.add_argument("--quick", action="store_true", help="only kinds that take about a second")
    parser.add_argument("--max-minutes", type=float, default=float("inf"), help="end after this time")
    parser.add_argument("--output", type=Path, default=Path("faults"), help="folder of report, logs and bags")
    arguments = parser.parse_args()
    kinds = [
        kind
        for kind in KINDS.values()
        if kind.name in (arguments.only or KINDS) and (kind.is_quick or not arguments.quick)
    ]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arguments.output.mkdir(parents=True, exist_ok=True)
    report = run(arguments.faults, arguments.seed, kinds, arguments.output, 60 * arguments.max_minutes)
    (arguments.output / "faults.json").write_text(json.dumps(report, indent=1))
    write_page(arguments.output / "faults.html", report)
    print(
        f"{report['num_faults']} faults of {report['num_kinds']} kinds in {report['duration_s']:.0f} s, "
        f"{report['num_failed']} failed; {arguments.output / 'faults.html'}"
    )
    return 0 if report["is_good"] else 1


if __name__ == "__main__":
    sys.exit(main())
