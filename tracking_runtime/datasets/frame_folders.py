"""Folders of frames with MOT or OTB text: SatVideoDT, SatMTB, VISO, SDM-Car, VOT, OTB and anything alike.

Every folder of images below a root is a video; its truth is a text file in it, beside it, or at its place in
a tree of annotations (``label/car/001.txt`` for ``img/car/001``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tracking_runtime.datasets.attributes import ATTRIBUTES_FOLDER
from tracking_runtime.datasets.conversion import converted_video
from tracking_runtime.datasets.file_tree import paths_below
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.io.ground_truth import FILE_NAMES, read_ground_truth
from tracking_runtime.io.sources import IMAGE_SUFFIXES, natural
from tracking_runtime.io.table_reader import Malformed

_IMAGE_FOLDERS = {"img", "img1", "imgs", "image", "images", "frames"}
_TRUTH_FOLDERS = ("gt", "label", "labels", "annotation", "annotations", "anno")
_USUAL_NAMES = {Path(name).name for name in FILE_NAMES}
_NAMED_TRUTH = re.compile(r"_(gt|groundtruth|groundtruth_rect)$", re.IGNORECASE)
_VIEWS = ("gt", "HSI", "HSI-FalseColor", "RGB")
_CATEGORIES = {"car": "car", "airplane": "airplane", "plane": "airplane", "ship": "ship", "train": "train"}


def video_folders(
    root: Path, *, class_names: Sequence[str] = (), malformed: Malformed = "raise", rate_hz: float = 10.0
) -> list[VideoSequence]:
    """The videos below a folder, in natural order.

    Args:
        root: of the tree.
        class_names: of the classes that the truth numbers from 1; without them a video has one class, named
            by the category in its path, if there is one.
        malformed: see ``read_ground_truth``.
        rate_hz: frames a second.
    """
    return [
        converted_video(name, folder, images)
        or ImageSequence(
            name,
            images,
            _TruthFile(_truth_of(folder, root), len(images), tuple(class_names), malformed),
            class_names=tuple(class_names) or (_category(folder),),
            rate_hz=rate_hz,
        )
        for name, folder, images in _image_folders(root)
    ]


def truth_files(
    root: Path, *, class_names: Sequence[str] = (), malformed: Malformed = "raise"
) -> list[VideoSequence]:
    """The text files with the truth of videos whose images are not here, in natural order.

    Files of the usual names (``groundtruth_rect.txt``, ``gt.txt``) are those of the folders that they are in;
    without any, every text file is the truth of the video that it is named like: ``car.txt``, ``car_gt.txt``.
    """
    below = (path for path in paths_below(root) if path.suffix == ".txt")
    paths = [root] if root.is_file() else _in_order(root, below)
    paths = [path for path in paths if path.parent != root / ATTRIBUTES_FOLDER]
    usual = [path for path in paths if path.name in _USUAL_NAMES and path != root]
    named = {_truth_name(path, root): path for path in reversed(usual or paths)}
    return [
        TruthSequence(
            name,
            path,
            _TruthFile(path, None, tuple(class_names), malformed),
            tuple(class_names) or ("object",),
        )
        for name, path in reversed(named.items())
    ]


class _TruthFile:
    """Reads the truth of one video when it is asked for; picklable, unlike a closure."""

    def __init__(
        self, path: Path | None, frames: int | None, class_names: tuple[str, ...], malformed: Malformed
    ) -> None:
        self._path, self._frames = path, frames
        self._class_names, self._malformed = class_names, malformed

    def __call__(self) -> Truths:
        if self._path is None:
            return []
        return read_ground_truth(
            self._path, self._frames, class_names=self._class_names, malformed=self._malformed
        )


def _image_folders(root: Path) -> Iterator[tuple[str, Path, tuple[Path, ...]]]:
    below = (path for path in paths_below(root) if path.is_dir())
    for folder in (root, *_in_order(root, below)):
        images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        if images:
            yield _name(folder, root), folder, tuple(sorted(images, key=natural))


def _in_order(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Paths below a root in natural order of every part."""
    return sorted(paths, key=lambda path: [natural(Path(part)) for part in path.relative_to(root).parts])


def _name(folder: Path, root: Path) -> str:
    parts = [part for part in folder.relative_to(root).parts if part.casefold() not in _IMAGE_FOLDERS]
    if parts:
        return "/".join(parts)
    place = root.resolve()
    return place.parent.name if place.name in _IMAGE_FOLDERS else place.name


def _truth_name(path: Path, root: Path) -> str:
    if path == root:
        return _NAMED_TRUTH.sub("", path.stem)
    relative = path.relative_to(root)
    if path.name not in _USUAL_NAMES:
        return _NAMED_TRUTH.sub("", relative.with_suffix("").as_posix())
    return "/".join(part for part in relative.parts[:-1] if part not in _VIEWS) or root.resolve().name


def _truth_of(folder: Path, root: Path) -> Path | None:
    places = [folder] + ([folder.parent] if folder != root or folder.name in _IMAGE_FOLDERS else [])
    beside = [place / name for place in places for name in FILE_NAMES]
    mirrored = [path for place in _annotation_places(folder, root) for path in place]
    return next((path for path in (*beside, *mirrored) if path.is_file()), None)


def _annotation_places(folder: Path, root: Path) -> Iterator[list[Path]]:
    """Where a tree of annotations would have the truth of a folder, for each of its ancestors."""
    place = folder.parent if folder.name.casefold() in _IMAGE_FOLDERS and folder != root else folder
    for ancestor in (place, *place.parents):
        inside = [part for part in place.relative_to(ancestor).parts if part.casefold() not in _IMAGE_FOLDERS]
        relative = Path(*inside) if inside else Path(place.name)
        trees = [ancestor / name for name in _TRUTH_FOLDERS]
        yield [tree / relative.with_name(f"{relative.name}.txt") for tree in trees] + [
            tree / relative / "gt.txt" for tree in trees
        ]
        if ancestor in (root, root.parent):
            return


def _category(folder: Path) -> str:
    return next((_CATEGORIES[part] for part in reversed(folder.parts) if part in _CATEGORIES), "object")
