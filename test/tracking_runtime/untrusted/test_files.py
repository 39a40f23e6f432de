"""Pipes and devices in the place of files: each reader refuses them at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hsi_tracker_ros.cubes.camera_file import read_camera_file
from hsi_tracker_ros.training.clips import read_clips
from tracking_runtime.bags import BagReader
from tracking_runtime.datasets.attributes import read_attributes
from tracking_runtime.datasets.coco import is_coco, open_coco
from tracking_runtime.datasets.coco_video import read_coco_video
from tracking_runtime.datasets.cvat import read_cvat
from tracking_runtime.datasets.result_files import read_boxes, read_tracks
from tracking_runtime.datasets.track_files import read_track_file
from tracking_runtime.errors import TrackingError
from tracking_runtime.evaluation.run import read_run
from tracking_runtime.geography.reading import read_reference
from tracking_runtime.io.array_files import open_array_file
from tracking_runtime.io.envi import open_envi
from tracking_runtime.io.georeference import read_world_file
from tracking_runtime.io.ground_truth import read_ground_truth
from tracking_runtime.io.image_file import read_image_file
from tracking_runtime.io.raster import open_raster
from tracking_runtime.io.sources import open_source
from tracking_runtime.io.video_file import VideoFileSource
from tracking_runtime.models import signatures
from tracking_runtime.models.checkpoints import read_state_dict
from tracking_runtime.models.coreml import read_coreml_layers
from tracking_runtime.models.manifest import read_manifest
from tracking_runtime.models.public_models import read_catalog
from tracking_runtime.untrusted.files import SpecialFileError, open_file, read_file

_MAX_S = 20.0  # time in which a reader must refuse a pipe, on a busy machine

READERS: dict[str, Callable[[Path], object]] = {
    "image.png": read_image_file,
    "image.tif": open_raster,
    "bag.mcap": BagReader,
    "bag.db3": BagReader,
    "coco.json": open_coco,
    "video.json": read_coco_video,
    "annotations.xml": read_cvat,
    "cube.npy": open_array_file,
    "cube.mat": open_array_file,
    "cube.hdr": open_envi,
    "gt.txt": lambda path: list(read_ground_truth(path, 3)),
    "boxes.txt": lambda path: read_boxes(path, 3),
    "tracks.txt": lambda path: list(read_tracks(path)),
    "tracks.jsonl": read_track_file,
    "camera.yaml": read_camera_file,
    "camera.xml": read_camera_file,
    "net.yaml": read_manifest,
    "net.pth": read_state_dict,
    "net.mlmodel": read_coreml_layers,
    "catalog.yaml": read_catalog,
    "reference.yaml": read_reference,
    "image.tfw": lambda path: read_world_file(path),
    "clip.mp4": VideoFileSource,
    "clip.json": lambda path: read_clips(path.parent),
    "net.sig": lambda path: signatures.verify(path.with_suffix(".yaml"), b"", path.parent),
    "key.pem": lambda path: signatures.verify(path.with_suffix(".yaml"), b"", path.parent),
    "source": lambda path: open_source(str(path)),
    "scores.json": lambda path: read_run(path.parent),
}


def read_in_time(read: Callable[[], object]) -> object:
    """Return the result of a reader, or its error. Fail if it waits for the other end of a pipe."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(read())
        except TrackingError as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_MAX_S)

    assert not thread.is_alive(), "the reader waits for the other end of the pipe"
    assert results
    return results[0]


@pytest.mark.parametrize("name", READERS)
def test_pipe_in_the_place_of_a_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    os.mkfifo(path)

    result = read_in_time(lambda: READERS[name](path))

    assert isinstance(result, TrackingError)


@pytest.mark.parametrize("name", ["notes.json", "gt.txt", "video.yaml", "spectral_info.yaml", "seqinfo.ini"])
def test_pipe_beside_frames_does_not_stop_the_reading(
    name: str, tmp_path: Path, make_pictures: Callable[[Path], None]
) -> None:
    make_pictures(tmp_path)
    os.mkfifo(tmp_path / name)

    read_in_time(lambda: len(list(open_source(str(tmp_path)))))


@pytest.fixture
def make_pictures() -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for number in (1, 2):
            (folder / f"{number}.pgm").write_bytes(b"P5 8 6 255\n" + bytes(48))

    return make


def test_attributes_that_are_a_pipe_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "attributes.yaml")

    assert read_attributes(tmp_path) == {}


def test_json_that_is_a_pipe_is_not_coco(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")

    assert not is_coco(tmp_path / "a.json")


@pytest.mark.parametrize("read", [open_file, read_file])
def test_device_is_refused_with_its_kind(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "endless"
    path.symlink_to("/dev/zero")

    with pytest.raises(SpecialFileError, match="got a device, expected a file"):
        read(path)


def test_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    assert read_file(path) == b"abc"


def test_file_with_holes_above_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    with path.open("wb") as file:
        file.truncate(20 << 30)

    with pytest.raises(SpecialFileError, match=r"21474836480 bytes .* set RSTRACK_MAX_FILE_BYTES="):
        read_file(path)
    with pytest.raises(TrackingError, match="RSTRACK_MAX_FILE_BYTES"):
        read_image_file(path)


def test_text_with_an_endless_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    with path.open("wb") as file:
        file.truncate(20 << 30)

    with pytest.raises(TrackingError, match="a line must have fewer than 1000000 characters"):
        list(read_ground_truth(path, 3))
