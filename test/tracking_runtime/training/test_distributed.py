from __future__ import annotations

import pytest

from tracking_runtime.errors import ModelError
from tracking_runtime.training.distributed import (
    find_rank,
    is_first_process,
    join_processes,
    wait_for_all_processes,
)


def test_single_process_is_the_first_of_one() -> None:
    with join_processes("cpu") as device:
        wait_for_all_processes()

        assert device == "cpu"
        assert find_rank() == (0, 1)
        assert is_first_process()


@pytest.mark.parametrize(("rank", "is_first"), [("0", True), ("1", False)])
def test_torchrun_process_knows_its_rank_before_joining(
    rank: str, is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    monkeypatch.setenv("RANK", rank)

    assert is_first_process() == is_first


def test_missing_device_is_named() -> None:
    with pytest.raises(ModelError, match="device nonsense cannot be used"), join_processes("nonsense"):
        pass
