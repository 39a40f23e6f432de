"""Any benchmark, folder or recording as a list of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tracking_runtime.datasets.attributes import read_attributes
from tracking_runtime.datasets.coco import coco_sequences
from tracking_runtime.datasets.frame_folders import truth_files, video_folders
from tracking_runtime.datasets.hot import View, hot_sequences, is_hot
from tracking_runtime.datasets.result_files import comparable
from tracking_runtime.datasets.sequences import (
    BagSequence,
    ImageSequence,
    Truths,
    TruthSequence,
    VideoSequence,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.io.table_reader import Malformed

Layout = Literal["auto", "bag", "coco", "hot", "folders", "truth"]
LAYOUTS: tuple[Layout, ...] = ("auto", "bag", "coco", "hot", "folders", "truth")


def open_dataset(
    path: str | Path,
    *,
    layout: Layout = "auto",
    view: View = "mosaic",
    class_names: Sequence[str] = (),
    malformed: Malformed = "raise",
) -> list[VideoSequence]:
    """The videos at a place, none of them read yet but for where their files lie.

    Args:
        path: a folder, a recording, a COCO json or a text file.
        layout: how it is laid out; ``auto`` finds out.
        view: which camera of the HOT challenge.
        class_names: of the classes that text files number from 1.
        malformed: what to do about rows of truth that cannot be believed, see ``read_ground_truth``.

    Raises:
        SourceError: there is nothing, or nothing that can be read; the message names it.
    """
    place = Path(path)
    if not place.exists():
        raise SourceError(f"nothing at {place}")
    layout = _layout_of(place) if layout == "auto" else layout
    found: Sequence[VideoSequence]
    if layout == "bag":
        found = [_opened(bag) for bag in find_bags(place)]
    elif layout == "coco":
        found = coco_sequences(_json_of(place), malformed=malformed)
    elif layout == "hot":
        found = hot_sequences(place, view=view, malformed=malformed)
    elif layout == "folders":
        found = video_folders(place, class_names=class_names, malformed=malformed)
    else:
        found = truth_files(place, class_names=class_names, malformed=malformed)
    if not found:
        raise SourceError(f"no videos, and no text files with ground truth, in {place}")
    return _with_attributes(found, read_attributes(place))


def _with_attributes(
    videos: Sequence[VideoSequence], attributes: Mapping[str, tuple[str, ...]]
) -> list[VideoSequence]:
    return [
        replace(video, attributes=attributes[comparable(video.name)])
        if isinstance(video, (ImageSequence, TruthSequence)) and comparable(video.name) in attributes
        else video
        for video in videos
    ]


@dataclass(frozen=True)
class _Fails:
    """In place of a truth: why there is none."""

    reason: str

    def __call__(self) -> Truths:
        raise SourceError(self.reason)


def _opened(bag: Path) -> VideoSequence:
    """A recording as a video; one that cannot be opened says so where it is used, and stops no other."""
    try:
        return BagSequence(bag)
    except SourceError as error:
        return TruthSequence(bag.resolve().stem, bag, _Fails(str(error)))


def _layout_of(place: Path) -> Layout:
    if place.suffix == ".json" or (place.is_dir() and any(place.glob("*.json"))):
        return "coco"
    if place.is_file():
        return "truth" if place.suffix == ".txt" else "bag"
    if find_bags(place):
        return "bag"
    if is_hot(place):
        return "hot"
    return "folders" if video_folders(place) else "truth"


def find_bags(place: Path) -> list[Path]:
    """The recordings at a place: itself, or those right below it."""
    if place.is_file() or _is_bag(place):
        return [place]
    return sorted(path for path in place.iterdir() if path.is_dir() and _is_bag(path))


def _is_bag(folder: Path) -> bool:
    return (folder / "metadata.yaml").is_file() or any(folder.glob("*.mcap"))


def _json_of(place: Path) -> Path:
    if place.is_file():
        return place
    files = sorted(place.glob("*.json"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise SourceError(f"{place}: name one of its json files; there: {names}")
    return files[0]
