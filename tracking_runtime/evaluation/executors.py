"""Execution of jobs: in this process, in several processes, or by the workers of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from pathlib import Path

from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.jobs import Job, evaluate_video
from tracking_runtime.evaluation.result_store import VideoResult, find_finished_result

_THREADS_VARIABLE = "OMP_NUM_THREADS"
_CONNECT_TIMEOUT_S = 10

OpenExecutor = Callable[[], AbstractContextManager[Executor]]
"""Function that opens an executor, which is closed at the end of a `with` block."""


def run_jobs(
    jobs: Sequence[Job], folder: Path, open_executor: OpenExecutor | None = None
) -> Iterator[VideoResult]:
    """Run jobs and yield each result when it is ready. Do not run jobs again that have finished.

    Args:
        jobs: jobs with unique names.
        folder: folder of the run, for `videos/NAME.json`, `results/NAME.txt` and `pictures/NAME.jpg`.
        open_executor: function that opens the executor of the jobs; None: this process, one job after the
            other.
    """
    for subfolder in ("videos", "results", "pictures"):
        (folder / subfolder).mkdir(parents=True, exist_ok=True)
    remaining = []
    for job in jobs:
        finished = find_finished_result(folder, job.name, job.fingerprint)
        if finished is None:
            remaining.append(job)
        else:
            yield finished
    if open_executor is None:
        yield from (evaluate_video(job, folder) for job in remaining)
    else:
        yield from _run_in_executor(remaining, folder, open_executor)


@contextmanager
def open_process_pool(num_processes: int) -> Iterator[Executor]:
    """Open a pool of processes of this machine, each with newly loaded libraries and its part of the cores.

    Args:
        num_processes: number of processes.
    """
    previous = os.environ.get(_THREADS_VARIABLE)
    os.environ[_THREADS_VARIABLE] = previous or str(max((os.cpu_count() or 1) // num_processes, 1))
    try:
        with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        if previous is None:
            del os.environ[_THREADS_VARIABLE]


@contextmanager
def open_dask_pool(address: str) -> Iterator[Executor]:
    """Open a pool of the workers of a Dask scheduler. The workers must share this machine's file system.

    Args:
        address: address of the scheduler.

    Raises:
        SourceError: Dask is not installed, or the scheduler does not answer.
    """
    try:
        from distributed import Client
    except ImportError:
        raise SourceError("a fleet needs Dask: pip install 'remote_sensing_tracking[fleet]'") from None
    try:
        client = Client(address, timeout=_CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise SourceError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        yield client.get_executor(pure=False)


def _run_in_executor(jobs: Sequence[Job], folder: Path, open_executor: OpenExecutor) -> Iterator[VideoResult]:
    """Run jobs in an executor. If a process dies, run each job that was in progress again on its own."""
    interrupted: list[Job] = []
    with open_executor() as pool:
        job_by_future: dict[Future[VideoResult], Job] = {
            pool.submit(evaluate_video, job, folder): job for job in jobs
        }
        for future in as_completed(job_by_future):
            job = job_by_future[future]
            try:
                yield future.result()
            except BrokenProcessPool:
                interrupted.append(job)
            except Exception as error:
                yield VideoResult(job.name, job.fingerprint, f"{type(error).__name__}: {error}")
    for job in interrupted:
        with open_process_pool(1) as pool:
            try:
                yield pool.submit(evaluate_video, job, folder).result()
            except BrokenProcessPool:
                yield VideoResult(job.name, job.fingerprint, "its process died; is there enough memory?")
