from __future__ import annotations

from pathlib import Path

import pytest

from tracking_runtime.errors import ModelError
from tracking_runtime.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("options", "expected_name"),
    [
        (TrainingOptions(), "default"),
        (TrainingOptions(name="given"), "given"),
        (TrainingOptions(base_model="spax_small"), "spax_small_refined"),
        (TrainingOptions(base_model="spax_small", name="given"), "given"),
    ],
)
def test_model_name_follows_from_options(options: TrainingOptions, expected_name: str) -> None:
    assert options.resolve_name("default") == expected_name


def test_missing_base_model_is_named(tmp_path: Path) -> None:
    options = TrainingOptions(base_model=str(tmp_path / "missing.yaml"))

    with pytest.raises(ModelError, match=r"missing\.yaml"):
        options.resolve_name("default")
