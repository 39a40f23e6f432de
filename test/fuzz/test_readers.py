"""Any bytes give a result or a documented error: mutated seeds, and files that once gave another error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .mutation import mutate
from .reader import Reader, iterate_regressions, run_reader
from .readers import READERS


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_seeds_are_read(reader: Reader, tmp_path: Path) -> None:
    seeds = reader.make_seeds()

    assert seeds
    for seed in seeds:
        run_reader(reader, seed, tmp_path)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_seed_gives_a_result_or_documented_error(reader: Reader, tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    seeds = reader.make_seeds()

    run_reader(reader, mutate(random_.choice(seeds), seeds, random_), tmp_path)


@pytest.mark.parametrize(
    ("reader", "path"),
    [
        pytest.param(reader, path, id=f"{reader.name}/{path.name}")
        for reader in READERS
        for path in iterate_regressions(reader)
    ],
)
def test_file_of_an_earlier_fault_gives_a_documented_error(
    reader: Reader, path: Path, tmp_path: Path
) -> None:
    run_reader(reader, path.read_bytes(), tmp_path)
