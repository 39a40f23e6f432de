"""Opening of any benchmark, folder or recording as a list of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tracking_runtime.datasets.attributes import read_attributes
from tracking_runtime.datasets.coco import is_coco, open_coco
from tracking_runtime.datasets.frame_folders import open_truth_files, open_video_folders
from tracking_runtime.datasets.hot import HotView, is_hot, open_hot
from tracking_runtime.datasets.result_files import normalize_name
from tracking_runtime.datasets.sequences import (
    BagSequence,
    ImageSequence,
    Truths,
    TruthSequence,
    VideoSequence,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.io.ground_truth import GROUND_TRUTH_FILE_NAMES
from tracking_runtime.io.sources import parse_address
from tracking_runtime.io.table_reader import TABLE_SUFFIXES, OnInvalidRow

Layout = Literal["auto", "bag", "coco", "hot", "folders", "truth"]
LAYOUTS: tuple[Layout, ...] = ("auto", "bag", "coco", "hot", "folders", "truth")


def open_dataset(
    path: str | Path,
    *,
    layout: Layout = "auto",
    view: HotView = "mosaic",
    class_names: Sequence[str] = (),
    on_invalid_row: OnInvalidRow = "raise",
    topic: str = "",
) -> list[VideoSequence]:
    """Open the videos at a path. Frames and ground truth are read on access.

    Args:
        path: folder, recording, COCO json or text file, or an address `bag:PATH?topic=TOPIC`.
        layout: layout of the files; `auto` detects it.
        view: camera of the HOT challenge.
        class_names: names of the classes that text files number from 1.
        on_invalid_row: `skip` leaves out invalid rows of ground truth, see `read_ground_truth`.
        topic: topic of the images, if recordings have several.

    Raises:
        SourceError: the path does not exist, or contains no readable video. The message names the file.
    """
    root, topic = split_bag_address(path, topic)
    if not root.exists():
        raise SourceError(f"nothing at {root}: check the path")
    layout = _detect_layout(root) if layout == "auto" else layout
    videos: Sequence[VideoSequence]
    if layout == "bag":
        videos = [_open_bag(bag, topic) for bag in find_bags(root)]
    elif layout == "coco":
        videos = open_coco(_find_json(root), on_invalid_row=on_invalid_row)
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
    if root.suffix.lower() == ".json" or (root.is_dir() and _list_coco_files(root)):
        return "coco"
    if root.is_file():
        return "truth" if root.suffix.lower() in TABLE_SUFFIXES else "bag"
    if find_bags(root):
        return "bag"
    if is_hot(root):
        return "hot"
    return "folders" if open_video_folders(root) else "truth"


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
