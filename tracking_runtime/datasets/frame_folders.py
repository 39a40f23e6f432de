"""Folders of frames with MOT or OTB text: SatVideoDT, SatMTB, VISO, SDM-Car, VOT, OTB and similar benchmarks.

Every folder of images below a root is a video. Its ground truth is a text file in the folder, beside the
folder, or at the same path in a tree of annotations (`label/car/001.txt` for `img/car/001`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracking_runtime.datasets.attributes import ATTRIBUTES_FOLDER
from tracking_runtime.datasets.conversion import open_converted_folder
from tracking_runtime.datasets.file_tree import walk_paths
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.files import list_visible
from tracking_runtime.io.frame_numbers import read_image_numbers
from tracking_runtime.io.ground_truth import find_truth_file, is_truth_name, read_ground_truth
from tracking_runtime.io.image_bands import find_spectral_info
from tracking_runtime.io.image_file import find_video_folder, list_images, make_natural_sort_key
from tracking_runtime.io.table_reader import TABLE_SUFFIXES, OnInvalidRow
from tracking_runtime.io.video_description import read_sequence_rate

_IMAGE_FOLDERS = {"img", "img1", "imgs", "image", "images", "frames"}
_ANNOTATION_FOLDERS = ("gt", "label", "labels", "annotation", "annotations", "anno")
_TRUTH_SUFFIX = re.compile(r"_(gt|groundtruth|groundtruth_rect)$", re.IGNORECASE)
_VIEW_FOLDERS = ("gt", "HSI", "HSI-FalseColor", "RGB")
_CATEGORIES = {"car": "car", "airplane": "airplane", "plane": "airplane", "ship": "ship", "train": "train"}


def open_video_folders(
    root: Path,
    *,
    class_names: Sequence[str] = (),
    on_invalid_row: OnInvalidRow = "raise",
    rate_hz: float = 10.0,
) -> list[VideoSequence]:
    """Open the videos below a folder in natural order.

    Args:
        root: folder.
        class_names: names of the classes that the ground truth numbers from 1. Empty: each video has one
            class, named by the category in its path, else `object`.
        on_invalid_row: `skip` leaves out invalid rows of ground truth, see `read_ground_truth`.
        rate_hz: frames per second of the videos without `seqinfo.ini`.
    """
    videos = list(_find_image_folders(root))
    num_videos = Counter(folder.parent for _, folder, _ in videos)  # by the folder that contains them
    return [
        open_converted_folder(name, folder, image_paths)
        or ImageSequence(
            name,
            image_paths,
            _TruthReader(
                _find_truth(folder, root, is_alone=num_videos[folder.parent] == 1),
                image_paths,
                tuple(class_names),
                on_invalid_row,
            ),
            class_names=tuple(class_names) or (_find_category(folder),),
            rate_hz=read_sequence_rate(folder) or rate_hz,
            spectral_info=find_spectral_info(folder, image_paths),
        )
        for name, folder, image_paths in videos
    ]


def open_truth_files(
    root: Path, *, class_names: Sequence[str] = (), on_invalid_row: OnInvalidRow = "raise"
) -> list[VideoSequence]:
    """Open text files of ground truth as videos without images, in natural order.

    A file with a usual name (`groundtruth_rect.txt`, `gt.txt`) belongs to the video that its folder names. If
    no such file exists, every text file belongs to the video that the file names: `car.txt`, `car_gt.txt`.

    Args:
        root: folder, or one text file.
        class_names: names of the classes that the files number from 1. Empty: one class, `object`.
        on_invalid_row: `skip` leaves out invalid rows, see `read_ground_truth`.
    """
    if root.is_file():
        paths = [root]
    else:
        below = (path for path in walk_paths(root) if path.suffix.lower() in TABLE_SUFFIXES)
        paths = _sort_naturally(root, below)
    paths = [path for path in paths if path.parent != root / ATTRIBUTES_FOLDER]
    usual_paths = [path for path in paths if is_truth_name(path) and path != root]
    # If several files have one name, the first counts.
    path_by_name = {_name_truth_file(path, root): path for path in reversed(usual_paths or paths)}
    return [
        TruthSequence(
            name,
            path,
            _TruthReader(path, None, tuple(class_names), on_invalid_row),
            tuple(class_names) or ("object",),
        )
        for name, path in reversed(path_by_name.items())
    ]


@dataclass(frozen=True)
class _TruthReader:
    """A reader of a video's ground truth. Unlike a closure, it can be pickled.

    Attributes:
        path: text file; None if the video has no ground truth.
        image_paths: images of the frames; None: the file has as many frames as it names.
        class_names: names of the classes that the file numbers from 1.
        on_invalid_row: policy for invalid rows.
    """

    path: Path | None
    image_paths: tuple[Path, ...] | None
    class_names: tuple[str, ...]
    on_invalid_row: OnInvalidRow

    def __call__(self) -> Truths:
        if self.path is None:
            return []
        return read_ground_truth(
            self.path,
            None if self.image_paths is None else len(self.image_paths),
            class_names=self.class_names,
            on_invalid_row=self.on_invalid_row,
            image_numbers=None if self.image_paths is None else read_image_numbers(self.image_paths),
        )


def _find_image_folders(root: Path) -> Iterator[tuple[str, Path, tuple[Path, ...]]]:
    """Yield the video name, the folder and the images of each folder that contains images."""
    below = (path for path in walk_paths(root) if path.is_dir())
    for folder in (root, *_sort_naturally(root, below)):
        images = list_images(folder)
        if images:
            yield _name_image_folder(folder, root), folder, tuple(images)


def _sort_naturally(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Sort paths below a root in natural order of every part."""
    return sorted(
        paths, key=lambda path: [make_natural_sort_key(Path(part)) for part in path.relative_to(root).parts]
    )


def _name_image_folder(folder: Path, root: Path) -> str:
    parts = [part for part in folder.relative_to(root).parts if part.casefold() not in _IMAGE_FOLDERS]
    if parts:
        return "/".join(parts)
    resolved = root.resolve()
    return resolved.parent.name if resolved.name in _IMAGE_FOLDERS else resolved.name


def _name_truth_file(path: Path, root: Path) -> str:
    if path == root:
        return _TRUTH_SUFFIX.sub("", path.stem)
    relative = path.relative_to(root)
    if not is_truth_name(path):
        return _TRUTH_SUFFIX.sub("", relative.with_suffix("").as_posix())
    return "/".join(part for part in relative.parts[:-1] if part not in _VIEW_FOLDERS) or root.resolve().name


def _find_truth(folder: Path, root: Path, *, is_alone: bool) -> Path | None:
    """Return the ground truth of an image folder: in or beside the folder, else in a tree of annotations.

    Args:
        folder: image folder.
        root: folder of all videos.
        is_alone: True if no other image folder is beside it, so that a file beside it must belong to it.
    """
    video_folder = find_video_folder(folder) or (folder.parent if is_alone and folder != root else None)
    folders = [folder] if video_folder is None else [folder, video_folder]
    beside = (find_truth_file(place) for place in folders)
    return next((path for path in (*beside, *_find_annotations(folder, root)) if path is not None), None)


def _find_annotations(folder: Path, root: Path) -> Iterator[Path | None]:
    """Yield the ground truth, or None, in each tree of annotations beside an ancestor of a folder."""
    video = folder.parent if folder.name.casefold() in _IMAGE_FOLDERS and folder != root else folder
    for ancestor in (video, *video.parents):
        parts = [part for part in video.relative_to(ancestor).parts if part.casefold() not in _IMAGE_FOLDERS]
        relative = Path(*parts) if parts else Path(video.name)
        trees = [ancestor / name for name in _ANNOTATION_FOLDERS]
        yield from (_find_table((tree / relative).parent, relative.name) for tree in trees)
        yield from (_find_table(tree / relative, "gt") for tree in trees)
        if ancestor in (root, root.parent):
            return


def _find_table(folder: Path, stem: str) -> Path | None:
    """Find a text file by its name without the suffix; None if none exists."""
    if not stem or not folder.is_dir():
        return None
    candidates = (path for path in list_visible(folder) if path.stem.casefold() == stem.casefold())
    return next(
        (path for path in candidates if path.suffix.lower() in TABLE_SUFFIXES and path.is_file()), None
    )


def _find_category(folder: Path) -> str:
    return next((_CATEGORIES[part] for part in reversed(folder.parts) if part in _CATEGORIES), "object")
