"""Fuzzing of the readers: `make fuzz`, or `python test/fuzz/run.py --help`.

Each reader runs in a process of its own. With atheris (extra `fuzz`), the coverage of the code guides the
mutations; without it, `mutation.py` mutates the seeds. A finding is an error that is not documented, a
reading of more than two seconds, more than 512 MB of memory, or the end of the process. Findings are made
small and written to a folder; a fixed one belongs into `test/fuzz/regressions/READER/`.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

_MAX_SECONDS = 2  # longest time of the CPU for one reading
_MAX_HANG_SECONDS = 20  # time after which a reading that no signal ends ends the process
_MAX_GROWTH_KB = 512 * 1024  # most memory above that of the process before the reading
_MAX_ADDRESS_SPACE = 16 << 30  # bytes
_MAX_MINIMIZING_STEPS = 300
_CURRENT = "current"  # file with the input of the reading in progress


class HangError(BaseException):
    """A reading that took too long."""


class Findings:
    """Inputs that gave another error than the documented ones, one for each place in the code."""

    def __init__(self, folder: Path, reader: str) -> None:
        self._folder = folder
        self._reader = reader
        self._places: set[str] = set()

    def add(self, content: bytes, reason: str, place: str) -> None:
        """Write an input and its reason, unless the same place has one already."""
        if place in self._places:
            return
        self._places.add(place)
        folder = self._folder / self._reader
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(content).hexdigest()[:12]
        (folder / name).write_bytes(content)
        (folder / f"{name}.txt").write_text(reason)
        print(
            f"{self._reader}: {place} ({len(content)} bytes in {folder / name})", file=sys.stderr, flush=True
        )

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self._places)


class Target:
    """A reader that runs on one input after the other.

    Args:
        name: name of the reader.
        findings: where the faults go.
        folder: temporary folder.
    """

    def __init__(self, name: str, findings: Findings, folder: Path) -> None:
        from readers import READERS, run_reader

        self.reader = next(reader for reader in READERS if reader.name == name)
        self.num_inputs = 0
        self._run_reader = run_reader
        self._findings = findings
        self._folder = folder
        self._peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(self, content: bytes) -> None:
        """Read an input. Add it to the findings if the reader does not keep its promise."""
        self.num_inputs += 1
        (self._folder / _CURRENT).write_bytes(content)
        fault = self._find_fault(content)
        if fault is None:
            return
        place, reason = fault
        small = self._minimize(content, place) if place.startswith("error") else content
        self._findings.add(small, reason, place)

    def _find_fault(self, content: bytes) -> tuple[str, str] | None:
        """Return the place and the description of a fault; None if there is none."""
        reading_folder = self._folder / "reading"
        reading_folder.mkdir()
        try:
            with _limit_time():
                self._run_reader(self.reader, content, reading_folder)
        except HangError:
            return f"hang {_find_place(sys.exc_info()[2])}", traceback.format_exc()
        except BaseException as error:  # SystemExit and others are faults too
            return f"error {type(error).__name__} {_find_place(error.__traceback__)}", traceback.format_exc()
        finally:
            shutil.rmtree(reading_folder, ignore_errors=True)
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        growth_kb, self._peak_kb = peak_kb - self._peak_kb, max(peak_kb, self._peak_kb)
        return ("memory", f"{growth_kb} kB more") if growth_kb > _MAX_GROWTH_KB else None

    def _minimize(self, content: bytes, place: str) -> bytes:
        """Remove parts of an input as long as the fault stays."""
        size = max(len(content) // 2, 1)
        steps = 0
        while size and steps < _MAX_MINIMIZING_STEPS:
            position = 0
            while position < len(content) and steps < _MAX_MINIMIZING_STEPS:
                steps += 1
                shorter = content[:position] + content[position + size :]
                fault = self._find_fault(shorter)
                if fault is not None and fault[0] == place:
                    content = shorter
                else:
                    position += size
            size //= 2
        return content


@contextmanager
def _limit_time() -> Iterator[None]:
    def end(_: int, __: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_SECONDS)
    faulthandler.dump_traceback_later(_MAX_HANG_SECONDS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        faulthandler.cancel_dump_traceback_later()


def _find_place(trace: object) -> str:
    """Return file and line of the innermost frame of the project in a traceback."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)  # type: ignore[arg-type]
        if any(part in frame.filename for part in ("tracking_runtime", "hsi_tracker_ros", "spax_ros"))
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside"


def _fuzz_by_mutation(target: Target, seconds: float, seed: int) -> None:
    from mutation import mutate

    random_ = random.Random(seed)
    seeds = target.reader.make_seeds()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        target.run(mutate(random_.choice(seeds), seeds, random_))


def _fuzz_by_coverage(target: Target, seconds: float, seed: int, report: Callable[[], None]) -> None:
    import atheris

    with tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(target.reader.make_seeds()):
            (Path(corpus) / str(number)).write_bytes(content)
        end_s = time.monotonic() + seconds

        def run(content: bytes) -> None:
            target.run(content)
            if time.monotonic() > end_s:
                report()
                os._exit(0)  # libFuzzer takes any other end for a crash

        atheris.Setup(
            [
                sys.argv[0],
                corpus,
                f"-seed={seed % 2**31 or 1}",
                "-max_len=65536",
                "-rss_limit_mb=0",
                "-handle_alrm=0",
                "-verbosity=0",
                f"-artifact_prefix={corpus}/",
            ],
            run,
        )
        atheris.Fuzz()


def _work(options: argparse.Namespace) -> None:
    """Fuzz one reader in this process, and print the result as a JSON line."""
    warnings.simplefilter("ignore")
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))
    if options.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["tracking_runtime", "hsi_tracker_ros"]):
            import readers  # noqa: F401
    findings = Findings(options.output, options.worker)
    folder = Path(options.folder)
    target = Target(options.worker, findings, folder)
    begin_s = time.monotonic()

    def report() -> None:
        elapsed_s = time.monotonic() - begin_s
        result = {
            "reader": options.worker,
            "inputs": target.num_inputs,
            "per_second": round(target.num_inputs / elapsed_s, 1),
            "findings": len(findings),
        }
        print(json.dumps(result), flush=True)

    if options.engine == "atheris":
        _fuzz_by_coverage(target, options.seconds, options.seed, report)
    else:
        _fuzz_by_mutation(target, options.seconds, options.seed)
        report()


def _run_worker(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Fuzz one reader in a process. A process that ends early is a finding."""
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base, prefix="rstrack-fuzz-") as folder:
        arguments = [
            *("--worker", name, "--folder", folder, "--output", str(options.output)),
            *("--seconds", str(options.seconds), "--seed", str(options.seed), "--engine", options.engine),
        ]
        process = subprocess.run(
            [sys.executable, __file__, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
        lines = [line for line in process.stdout.splitlines() if line.startswith("{")]
        if lines:
            return dict(json.loads(lines[-1]))
        current = Path(folder) / _CURRENT
        content = current.read_bytes() if current.exists() else b""
        Findings(options.output, name).add(
            content, process.stdout, f"process ended with {process.returncode}"
        )
        return {"reader": name, "inputs": 0, "per_second": 0.0, "findings": 1}


def _choose_engine(name: str) -> str:
    if name != "auto":
        return name
    try:
        import atheris  # noqa: F401
    except ImportError:
        return "mutation"
    return "atheris"


def main() -> int:
    """Fuzz the readers one after the other, and print a table. Return 1 if there are findings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("readers", nargs="*", help="names of readers; default: all")
    parser.add_argument("--seconds", type=float, default=20, help="time for each reader")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers; 0: from the clock")
    parser.add_argument("--engine", choices=("auto", "atheris", "mutation"), default="auto")
    parser.add_argument("--output", type=Path, default=ROOT / "fuzz_findings", help="folder of the findings")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options)
        return 0
    options.seed = options.seed or time.time_ns() % 2**31
    options.engine = _choose_engine(options.engine)
    from readers import READERS

    names = options.readers or [reader.name for reader in READERS]
    print(f"seed {options.seed}, engine {options.engine}")
    results = []
    for name in names:
        results.append(_run_worker(name, options))
        print("{reader:20} {inputs:>9} inputs {per_second:>9}/s {findings:>3} findings".format(**results[-1]))
    total = sum(int(str(result["inputs"])) for result in results)
    num_findings = sum(int(str(result["findings"])) for result in results)
    print(f"{total} inputs over {len(results)} readers, {num_findings} findings in {options.output}")
    return 1 if num_findings else 0


if __name__ == "__main__":
    sys.exit(main())
