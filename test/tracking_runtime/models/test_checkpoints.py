"""Files that are not checkpoints are refused with their name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_checkpoint, read_state_dict


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html><body>Quota exceeded</body></html>",
        b"https://drive.google.com/file/d/1abc/view",
        b"hello",
        b"error: not found",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\x80\x02" + bytes(range(60)),
    ],
)
def test_file_of_another_kind_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"weights\.pth"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "is not a checkpoint of PyTorch: it is a web page"),
        (b"", "is not a checkpoint of PyTorch: it is an empty file"),
        (b"PK\x03\x04" + bytes(90), r"the file is damaged or cut short \("),
    ],
)
def test_error_says_what_the_file_is_in_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=reason) as caught:
        read_checkpoint(path)

    assert "weights_only" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_archive_of_other_files_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/weights.pth", b"x")

    with pytest.raises(ModelError, match="a zip archive of 1 other files; unpack it"):
        read_checkpoint(path)


def test_object_that_could_run_code_is_named_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "args": Path("x")}, path)

    with pytest.raises(ModelError, match=r"contains an object of pathlib\.\w+, which could run code"):
        read_checkpoint(path)


def test_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(ModelError, match=r"weights\.pth"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [[1], {1: torch.zeros(1)}, {"state_dict": {1: torch.zeros(1)}}, {"state_dict": 3}, {"a": 3}]
)
def test_checkpoint_without_named_weights_is_named(content: object, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)

    with pytest.raises(ModelError, match=r"weights\.pth"):
        read_state_dict(path)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights\.pth"):
        read_checkpoint(tmp_path / "weights.pth")


def test_read_state_dict_removes_the_module_prefix(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"epoch": 3, "state_dict": {"module.a": torch.ones(2)}}, path)

    weights = read_state_dict(path)

    assert torch.equal(weights["a"], torch.ones(2))
