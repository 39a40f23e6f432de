"""Frame sources by their address: a path, `KIND:PATH`, `scene:NAME`, `rtsp://...`, or a camera's index.

The kind of source at a bare path is found by its content. `folder:`, `bag:` and `video:` name the kind.
Options follow a question mark, for example `/data/car-0001/img?rate=25` or
`scene:satellite?seed=3&frames=150`. They are the arguments of the source's class.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import FrameSource
from tracking_runtime.io.source_kinds import BAG, CUBE, FOLDER, VIDEO, find_source_kind
from tracking_runtime.plugins import CAMERAS, SCENES, find_plugins, load_plugin

SCENE = "scene"
LIVE = "camera"
_STREAM = re.compile(r"(rtsps?|rtmps?|srt|udp|tcp|rtp|https?)://.", re.IGNORECASE)
_CAMERA = re.compile(r"(?:camera:|/dev/video)?(\d{1,3})")


@dataclass(frozen=True)
class SourceAddress:
    """An address, split into its parts.

    Attributes:
        text: the address as it was given.
        kind: kind of source: a key of the classes of sources, or `scene`.
        location: path, or name of the scene.
        options: arguments of the source's class, by name.
    """

    text: str
    kind: str
    location: str
    options: dict[str, Any]


def open_source(address: str | Path, **options: Any) -> FrameSource:
    """Open the source at an address.

    Args:
        address: path of a file or folder, or `KIND:LOCATION`; options may follow:
            `?name=value&name=value`.
        options: further arguments of the source's class. Those of the address come first. None: not given.
            Every source also takes `camera`, `white` and `dark`, see `calibrate_source`.

    Raises:
        SourceError: the address or an option is invalid, or the source cannot be read.
    """
    parsed = parse_address(address)
    given = {name: value for name, value in options.items() if value is not None}
    source_class, first_argument = _find_source_class(parsed)
    arguments = {**given, **parsed.options, **first_argument}
    own_names = inspect.signature(source_class).parameters
    calibration = {
        name: str(arguments.pop(name))
        for name in _CALIBRATION_OPTIONS
        if name in arguments.keys() - own_names
    }
    return calibrate_source(_build_source(parsed.text, source_class, arguments), **calibration)


def open_source_leniently(address: str | Path, *, topic: str = "", **options: Any) -> FrameSource:
    """Open a source for a purpose that needs no ground truth: what is invalid in it is noted and left out.

    Args:
        address: address of the source, as in `open_source`.
        topic: topic of the images, if a recording has several; empty: found. Other sources have none.
        options: further options, as in `open_source`.

    Raises:
        SourceError: the source cannot be read.
    """
    kind = parse_address(address).kind
    return open_source(
        address,
        malformed="ignore" if kind in (CUBE, FOLDER, VIDEO) else None,
        topic=topic or None if kind == BAG else None,
        **options,
    )


def calibrate_source(
    source: FrameSource, *, camera: str = "", white: str = "", dark: str = ""
) -> FrameSource:
    """Return a source as cubes of a camera, or as reflectance; the source itself without any option.

    Args:
        source: the source.
        camera: name of a known camera, or path of a camera file, to decode raw mosaics and to know the bands.
        white: image or cube of an evenly lit white surface.
        dark: image or cube without light.

    Raises:
        SourceError: the camera is unknown, or a file cannot be read.
    """
    if camera:
        return load_plugin(CAMERAS, "decoded")(source, camera, white=white, dark=dark)
    if white or dark:
        from tracking_runtime.io.reflectance import ReflectanceSource

        return ReflectanceSource(source, white=white, dark=dark)
    return source


def parse_address(address: str | Path) -> SourceAddress:
    """Split an address into kind, location and options. A path may itself contain `?` and `:`.

    Raises:
        SourceError: the address is neither a path of a source nor of a known kind, or its options are
            malformed.
    """
    text = str(address)
    live = _find_live_address(text)
    if live is not None:
        return SourceAddress(text, LIVE, live, {})
    kind, separator, rest = text.partition(":")
    is_bare = not separator or kind not in (*_CLASSES, SCENE)
    location, query = _split_query(text if is_bare else rest)
    if is_bare:
        path = expand_path(location)
        if not _exists(path):
            kinds = ", ".join(f"{kind}:" for kind in (*_CLASSES, SCENE))
            raise SourceError(
                f"{text!r} is not a source of frames: nothing is at this path; check the path, or begin with "
                f"one of {kinds}"
            )
        kind, location = find_source_kind(path), str(path)
    elif kind != SCENE:
        location = str(expand_path(location))
    try:
        options = dict(parse_qsl(query, strict_parsing=bool(query)))
    except ValueError as error:
        raise SourceError(f"{text!r}: options must be written name=value&name=value: {error}") from error
    if kind == FOLDER and options.keys() & _CUBE_OPTIONS:
        kind = CUBE
    return SourceAddress(text, kind, location, {name: _parse_value(value) for name, value in options.items()})


def expand_path(text: str | Path) -> Path:
    """Return the path of a text. `file://` is removed, and `~` is the home folder."""
    return Path(os.path.expanduser(str(text).removeprefix("file://")))  # Path.expanduser refuses `~x`


def is_live(address: str | Path) -> bool:
    """Return whether an address is that of a live camera, whose frames have no end."""
    return _find_live_address(str(address)) is not None


def list_scenes() -> list[str]:
    """Return the names of the installed simulated scenes."""
    return list(find_plugins(SCENES))


def is_source_address(address: str | Path) -> bool:
    """Return whether an address names its kind, is live, or has options, so that it is more than a path."""
    text = str(address)
    kind, separator, _ = text.partition(":")
    if separator and kind in (*_CLASSES, SCENE):
        return True
    return is_live(text) or _exists(expand_path(_split_query(text)[0]))


def _find_live_address(text: str) -> str | None:
    """Return the address of a network stream, or the index of a camera; None for other sources."""
    if _STREAM.match(text):
        return text
    camera = _CAMERA.fullmatch(text)
    is_file = text.isdigit() and _exists(Path(text))
    return camera[1] if camera and not is_file else None


def _split_query(text: str) -> tuple[str, str]:
    """Split at the last question mark before which a path exists, else at the first."""
    splits = [match.start() for match in re.finditer(r"\?", text)]
    for end in (len(text), *reversed(splits)):
        if _exists(expand_path(text[:end])):
            return text[:end], text[end + 1 :]
    location, _, query = text.partition("?")
    return location, query


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or with a null byte
        return False


def _parse_value(text: str) -> Any:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text, text)


def _find_source_class(address: SourceAddress) -> tuple[Callable[..., FrameSource], dict[str, Any]]:
    """Return the class of a source, and its arguments that the location of the address gives."""
    if address.kind == SCENE:
        scenes = find_plugins(SCENES)
        if address.location not in scenes:
            available = ", ".join(scenes) or "none"
            raise SourceError(f"no scene named {address.location!r}; available: {available}")
        return scenes[address.location].load(), {}
    if address.kind not in _CLASSES:
        raise SourceError(
            f"{address.text!r} cannot be read: sources of the kind {address.kind} are not supported"
        )
    module, class_name, argument = _CLASSES[address.kind]
    return getattr(importlib.import_module(module), class_name), {argument: address.location}


def _build_source(uri: str, source_class: Callable[..., FrameSource], options: dict[str, Any]) -> FrameSource:
    signature = inspect.signature(source_class)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise SourceError(f"{uri!r}: {error}; options are {', '.join(signature.parameters)}") from error
    for name, value in options.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        known = signature.parameters.get(name)
        if known is not None and known.annotation in _NUMBER_ANNOTATIONS and not is_number:
            raise SourceError(f"{uri!r}: {name} must be a number: got {value!r}")
    try:
        return source_class(**options)
    except SourceError:
        raise
    except (TypeError, ValueError) as error:
        raise SourceError(f"{uri!r}: {error}") from error


_NUMBER_ANNOTATIONS = {"int", "float", "int | None", "float | None"}
_CALIBRATION_OPTIONS = ("camera", "white", "dark")
_CUBE_OPTIONS = {"bands", "wavelengths"}  # options by which a folder of images is a source of cubes

# Module, class and first argument of each kind of source on disk. A module is imported with its first source.
_CLASSES: dict[str, tuple[str, str, str]] = {
    FOLDER: ("tracking_runtime.io.image_folder", "ImageFolderSource", "folder"),
    BAG: ("tracking_runtime.io.bag_source", "BagSource", "path"),
    CUBE: ("tracking_runtime.io.cube_source", "CubeSource", "path"),
    VIDEO: ("tracking_runtime.io.video_file", "VideoFileSource", "path"),
    LIVE: ("tracking_runtime.io.live_stream", "LiveSource", "address"),
}
