"""Frame sources by their address: `folder:PATH`, `bag:PATH` or `scene:NAME`.

Options follow a question mark, for example `folder:/data/car-0001/img?rate=25` or
`scene:satellite?seed=3&frames=150`. They are the arguments of the source's class.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import FrameSource
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.image_folder import ImageFolderSource
from tracking_runtime.plugins import SCENES, find_plugins


def open_source(uri: str) -> FrameSource:
    """Open the source at an address.

    Raises:
        SourceError: the address or an option is invalid, or the source cannot be read.
    """
    kind, separator, rest = uri.partition(":")
    if not separator or kind not in _OPENERS:
        kinds = ", ".join(f"{kind}:" for kind in _OPENERS)
        raise SourceError(f"{uri!r} is not a source of frames: the address must begin with one of {kinds}")
    location, _, query = rest.partition("?")
    try:
        options = dict(parse_qsl(query, strict_parsing=bool(query)))
    except ValueError as error:
        raise SourceError(f"{uri!r}: options must be written name=value&name=value: {error}") from error
    return _OPENERS[kind](uri, location, {name: _parse_value(value) for name, value in options.items()})


def list_scenes() -> list[str]:
    """Return the names of the installed simulated scenes."""
    return list(find_plugins(SCENES))


def _parse_value(text: str) -> Any:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text, text)


def _open_folder(uri: str, path: str, options: dict[str, Any]) -> FrameSource:
    return _build_source(uri, ImageFolderSource, {"folder": path, **options})


def _open_bag(uri: str, path: str, options: dict[str, Any]) -> FrameSource:
    return _build_source(uri, BagSource, {"path": path, **options})


def _open_scene(uri: str, name: str, options: dict[str, Any]) -> FrameSource:
    scenes = find_plugins(SCENES)
    if name not in scenes:
        raise SourceError(f"no scene named {name!r}; available: {', '.join(scenes) or 'none'}")
    return _build_source(uri, scenes[name].load(), options)


def _build_source(uri: str, source_class: Callable[..., FrameSource], options: dict[str, Any]) -> FrameSource:
    signature = inspect.signature(source_class)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise SourceError(f"{uri!r}: {error}; options are {', '.join(signature.parameters)}") from error
    try:
        return source_class(**options)
    except SourceError:
        raise
    except (TypeError, ValueError) as error:
        raise SourceError(f"{uri!r}: {error}") from error


_OPENERS: dict[str, Callable[[str, str, dict[str, Any]], FrameSource]] = {
    "folder": _open_folder,
    "bag": _open_bag,
    "scene": _open_scene,
}
