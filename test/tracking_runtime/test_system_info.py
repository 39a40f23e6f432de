"""Facts of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracking_runtime.system_info import has_bfloat16_instructions


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16 clzero", True), ("fpu amx_bf16", True), ("fpu avx512f avx512_bf16x", False)],
)
def test_bfloat16_instructions_are_flags_of_the_processor(flags: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: some\nflags\t\t: {flags}\n\n")

    assert has_bfloat16_instructions(tmp_path / "cpuinfo") is expected


def test_processor_without_flags_has_no_bfloat16(tmp_path: Path) -> None:
    assert not has_bfloat16_instructions(tmp_path / "absent")
