"""ROS message definitions and their serialised form, with or without a ROS installation.

A definition is looked up in the ament index where ROS is installed, then in this repository's own ``msgs``,
then among the standard messages of ROS 2 Jazzy that come with rosbags.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from tracking_runtime.resources import PACKAGE

_ROOT = Path(__file__).resolve().parent.parent
_SEPARATOR = "=" * 80 + "\n"
_COLLECTIONS = (Nodetype.ARRAY, Nodetype.SEQUENCE)


class UnknownType(LookupError):
    """No definition is known for a message type. The message names it and says where it was looked for."""


@dataclass(frozen=True)
class Interface:
    """A message type as a recording describes it.

    Attributes:
        name: ``package/msg/Type``.
        definition: the type's text followed by the texts of all types it uses (MCAP's ``ros2msg``).
        type_hash: as ROS computes it (REP 2016), ``RIHS01_…``.
    """

    name: str
    definition: str
    type_hash: str


@cache
def describe(name: str) -> Interface:
    """The full definition of a message type ``package/msg/Type``.

    Raises:
        UnknownType: this type or one it uses is defined nowhere.
    """
    texts = _with_dependencies(name)
    first, *others = texts
    definition = texts[first] + "".join(
        f"\n{_SEPARATOR}MSG: {_short(other)}\n{texts[other]}" for other in others
    )
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition, name))
    return Interface(name, definition, store.hash_rihs01(name))


@cache
def typestore() -> Typestore:
    """Serialiser of the standard messages of ROS 2 Jazzy and of this package's own."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in sorted((_messages_folder(PACKAGE) / "msg").glob("*.msg")):
        name = f"{PACKAGE}/msg/{path.stem}"
        store.register(get_types_from_msg(path.read_text(), name))
    return store


def serialize(message: object) -> bytes:
    """The message as bytes, as it goes over the wire and into a recording."""
    return bytes(typestore().serialize_cdr(message, _type_name(message)))


def message_type(name: str) -> Any:
    """The class of a message type ``package/msg/Type``, made from its definition."""
    return typestore().types[name]


def _type_name(message: object) -> str:
    return str(getattr(message, "__msgtype__"))


def _with_dependencies(name: str) -> dict[str, str]:
    """Text of each type by name: ``name`` first, then what it uses."""
    texts: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        if current not in texts:
            texts[current] = _text(current)
            waiting += _used_types(current, texts[current])
    return texts


def _used_types(name: str, text: str) -> list[str]:
    _, fields = get_types_from_msg(text, name)[name]
    descriptions: list[Any] = [description for _, description in fields]
    elements = [content[0] if node in _COLLECTIONS else (node, content) for node, content in descriptions]
    return [content for node, content in elements if node == Nodetype.NAME]


def _text(name: str) -> str:
    package, kind, short = name.split("/")
    for folder in _definition_folders(package):
        path = folder / kind / f"{short}.msg"
        if path.is_file():
            return path.read_text()
    try:
        generated, _ = get_typestore(Stores.ROS2_JAZZY).generate_msgdef(name, ros_version=2)
    except TypesysError as error:
        raise UnknownType(
            f"no definition of message type {name}: not in AMENT_PREFIX_PATH, not a standard message. "
            f"Install the package {package} or source its workspace"
        ) from error
    return generated.split(_SEPARATOR)[0]


def _definition_folders(package: str) -> list[Path]:
    ament = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    shares = [Path(prefix) / "share" / package for prefix in (*ament, sys.prefix) if prefix]
    return [*shares, _ROOT / "msgs"] if package == PACKAGE else shares


def _messages_folder(package: str) -> Path:
    for folder in _definition_folders(package):
        if (folder / "msg").is_dir():
            return folder
    raise UnknownType(f"no message definitions of {package}: source its workspace")


def _short(name: str) -> str:
    package, _, short = name.split("/")
    return f"{package}/{short}"
