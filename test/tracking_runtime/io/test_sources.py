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
        ("/nowhere/x", "nothing is at this path; .* begin with one of folder:, bag:, .*scene:"),
        ("movie:x", "begin with one of"),
        ("folder:/nowhere/at/all", "no folder at /nowhere/at/all"),
        ("bag:/nowhere/at/all", "/nowhere/at/all does not exist"),
        ("scene:moon", "no scene named 'moon'"),
        ("folder:/tmp?rate", "name=value"),
        ("folder:/tmp?pace=3", "options are folder, rate"),
        ("scene:satellite?frames=many", "frames must be a number: got 'many'"),
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

    with pytest.raises(SourceError, match="rate must be a number: got 'fast'"):
        open_source(f"folder:{tmp_path}?rate=fast")
    with pytest.raises(SourceError, match="rate must be a number: got True"):
        open_source(f"folder:{tmp_path}?rate=true")
    with pytest.raises(SourceError, match="rate 0"):
        open_source(f"folder:{tmp_path}?rate=0")


@pytest.mark.parametrize("name", ["plain", "a?b", "a?rate=3", "a:b"])
def test_open_source_bare_path_of_any_name_opens(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), np.zeros((4, 5), np.uint8))

    for address in (folder, f"{folder}?rate=25", f"folder:{folder}?rate=25", f"file://{folder}?rate=25"):
        source = open_source(address, rate=None)
        assert (source.name, len(source), source.rate_hz) == (
            name,
            1,
            25.0 if "rate=25" in str(address) else 10.0,
        )


def test_open_source_home_folder_and_options_are_heeded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((4, 5), np.uint8))

    assert open_source("~", rate=5).rate_hz == 5.0
    assert open_source("~?rate=7", rate=5).rate_hz == 7.0


@pytest.mark.parametrize("scene", ["satellite", "hyperspectral"])
def test_open_source_scene_without_a_seed_is_the_first_one(scene):
    if scene == "hyperspectral":
        pytest.importorskip("colour", reason="needs the extra `simulation`")
    default, first = (open_source(f"scene:{scene}?frames=1{seed}") for seed in ("", "&seed=0"))

    np.testing.assert_array_equal(next(iter(default)).image, next(iter(first)).image)
