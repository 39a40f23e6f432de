"""Where frames come from: a folder of images, a recording, or a simulated scene, by one kind of address.

``folder:PATH``, ``bag:PATH`` or ``scene:NAME``, each with options after a question mark, as in
``folder:/data/car-0001/img?rate=25`` or ``scene:satellite?seed=3&frames=150``.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import cv2
import dacite
import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray

from tracking_runtime.bags import BagReader
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, FrameSource, GroundTruth
from tracking_runtime.io.ground_truth import find_ground_truth, read_ground_truth
from tracking_runtime.io.table_reader import Malformed
from tracking_runtime.io.video_description import TRUTH_FILE, find_description
from tracking_runtime.messages.conversion import (
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    read_image,
    read_spectral_info,
    read_truth,
    stamp_ns,
)
from tracking_runtime.spectral_info import SpectralInfo

SCENES = "remote_sensing_tracking.scenes"
SPECTRAL_INFO_FILE = "spectral_info.yaml"

_TIFF = {".tif", ".tiff"}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", *_TIFF}
_IMAGE_FOLDERS = ("img", "img1", "HSI")
_RATE_HZ = 10.0
_LONGEST_WAIT_FOR_TRUTH = 16  # images in the order of the recording


def open_source(uri: str) -> FrameSource:
    """The source at an address.

    Raises:
        SourceError: the address, one of its options or what is there cannot be used.
    """
    kind, separator, rest = uri.partition(":")
    if not separator or kind not in _KINDS:
        kinds = ", ".join(f"{kind}:" for kind in _KINDS)
        raise SourceError(f"{uri!r} is no source of frames: it begins with one of {kinds}")
    place, _, query = rest.partition("?")
    try:
        options = dict(parse_qsl(query, strict_parsing=bool(query)))
    except ValueError as error:
        raise SourceError(f"{uri!r}: options are written name=value&name=value: {error}") from error
    return _KINDS[kind](uri, place, {name: _parsed(value) for name, value in options.items()})


def scene_names() -> list[str]:
    """The simulated scenes installed."""
    return sorted(point.name for point in entry_points(group=SCENES))


class FolderSource:
    """A folder of images as a camera, with the ground truth and the bands that lie in it or beside it.

    Images are taken in natural order of their names (``2.png`` before ``10.png``). The folder may also be the
    one above, with the images in ``img``, ``img1`` or ``HSI``. Ground truth is looked for under its usual
    names, the bands in ``spectral_info.yaml``, whose keys are the attributes of ``SpectralInfo``. What
    ``rstrack convert --to folder`` wrote has its stamps, classes and encoding as well.

    Args:
        folder: with the images.
        rate: frames a second; stamps are multiples of its inverse. None: as described, else 10.
        classes: names, separated by commas, of the classes that the ground truth numbers from 1.
        malformed: see ``read_ground_truth``.

    Raises:
        SourceError: there are no images, or a file beside them is not what it should be.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        rate: float | None = None,
        classes: str = "",
        malformed: Malformed = "raise",
    ) -> None:
        if rate is not None and rate <= 0:
            raise SourceError(f"rate {rate} of {folder} is not a number of frames a second")
        self._folder, self._paths = _image_paths(Path(folder))
        self._described = find_description(self._folder, len(self._paths))
        self._rate_hz = float(rate or (self._described.rate_hz if self._described else _RATE_HZ))
        self._stamps_ns = [round(index * 1e9 / self._rate_hz) for index in range(1, len(self._paths) + 1)]
        if self._described and rate is None:
            self._stamps_ns = list(self._described.stamps_ns)
        names = tuple(name for name in str(classes).split(",") if name)
        self._class_names = names or (self._described.class_names if self._described else ("object",))
        self._truth = self._read_truth(names, malformed)
        self._spectral_info = find_spectral_info(self._folder)

    @property
    def name(self) -> str:
        """The sequence's folder."""
        place = self._folder.resolve()
        return place.parent.name if place.name in _IMAGE_FOLDERS else place.name

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return self._rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the ground truth."""
        return self._class_names

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """The camera's bands, if they are described."""
        return self._spectral_info

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """The images, each read when it is asked for."""
        for path, stamp, truth in zip(self._paths, self._stamps_ns, self._truth, strict=True):
            image, encoding = read_image_file(path)
            if self._described:
                image, encoding = self._described.decoded(image), self._described.encoding
            yield Frame(stamp, image, encoding, truth=truth)

    def _read_truth(self, class_names: tuple[str, ...], malformed: Malformed) -> Sequence[GroundTruth | None]:
        path = find_ground_truth(self._folder)
        if path is None:
            return [None] * len(self._paths)
        if self._described and path == self._folder.parent / TRUTH_FILE and not class_names:
            return self._described.read_truth(path)
        return read_ground_truth(path, len(self._paths), class_names=class_names, malformed=malformed)


class BagSource:
    """The images of one camera in a recording, with their ground truth and bands.

    Args:
        path: of the recording, a folder or one file.
        topic: of the images; may be left out if the recording has one image topic, or one named ``image``.

    Attributes:
        image_topic: with the images.
        truth_topic: with their ground truth; empty if there is none.

    Raises:
        SourceError: there is no recording, or no such topic in it.
    """

    def __init__(self, path: str | Path, *, topic: str = "") -> None:
        self._reader = BagReader(path)
        self.image_topic = self._choose_images(topic)
        self.truth_topic = self._beside("ground_truth", TRACKS)
        self._info_topic = self._beside("spectral_info", SPECTRAL_INFO)

    @property
    def name(self) -> str:
        """The recording's folder or file."""
        return self._reader.path.resolve().stem

    @cached_property
    def rate_hz(self) -> float:
        """Frames a second, by the first frames' stamps."""
        stamps = [stamp_ns(message) for _, message in islice(self._reader.messages([self.image_topic]), 11)]
        periods = np.diff(stamps)
        return float(1e9 / np.median(periods)) if len(periods) and np.median(periods) > 0 else 10.0

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the ground truth."""
        message = self._first(self.truth_topic)
        return tuple(message.class_names) if message else ()

    @cached_property
    def spectral_info(self) -> SpectralInfo | None:
        """The camera's bands, if they were recorded."""
        message = self._first(self._info_topic)
        with self._naming(self._info_topic):
            return read_spectral_info(message) if message else None

    def __len__(self) -> int:
        """Number of images."""
        return self._reader.counts[self.image_topic]

    def __iter__(self) -> Iterator[Frame]:
        """The images in the order of the recording, each with the ground truth of its stamp."""
        waiting: deque[Frame] = deque()
        truths: dict[int, GroundTruth] = {}
        topics = [topic for topic in (self.image_topic, self.truth_topic) if topic]
        for record, message in self._reader.messages(topics):
            if record.topic == self.image_topic:
                waiting.append(self._frame(message))
            else:
                with self._naming(self.truth_topic):
                    truths[stamp_ns(message)] = read_truth(message)
            newest = next(reversed(truths), None)
            while waiting and (
                not self.truth_topic
                or (newest is not None and newest >= waiting[0].stamp_ns)
                or len(waiting) > _LONGEST_WAIT_FOR_TRUTH
            ):
                yield _with_truth(waiting.popleft(), truths)
        for frame in waiting:
            yield _with_truth(frame, truths)

    def _frame(self, message: Any) -> Frame:
        with self._naming(self.image_topic):
            return read_image(message)

    @contextmanager
    def _naming(self, topic: str) -> Iterator[None]:
        """A message that cannot be used is an error of the recording, named with its topic."""
        try:
            yield
        except ValueError as error:
            raise SourceError(f"{self._reader.path}, topic {topic}: {error}") from error

    def _first(self, topic: str) -> Any:
        return next((message for _, message in self._reader.messages([topic])), None) if topic else None

    def _choose_images(self, wanted: str) -> str:
        topics = self._reader.topics_of(IMAGE)
        candidates = [wanted] if wanted else [t for t in topics if t.rpartition("/")[2] == "image"] or topics
        if len(candidates) != 1 or candidates[0] not in topics:
            there = ", ".join(topics) or f"none, only {', '.join(self._reader.topics) or 'nothing'}"
            raise SourceError(f"{self._reader.path}: choose its images by topic=…; there: {there}")
        return candidates[0]

    def _beside(self, name: str, type_name: str) -> str:
        """The topic of a name and type in the namespace of the images; empty if there is none."""
        topic = f"{self.image_topic.rpartition('/')[0]}/{name}"
        return topic if topic in self._reader.topics_of(type_name) else ""


def read_image_file(path: Path) -> tuple[NDArray[Any], str]:
    """An image or cube, ``(height, width)`` or ``(height, width, channels)``, and its encoding.

    Colour comes as bgr8; TIFFs with bands as 8UC<n>, 16UC<n> or 32FC<n>, whichever axis the file keeps them
    on (where it does not say so, it is taken to be the shortest).

    Raises:
        SourceError: the file is not an image, or of samples that no encoding has.
    """
    if path.suffix.lower() in _TIFF:
        image, is_colour = _read_tiff(path)
    else:
        decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise SourceError(f"{path} is not an image that can be read")
        image = np.asarray(decoded)
        is_colour = image.ndim == 3 and image.dtype == np.uint8
        image = image[..., :3] if is_colour else image
    return np.ascontiguousarray(image), _encoding(path, image, is_colour)


def _read_tiff(path: Path) -> tuple[NDArray[Any], bool]:
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            is_colour = page.photometric == tifffile.PHOTOMETRIC.RGB
            bands_last = page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
            image = file.asarray() if bands_last else np.squeeze(file.asarray())
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        raise SourceError(f"{path} is not a TIFF that can be read: {error}") from error
    if image.ndim == 3 and not bands_last:
        image = np.moveaxis(image, int(np.argmin(image.shape)), 2)
    if is_colour and image.ndim == 3 and image.shape[2] in (3, 4) and image.dtype == np.uint8:
        return image[..., 2::-1], True
    return image.astype(np.float32) if image.dtype == np.float64 else image, False


def _encoding(path: Path, image: NDArray[Any], is_colour: bool) -> str:
    prefix = {"uint8": "8U", "uint16": "16U", "float32": "32F"}.get(image.dtype.name)
    if prefix is None or image.ndim not in (2, 3):
        raise SourceError(f"{path}: no encoding for {image.ndim} axes of {image.dtype.name}")
    if is_colour:
        return "bgr8"
    if image.ndim == 2 and prefix != "32F":
        return f"mono{8 * image.dtype.itemsize}"
    return f"{prefix}C{image.shape[2] if image.ndim == 3 else 1}"


def _image_paths(folder: Path) -> tuple[Path, list[Path]]:
    """The folder with the images, this one or one in it, and the images in natural order."""
    for place in (folder, *(folder / name for name in _IMAGE_FOLDERS)):
        if place.is_dir():
            paths = [path for path in place.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
            if paths:
                return place, sorted(paths, key=natural)
    if not folder.is_dir():
        raise SourceError(f"no folder at {folder}")
    raise SourceError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key: digits by their value, the rest by the alphabet."""
    return [(int(part), part) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


def find_spectral_info(folder: Path) -> SpectralInfo | None:
    """The bands described in ``spectral_info.yaml`` in a folder or beside it, if they are.

    Raises:
        SourceError: the file is not that.
    """
    candidates = (place / SPECTRAL_INFO_FILE for place in (folder, folder.parent))
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        return None
    rules = dacite.Config(strict=True, cast=[tuple, float, int])
    try:
        return dacite.from_dict(SpectralInfo, yaml.safe_load(path.read_text()), rules)
    except (yaml.YAMLError, dacite.DaciteError, ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"{path} does not describe a camera's bands: {error}") from error


def _with_truth(frame: Frame, truths: dict[int, GroundTruth]) -> Frame:
    truth = truths.get(frame.stamp_ns)
    for stamp in [stamp for stamp in truths if stamp < frame.stamp_ns]:
        del truths[stamp]
    return Frame(frame.stamp_ns, frame.image, frame.encoding, frame.frame_id, truth)


def _parsed(value: str) -> Any:
    if re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    try:
        return float(value)
    except ValueError:
        return {"true": True, "false": False}.get(value, value)


def _open_folder(uri: str, place: str, options: dict[str, Any]) -> FrameSource:
    return _built(uri, FolderSource, {"folder": place, **options})


def _open_bag(uri: str, place: str, options: dict[str, Any]) -> FrameSource:
    return _built(uri, BagSource, {"path": place, **options})


def _open_scene(uri: str, place: str, options: dict[str, Any]) -> FrameSource:
    found = list(entry_points(group=SCENES, name=place))
    if not found:
        raise SourceError(f"no scene named {place!r}; there: {', '.join(scene_names()) or 'none'}")
    return _built(uri, found[0].load(), options)


def _built(uri: str, kind: Callable[..., FrameSource], options: dict[str, Any]) -> FrameSource:
    """A source made with the options of an address."""
    signature = inspect.signature(kind)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise SourceError(f"{uri!r}: {error}; options are {', '.join(signature.parameters)}") from error
    try:
        return kind(**options)
    except SourceError:
        raise
    except (TypeError, ValueError) as error:
        raise SourceError(f"{uri!r}: {error}") from error


_KINDS: dict[str, Callable[[str, str, dict[str, Any]], FrameSource]] = {
    "folder": _open_folder,
    "bag": _open_bag,
    "scene": _open_scene,
}
