from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracking_runtime
from tracking_runtime.errors import UnsafePathError
from tracking_runtime.files import (
    atomic_folder,
    atomic_write,
    describe_content,
    is_hidden,
    list_visible,
    make_unique_name,
    resolve_inside,
)


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


@pytest.mark.parametrize("name", ["img/001.png", "a..b/c.png", "./x"])
def test_resolve_inside_path_below_the_folder_is_returned(tmp_path: Path, name: str) -> None:
    assert resolve_inside(tmp_path, name) == (tmp_path / name).resolve()


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "", "a\0b", "out/001.png", "circle/x", "n" * 300, "\ud800"],
)
def test_resolve_inside_path_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")

    with pytest.raises(UnsafePathError, match="must be a path inside"):
        resolve_inside(folder, name)


def test_resolve_inside_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "img")

    assert resolve_inside(tmp_path, "link/1.png") == tmp_path.resolve() / "img" / "1.png"


def test_list_visible_leaves_out_hidden_and_system_files(tmp_path: Path) -> None:
    for name in ("2.png", "1.png", "._1.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).touch()
    for name in ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information"):
        (tmp_path / name).mkdir()

    assert [path.name for path in list_visible(tmp_path)] == ["1.png", "2.png"]
    assert is_hidden(tmp_path / "__MACOSX")
    assert not is_hidden(tmp_path / ".hidden_parent" / "1.png")


def test_atomic_folder_error_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "bag") as partial_folder:
            partial_folder.mkdir()
            (partial_folder / "half").touch()
            raise RuntimeError("disk full")

    (tmp_path / ".bag.partial" / "bag").mkdir(parents=True)  # of a process that was killed

    with pytest.raises(RuntimeError):
        fail()

    assert not list(tmp_path.iterdir())


def test_atomic_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "bag") as partial_folder:
        partial_folder.mkdir()
        assert not (tmp_path / "bag").exists()

    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "bag"):
        pass


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\0\0\0\x18ftypmp42", "a video"),
        (b"frame,id\n", "a text that begins with 'frame,id'"),
        (b"\x01\x02\xff\xfe", "4 bytes of an unknown format"),
    ],
)
def test_describe_content_names_the_kind_of_file(content: bytes, kind: str) -> None:
    assert describe_content(content).startswith(kind)


@given(st.lists(st.sampled_from(["car", "car_2", "car_3", "ship"])))
def test_make_unique_name_gives_each_caller_another_name(stems: list[str]) -> None:
    taken: set[str] = set()

    names = [make_unique_name(stem, taken) for stem in stems]

    assert len(set(names)) == len(names)
    assert taken == set(names)


def test_make_unique_name_counts_from_the_second_name() -> None:
    names = {"car"}

    assert [make_unique_name("car", names) for _ in range(2)] == ["car_2", "car_3"]


@pytest.mark.parametrize("libraries", ["lib/python3.11/site-packages", "local/lib/python3.10/dist-packages"])
def test_data_of_an_installation_is_found_without_its_workspace(tmp_path: Path, libraries: str) -> None:
    """The prefix of an installed package is found by the path of its code."""
    package = tmp_path / libraries / "tracking_runtime"
    package.mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "files.py", "lazy_exports.py"):
        shutil.copyfile(Path(tracking_runtime.__file__).with_name(name), package / name)
    data = tmp_path / "share" / "remote_sensing_tracking" / "config" / "a.yaml"
    data.parent.mkdir(parents=True)
    data.touch()
    program = "from tracking_runtime.files import find_data_file; print(find_data_file('config', 'a.yaml'))"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1"}

    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == str(data)
