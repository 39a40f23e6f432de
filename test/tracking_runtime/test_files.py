from __future__ import annotations

from pathlib import Path

import pytest

from tracking_runtime.files import atomic_write


def fail_while_writing(path: Path) -> None:
    with atomic_write(path) as partial_path:
        partial_path.write_text("half")
        raise RuntimeError("disk full")


def test_atomic_write_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old")

    with atomic_write(path) as partial_path:
        partial_path.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_error_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old")

    with pytest.raises(RuntimeError):
        fail_while_writing(path)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
