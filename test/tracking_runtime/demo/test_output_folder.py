"""Tests of the demo's folder: nothing that a demo did not write is ever deleted or overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracking_runtime.demo.output_folder import prepare_output
from tracking_runtime.errors import SourceError

SCENARIOS = ["hyperspectral", "satellite"]


def write_earlier_demo(output: Path) -> list[Path]:
    """Write the files of a finished demo, and return them."""
    prepare_output(output, SCENARIOS)
    names = ["player.log", "spax_tracker.yaml", "frame_1.jpg", "bag/bag_0.mcap", "bag/metadata.yaml"]
    paths = [output / scenario / name for scenario in SCENARIOS for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text("demo")
    (output / "report.html").write_text("demo")
    return paths


def test_prepare_output_replaces_the_files_of_an_earlier_demo(tmp_path: Path) -> None:
    paths = write_earlier_demo(tmp_path / "demo")

    prepare_output(tmp_path / "demo", SCENARIOS)

    assert not any(path.exists() for path in paths)
    assert all((tmp_path / "demo" / name).is_dir() for name in SCENARIOS)


def test_prepare_output_keeps_a_users_files_in_a_demo(tmp_path: Path) -> None:
    write_earlier_demo(tmp_path)
    notes = [
        tmp_path / "notes.txt",
        tmp_path / "satellite/notes.txt",
        tmp_path / "satellite/work/frame_1.jpg",
    ]
    for path in notes:
        path.parent.mkdir(exist_ok=True)
        path.write_text("years of work")

    prepare_output(tmp_path, SCENARIOS)

    assert all(path.read_text() == "years of work" for path in notes)


def test_prepare_output_keeps_the_scenarios_that_do_not_run(tmp_path: Path) -> None:
    paths = write_earlier_demo(tmp_path)

    prepare_output(tmp_path, ["satellite"])

    assert [path.exists() for path in paths] == ["hyperspectral" in path.parts for path in paths]


@pytest.mark.parametrize(
    "name", ["satellite/player.log", "satellite/thesis.txt", "report.html", "metrics.json"]
)
def test_prepare_output_refuses_a_folder_of_other_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("years of work")

    with pytest.raises(SourceError, match=r"must be empty or contain an earlier demo: got .*--output"):
        prepare_output(tmp_path, SCENARIOS)

    assert path.read_text() == "years of work"
    assert sorted(item.name for item in tmp_path.iterdir()) == [Path(name).parts[0]]


def test_prepare_output_refuses_other_files_in_the_recording(tmp_path: Path) -> None:
    write_earlier_demo(tmp_path)
    (tmp_path / "satellite/bag/notes.txt").write_text("years of work")

    with pytest.raises(SourceError, match=r"satellite/bag must be the recording of an earlier demo"):
        prepare_output(tmp_path, SCENARIOS)

    assert (tmp_path / "satellite/bag/notes.txt").exists()


def test_prepare_output_follows_no_link_out_of_the_folder(tmp_path: Path) -> None:
    other = write_earlier_demo(tmp_path / "other")
    prepare_output(tmp_path / "demo", ["hyperspectral"])
    (tmp_path / "demo/satellite").symlink_to(tmp_path / "other/satellite")

    with pytest.raises(SourceError, match="satellite must be a folder: got a link"):
        prepare_output(tmp_path / "demo", SCENARIOS)

    assert all(path.exists() for path in other)


def test_prepare_output_below_a_file_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SourceError, match=r"file/demo cannot be written.*choose another --output"):
        prepare_output(tmp_path / "file/demo", SCENARIOS)
