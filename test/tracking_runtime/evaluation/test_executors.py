"""Jobs in several processes and by a Dask cluster: resumed, with failures that do not stop the others."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.cli import rstrack
from tracking_runtime.datasets.result_files import write_boxes
from tracking_runtime.datasets.sequences import TruthSequence
from tracking_runtime.evaluation.executors import open_process_pool, run_jobs
from tracking_runtime.evaluation.job_planning import NamedVideo, make_jobs
from tracking_runtime.evaluation.jobs import ResultFiles
from tracking_runtime.io.ground_truth import read_ground_truth

BOXES = np.arange(12.0).reshape(3, 4) + 1


def run_evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["evaluate", *map(str, arguments)])


def write_results(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        write_boxes(folder / f"{name}.txt", BOXES)
    return folder


@pytest.mark.slow
def test_run_jobs_dead_process_fails_only_its_video(tmp_path):
    results_folder = write_results(tmp_path / "results", ["a", "b", "c", "dies"])
    readers = {name: partial(read_ground_truth, results_folder / f"{name}.txt", 3) for name in "abc"}
    readers["dies"] = partial(os._exit, 3)
    videos = [NamedVideo(name, TruthSequence(name, tmp_path, read)) for name, read in readers.items()]
    jobs = make_jobs(videos, ResultFiles(results_folder), robustness="one-pass")

    finished = run_jobs(jobs, tmp_path / "run", partial(open_process_pool, 2))
    results = {result.name: result for result in finished}

    assert {name for name, result in results.items() if result.error} == {"dies"}
    assert "its process died" in results["dies"].error
    assert all(results[name].scores.metrics["success_matlab"] == 1 for name in "abc")
    resumed = {result.name: result for result in run_jobs(jobs[:3], tmp_path / "run")}
    assert resumed == {name: results[name] for name in "abc"}


@pytest.mark.slow
def test_dask_pool_gives_the_same_bytes_as_one_process(tmp_path):
    """A local cluster of three processes."""
    distributed = pytest.importorskip("distributed", reason="needs the extra fleet")
    results_folder = write_results(tmp_path / "results", list("abcdef"))
    arguments = [results_folder, "--results", results_folder]

    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        fleet = run_evaluate(*arguments, "--fleet", address, "--output", tmp_path / "fleet")
    local = run_evaluate(*arguments, "--output", tmp_path / "local")

    assert fleet.exit_code == 0, fleet.output
    assert local.exit_code == 0, local.output
    assert len(list((tmp_path / "fleet" / "results" / "videos").glob("*.json"))) == 6
    for name in ("scores.json", "scores.csv"):
        by_fleet, by_local = (
            (tmp_path / output / "results" / name).read_bytes() for output in ("fleet", "local")
        )
        assert by_fleet == by_local
