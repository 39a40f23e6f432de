"""Addresses of frame sources: errors name the address and the cure."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracking_runtime.errors import SourceError
from tracking_runtime.io.sources import open_source


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("/data/x", "begin with one of folder:, bag:, scene:"),
        ("video:x", "begin with one of"),
        ("folder:/nowhere/at/all", "no folder at /nowhere/at/all"),
        ("bag:/nowhere/at/all", "/nowhere/at/all does not exist"),
        ("scene:moon", "no scene named 'moon'"),
        ("folder:/tmp?rate", "name=value"),
        ("folder:/tmp?pace=3", "options are folder, rate"),
    ],
)
def test_open_source_invalid_address_gives_the_reason(uri, reason):
    with pytest.raises(SourceError, match=reason):
        open_source(uri)


def test_open_source_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=f"no images .* in {tmp_path}"):
        open_source(f"folder:{tmp_path}")


def test_open_source_invalid_rate_is_an_error(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((4, 5), np.uint8))

    with pytest.raises(SourceError, match="rate"):
        open_source(f"folder:{tmp_path}?rate=fast")
    with pytest.raises(SourceError, match="rate 0"):
        open_source(f"folder:{tmp_path}?rate=0")
