"""Settings of engines, and their names."""

from __future__ import annotations

import pytest

from tracking_runtime.engines import BACKENDS, EngineSettings
from tracking_runtime.engines.export import FORMATS
from tracking_runtime.engines.names import ENGINE_NAMES, EXPORT_FORMATS


@pytest.mark.parametrize(
    ("limit", "num_threads"), [(None, 3), ("2", 2), ("2,1", 2), ("8", 3), ("", 3), ("0", 3), ("many", 3)]
)
def test_threads_default_is_cores_limited_by_omp(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, num_threads: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)

    assert EngineSettings().num_cpu_threads == num_threads
    assert EngineSettings(threads=5).num_cpu_threads == 5


def test_names_of_options_match_backends_and_formats() -> None:
    assert tuple(backend.name for backend in BACKENDS) == ENGINE_NAMES
    assert tuple(FORMATS) == EXPORT_FORMATS
