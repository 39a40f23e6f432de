"""Fuzzing of the readers: `make fuzz`, or `python test/fuzz/run.py --help`.

Each reader runs in a process of its own. With atheris (extra `fuzz`), the coverage of the code guides the
mutations; without it, `mutation.py` mutates the seeds. A finding is an error that is not documented, a
reading of more than two seconds, more than 512 MB of memory, or the end of the process. Findings are made
small and written to a folder; a fixed one belongs into `test/fuzz/regressions/READER/`. A file `summary.json`
beside them counts the inputs of each reader.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import logging
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))  # the modules import each other as the package `fuzz`

_MAX_SECONDS = 2  # longest time of the CPU for one reading
_MAX_HANG_SECONDS = (
    60  # time after which a reading that no signal ends ends the process, on a busy machine too
)
_MAX_GROWTH_KB = 512 * 1024  # most memory above that of the process before the reading
_MAX_ADDRESS_SPACE = 16 << 30  # bytes
_MAX_MINIMIZING_STEPS = 300
_CURRENT = "current"  # file with the input of the reading in progress
_MAX_INPUT_BYTES = 1 << 20
_REARM_S = 1.0  # time between two starts of the timer that ends a process that hangs
_SUMMARY = "summary.json"


class HangError(BaseException):
    """A reading that took too long."""


@dataclass
class Result:
    """Result of a reader.

    Attributes:
        reader: name of the reader.
        inputs: number of inputs that it has read.
        cpu_s: time of the CPU that this took, in seconds.
        findings: number of findings.
    """

    reader: str
    inputs: int = 0
    cpu_s: float = 0.0
    findings: int = 0

    def __str__(self) -> str:
        rate = self.inputs / self.cpu_s if self.cpu_s else 0.0
        return f"{self.reader:20} {self.inputs:>9} inputs {rate:>9.1f}/s {self.findings:>3} findings"


class Findings:
    """Inputs that gave another error than the documented ones, one for each place in the code.

    Args:
        folder: folder of the run. The findings of its earlier rounds are known.
        reader: name of the reader.
    """

    def __init__(self, folder: Path, reader: str) -> None:
        self._folder = folder / reader
        self._reader = reader
        self._places = {path.read_text().partition("\n")[0] for path in self._folder.glob("*.txt")}
        self.num_new = 0

    def add(self, content: bytes, reason: str, place: str) -> None:
        """Write an input, its place and its reason, unless the same place has one already."""
        if place in self._places:
            return
        self._places.add(place)
        self.num_new += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / hashlib.sha256(content).hexdigest()[:12]
        path.write_bytes(content)
        path.with_name(f"{path.name}.txt").write_text(f"{place}\n{reason}")
        print(f"{self._reader}: {place} ({len(content)} bytes in {path})", file=sys.stderr, flush=True)


class CurrentInput:
    """Input of the reading in progress, in a file that outlives the process.

    Args:
        path: file to create.
    """

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_MAX_INPUT_BYTES)
            self._memory = mmap.mmap(file.fileno(), _MAX_INPUT_BYTES)

    def store(self, content: bytes) -> None:
        """Keep an input."""
        data = struct.pack("<Q", len(content)) + content
        self._memory[: len(data)] = data

    @staticmethod
    def read(path: Path) -> bytes:
        """Return the last input of an ended process; nothing if there was none."""
        data = path.read_bytes() if path.exists() else bytes(8)
        return data[8 : 8 + struct.unpack_from("<Q", data)[0]]


class TimeLimit:
    """Limits of the time of one reading: an error, or the end of the process if it does not come through."""

    def __init__(self) -> None:
        self._armed_s = -float("inf")
        signal.signal(signal.SIGVTALRM, self._raise)

    @contextmanager
    def apply(self) -> Iterator[None]:
        """Limit the time of the block."""
        now_s = time.monotonic()
        if now_s - self._armed_s > _REARM_S:  # it takes a thread, too much for each reading
            faulthandler.dump_traceback_later(_MAX_HANG_SECONDS, exit=True)
            self._armed_s = now_s
        signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    @staticmethod
    def end() -> None:
        """Remove the limit of the last reading, for the end of the process."""
        faulthandler.cancel_dump_traceback_later()

    @staticmethod
    def _raise(_: int, __: FrameType | None) -> None:
        raise HangError


class Target:
    """A reader that runs on one input after the other.

    Args:
        name: name of the reader.
        findings: where the faults go.
        folder: temporary folder.
    """

    def __init__(self, name: str, findings: Findings, folder: Path) -> None:
        from fuzz.reader import run_reader
        from fuzz.readers import READERS

        self.reader = next(reader for reader in READERS if reader.name == name)
        self.num_inputs = 0
        self._run_reader = run_reader
        self._findings = findings
        self._folder = folder / "reading"
        self._folder.mkdir()
        self._current = CurrentInput(folder / _CURRENT)
        self._time_limit = TimeLimit()
        self._peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(self, content: bytes) -> None:
        """Read an input. Add it to the findings if the reader does not keep its promise."""
        self.num_inputs += 1
        self._current.store(content)
        fault = self._find_fault(content)
        if fault is None:
            return
        place, reason = fault
        small = self._minimize(content, place) if place.startswith("error") else content
        self._findings.add(small, reason, place)

    def _find_fault(self, content: bytes) -> tuple[str, str] | None:
        """Return the place and the description of a fault; None if there is none."""
        try:
            with self._time_limit.apply():
                self._run_reader(self.reader, content, self._folder)
        except HangError:
            return f"hang {_find_place(sys.exc_info()[2])}", traceback.format_exc()
        except BaseException as error:  # SystemExit and others are faults too
            return f"error {type(error).__name__} {_find_place(error.__traceback__)}", traceback.format_exc()
        finally:
            self._clean()
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        growth_kb, self._peak_kb = peak_kb - self._peak_kb, max(peak_kb, self._peak_kb)
        return ("memory", f"{growth_kb} kB more") if growth_kb > _MAX_GROWTH_KB else None

    def _clean(self) -> None:
        """Remove what the reading has left, for the next one."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)

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


def _find_place(trace: object) -> str:
    """Return file and line of the innermost frame of the project in a traceback."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)  # type: ignore[arg-type]
        if any(part in frame.filename for part in ("tracking_runtime", "hsi_tracker_ros", "spax_ros"))
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside"


def _fuzz_by_mutation(target: Target, seconds: float, seed: int) -> None:
    from fuzz.mutation import mutate

    random_ = random.Random(seed)
    seeds = target.reader.make_seeds()
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        target.run(mutate(random_.choice(seeds), seeds, random_))


def _fuzz_by_coverage(target: Target, seconds: float, seed: int, report: Callable[[], None]) -> None:
    import atheris

    with tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(target.reader.make_seeds()):
            (Path(corpus) / str(number)).write_bytes(content)
        end_s = time.process_time() + seconds

        def run(content: bytes) -> None:
            target.run(content)
            if time.process_time() > end_s:
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
    sys.unraisablehook = lambda _: None  # libraries print errors in their callbacks
    _silence_libraries()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))
    if options.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["tracking_runtime", "hsi_tracker_ros"]):
            import fuzz.readers  # noqa: F401
    findings = Findings(options.output, options.worker)
    folder = Path(options.folder)
    target = Target(options.worker, findings, folder)
    begin_s = time.process_time()

    def report() -> None:
        TimeLimit.end()
        cpu_s = round(time.process_time() - begin_s, 3)
        result = Result(options.worker, target.num_inputs, cpu_s, findings.num_new)
        print(json.dumps(asdict(result)), flush=True)

    if options.engine == "atheris":
        _fuzz_by_coverage(target, options.seconds, options.seed, report)
    else:
        _fuzz_by_mutation(target, options.seconds, options.seed)
        report()


def _silence_libraries() -> None:
    """Discard what libraries in C write to the standard error. Python keeps it."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    faulthandler.enable(sys.stderr)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def _run_worker(name: str, seed: int, options: argparse.Namespace) -> Result:
    """Fuzz one reader in a process. A process that ends early is a finding."""
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base, prefix="rstrack-fuzz-") as folder:
        arguments = [
            *("--worker", name, "--folder", folder, "--output", str(options.output)),
            *("--seconds", str(options.seconds), "--seed", str(seed), "--engine", options.engine),
        ]
        process = subprocess.run(
            [sys.executable, __file__, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
        lines = [line for line in process.stdout.splitlines() if line.startswith("{")]
        if lines:
            return Result(**json.loads(lines[-1]))
        findings = Findings(options.output, name)
        content = CurrentInput.read(Path(folder) / _CURRENT)
        findings.add(content, process.stdout, f"process ended with {process.returncode}")
        return Result(name, findings=findings.num_new)


def _run_round(names: Sequence[str], seed: int, options: argparse.Namespace) -> Iterator[Result]:
    """Fuzz all readers, and yield their results as they come."""
    with ThreadPoolExecutor(options.jobs) as pool:
        yield from pool.map(lambda name: _run_worker(name, seed, options), names)


def _write_summary(results: dict[str, Result], options: argparse.Namespace) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    summary = {"seed": options.seed, "engine": options.engine}
    readers = [asdict(result) for result in results.values()]
    (options.output / _SUMMARY).write_text(json.dumps({**summary, "readers": readers}, indent=1))


def _choose_engine(name: str) -> str:
    if name != "auto":
        return name
    try:
        import atheris  # noqa: F401
    except ImportError:
        return "mutation"
    return "atheris"


def main() -> int:
    """Fuzz the readers, and print a table. Return 1 if there are findings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("readers", nargs="*", help="names of readers; default: all")
    parser.add_argument(
        "--seconds", type=float, default=20, help="time of the CPU for each reader in a round"
    )
    parser.add_argument("--inputs", type=int, default=1, help="rounds until this number of inputs in all")
    parser.add_argument("--jobs", type=int, default=1, help="number of readers at a time")
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
    options.output = options.output / f"seed_{options.seed}"
    from fuzz.readers import READERS

    names = options.readers or [reader.name for reader in READERS]
    print(f"seed {options.seed}, engine {options.engine}", flush=True)
    totals = {name: Result(name) for name in names}
    num_rounds = 0
    while sum(total.inputs for total in totals.values()) < options.inputs:
        for result in _run_round(names, options.seed + num_rounds, options):
            total = totals[result.reader]
            total.inputs += result.inputs
            total.cpu_s += result.cpu_s
            total.findings += result.findings
            print(total, flush=True)
            _write_summary(totals, options)
        num_rounds += 1
    num_inputs = sum(total.inputs for total in totals.values())
    num_findings = sum(total.findings for total in totals.values())
    print(f"{num_inputs} inputs over {len(names)} readers, {num_findings} findings in {options.output}")
    return 1 if num_findings else 0


if __name__ == "__main__":
    sys.exit(main())
