"""MATLAB files that scipy must not see."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.documents import DocumentError
from tracking_runtime.untrusted.mat_files import check_mat_file

HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"


def make_element(kind: int, content: bytes) -> bytes:
    padding = b"" if kind == 15 else bytes(-len(content) % 8)
    return struct.pack("<II", kind, len(content)) + content + padding


def write(folder: Path, *elements: bytes) -> Path:
    path = folder / "x.mat"
    path.write_bytes(HEADER + b"".join(elements))
    return path


@pytest.mark.parametrize("is_compressed", [False, True])
def test_files_of_scipy_are_accepted(tmp_path, is_compressed):
    values = {
        "cube": np.arange(60, dtype=np.uint16).reshape(3, 4, 5),
        "number": 3.5,
        "text": "hello",
        "cells": np.array([np.ones(3), "a"], object),
        "record": {"res": np.ones((2, 4)), "name": "x"},
        "complex": np.ones(3) + 2j,
    }
    scipy.io.savemat(tmp_path / "x.mat", values, do_compression=is_compressed)

    check_mat_file(tmp_path / "x.mat")


@pytest.mark.parametrize("kind", [0, 8, 10, 19, 255, 25348, 65535])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_element_of_unknown_type_is_refused(tmp_path, kind, is_compressed):
    matrix = make_element(14, make_element(kind, b"12345678"))
    path = write(tmp_path, make_element(15, zlib.compress(matrix)) if is_compressed else matrix)

    with pytest.raises(DocumentError, match=f"unknown type {kind}"):
        check_mat_file(path)


def test_element_longer_than_the_file_is_refused(tmp_path):
    path = write(tmp_path, struct.pack("<II", 14, 2**31))

    with pytest.raises(DocumentError, match="longer than the rest"):
        check_mat_file(path)


def test_deep_cells_are_refused(tmp_path):
    matrix = make_element(9, b"12345678")
    for _ in range(50):
        matrix = make_element(14, matrix)

    with pytest.raises(DocumentError, match="nested too deep"):
        check_mat_file(write(tmp_path, matrix))


def test_compression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RSTRACK_MAX_IMAGE_BYTES", "1000000")
    matrix = make_element(14, make_element(2, bytes(2_000_000)))
    path = write(tmp_path, make_element(15, zlib.compress(matrix)))

    with pytest.raises(SourceError, match=r"x\.mat unpacked: .* RSTRACK_MAX_IMAGE_BYTES"):
        check_mat_file(path)
