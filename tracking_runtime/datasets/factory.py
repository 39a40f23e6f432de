"""Opening of any benchmark, folder, recording or other source as a list of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tracking_runtime.datasets.annotation_videos import is_annotations, open_annotations
from tracking_runtime.datasets.attributes import read_attributes
from tracking_runtime.datasets.coco import is_coco, open_coco
from tracking_runtime.datasets.frame_folders import open_truth_files, open_video_folders
from tracking_runtime.datasets.hot import HotView, is_hot, open_hot
from tracking_runtime.datasets.result_files import normalize_name
from tracking_runtime.datasets.sequences import (
    BagSequence,
    ImageSequence,
    SourceSequence,
    Truths,
    TruthSequence,
    VideoSequence,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.io.ground_truth import GROUND_TRUTH_FILE_NAMES
from tracking_runtime.io.source_kinds import (
    BAG,
    CUBE,
    FOLDER,
    VIDEO,
    find_source_kind,
    list_cube_files,
    list_video_files,
)
from tracking_runtime.io.sources import (
    calibrate_source,
    is_live,
    is_source_address,
    open_source,
    parse_address,
)
from tracking_runtime.io.table_reader import TABLE_SUFFIXES, OnInvalidRow

Layout = Literal["auto", "annotations", "bag", "coco", "hot", "folders", "truth", "source"]
LAYOUTS: tuple[Layout, ...] = ("auto", "annotations", "bag", "coco", "hot", "folders", "truth", "source")


def open_dataset(
    path: str | Path,
    *,
    layout: Layout = "auto",
    view: HotView = "mosaic",
    class_names: Sequence[str] = (),
    on_invalid_row: OnInvalidRow = "raise",
    topic: str = "",
    camera: str = "",
    white: str = "",
    dark: str = "",
) -> list[VideoSequence]:
    """Open the videos at a path. Frames and ground truth are read on access.

    Args:
        path: folder, recording, COCO json or text file, or the address of any source that `open_source`
            takes: a video file, a cube, a folder of cubes, `bag:PATH?topic=TOPIC`, `scene:NAME?seed=1`.
        layout: layout of the files; `auto` detects it.
        view: camera of the HOT challenge.
        class_names: names of the classes that text files number from 1.
        on_invalid_row: `skip` leaves out invalid rows of ground truth, see `read_ground_truth`.
        topic: topic of the images, if recordings have several.
        camera: camera of all videos, as in `calibrate_source`; empty: as described beside the videos.
        white: white reference of all videos; empty: none.
        dark: dark reference of all videos; empty: none.

    Raises:
        SourceError: the path does not exist, or contains no readable video. The message names the file.
    """
    videos = _open_videos(path, layout, view, class_names, on_invalid_row, topic)
    if not camera and not white and not dark:
        return videos
    return [
        SourceSequence(calibrate_source(video, camera=camera, white=white, dark=dark)) for video in videos
    ]


def _open_videos(
    path: str | Path,
    layout: Layout,
    view: HotView,
    class_names: Sequence[str],
    on_invalid_row: OnInvalidRow,
    topic: str,
) -> list[VideoSequence]:
    """Open the videos as they are stored, see `open_dataset`."""
    root, topic = split_bag_address(path, topic)
    if layout in ("auto", "source") and not root.exists() and is_source_address(path):
        return [_open_source(path, class_names, on_invalid_row)]
    if not root.exists():
        raise SourceError(f"nothing at {root}: check the path")
    layout = _detect_layout(root) if layout == "auto" else layout
    videos: Sequence[VideoSequence]
    if layout == "source":
        files = list_video_files(root) or [root]
        videos = [_open_file(file, class_names, on_invalid_row, is_alone=len(files) == 1) for file in files]
    elif layout == "bag":
        videos = [_open_bag(bag, topic) for bag in find_bags(root)]
    elif layout == "annotations":
        videos = open_annotations(root)
    elif layout == "coco":
        json_path = _find_json(root)
        videos = (
            open_annotations(json_path)
            if is_annotations(json_path)
            else open_coco(json_path, on_invalid_row=on_invalid_row)
        )
    elif layout == "hot":
        videos = open_hot(root, view=view, on_invalid_row=on_invalid_row)
    elif layout == "folders":
        videos = open_video_folders(root, class_names=class_names, on_invalid_row=on_invalid_row)
    else:
        videos = open_truth_files(root, class_names=class_names, on_invalid_row=on_invalid_row)
    if not videos:
        raise SourceError(
            f"no videos, and no text files with ground truth, in {root}: expected images, recordings, a COCO "
            f"json or {', '.join(GROUND_TRUTH_FILE_NAMES)}"
        )
    return _add_attributes(videos, read_attributes(root))


def _open_source(
    address: str | Path, class_names: Sequence[str], on_invalid_row: OnInvalidRow
) -> VideoSequence:
    """Open any source as a video.

    Raises:
        SourceError: the source cannot be opened, or is a live camera, which has no end.
    """
    if is_live(address):
        raise SourceError(f"{address} is a live camera, whose frames have no end: use rstrack track")
    options: dict[str, str] = {}
    if parse_address(address).kind in (CUBE, FOLDER, VIDEO):
        options["malformed"] = on_invalid_row
        if class_names:
            options["classes"] = ",".join(class_names)
    return SourceSequence(open_source(address, **options))


def _open_file(
    path: Path, class_names: Sequence[str], on_invalid_row: OnInvalidRow, *, is_alone: bool
) -> VideoSequence:
    """Open a file as a video. One of several that is broken raises its error on access."""
    try:
        return _open_source(path, class_names, on_invalid_row)
    except SourceError as error:
        if is_alone:
            raise
        return TruthSequence(path.stem, path, _FailingTruth(str(error)))


def _add_attributes(
    videos: Sequence[VideoSequence], attributes: Mapping[str, tuple[str, ...]]
) -> list[VideoSequence]:
    return [
        replace(video, attributes=attributes[normalize_name(video.name)])
        if isinstance(video, (ImageSequence, TruthSequence)) and normalize_name(video.name) in attributes
        else video
        for video in videos
    ]


@dataclass(frozen=True)
class _FailingTruth:
    """A reader of ground truth that raises SourceError with a reason."""

    reason: str

    def __call__(self) -> Truths:
        raise SourceError(self.reason)


def split_bag_address(path: str | Path, topic: str) -> tuple[Path, str]:
    """Return the path and topic of an address `bag:PATH?topic=TOPIC`; other paths as they are."""
    if not str(path).startswith("bag:"):
        return Path(path), topic
    address = parse_address(path)
    return Path(address.location), str(address.options.get("topic", topic))


def _open_bag(bag: Path, topic: str) -> VideoSequence:
    """Open a recording as a video. A broken recording raises its error on access, so that the others work."""
    try:
        return BagSequence(bag, topic=topic)
    except SourceError as error:
        return TruthSequence(bag.resolve().stem, bag, _FailingTruth(str(error)))


def _detect_layout(root: Path) -> Layout:
    if is_annotations(root):
        return "annotations"
    if _list_coco_files(root) if root.is_dir() else root.suffix.lower() == ".json":
        return "coco"
    if root.is_file():
        if root.suffix.lower() in TABLE_SUFFIXES:
            return "truth"
        return "bag" if find_source_kind(root) == BAG else "source"
    if find_bags(root):
        return "bag"
    if is_hot(root):
        return "hot"
    cubes = list_cube_files(root)
    if any(path.suffix.lower() == ".hdr" for path in cubes):
        return "source"  # images beside ENVI cubes are previews
    if open_video_folders(root):
        return "folders"
    return "source" if cubes or list_video_files(root) else "truth"


def find_bags(path: Path) -> list[Path]:
    """Find the recordings at a path: the path itself, or the recordings directly below it."""
    if path.is_file() or _is_bag(path):
        return [path]
    return [child for child in list_visible(path) if child.is_dir() and _is_bag(child)]


def _is_bag(folder: Path) -> bool:
    return (folder / "metadata.yaml").is_file() or any(
        path.name.endswith((".mcap", ".db3", ".bag", ".zstd")) for path in list_visible(folder)
    )


def _list_coco_files(root: Path) -> list[Path]:
    return [path for path in list_visible(root) if path.suffix.lower() == ".json" and is_coco(path)]


def _find_json(root: Path) -> Path:
    if root.is_file():
        return root
    files = _list_coco_files(root)
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise SourceError(f"{root} must contain one COCO json: got {names}; give the path of a file")
    return files[0]
