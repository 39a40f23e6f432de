"""ROS message definitions and serialization, with or without a ROS installation.

Definitions come from the ament index if ROS is installed, then from `msgs/` of this repository, then from
the standard messages of ROS 2 Jazzy in the library rosbags.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from tracking_runtime.errors import TrackingError
from tracking_runtime.files import PACKAGE, list_share_folders

_ROOT = Path(__file__).resolve().parents[2]
_SEPARATOR = "=" * 80 + "\n"
_COLLECTION_NODES = (Nodetype.ARRAY, Nodetype.SEQUENCE)
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*/(?:msg|srv|action)/[A-Za-z][A-Za-z0-9_]*")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MAX_DEFINITION_CHARS = 100_000
_MAX_FIELDS = (
    2000  # fields, and items of fixed arrays of texts or messages: some lines of generated code each
)


class UnknownTypeError(TrackingError, LookupError):
    """A message type without a definition. The message names the type and the places searched."""


class MessageError(TrackingError, ValueError):
    """A message, or the definition of its type, that cannot be read. The message names the type."""


@dataclass(frozen=True)
class Interface:
    """The description of a message type in a recording.

    Attributes:
        name: name of the type, `package/msg/Type`.
        definition: text of the type and of all types that it uses (MCAP's `ros2msg`).
        type_hash: hash of the type by REP 2016, `RIHS01_…`.
    """

    name: str
    definition: str
    type_hash: str


@cache
def find_interface(name: str) -> Interface:
    """Return the full definition of a message type `package/msg/Type`.

    Raises:
        UnknownTypeError: the type, or a type that it uses, has no definition.
    """
    check_type_name(name)
    texts = _read_with_dependencies(name)
    first, *others = texts
    definition = texts[first] + "".join(
        f"\n{_SEPARATOR}MSG: {_shorten(other)}\n{texts[other]}" for other in others
    )
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition, name))
    return Interface(name, definition, store.hash_rihs01(name))


def check_type_name(name: str) -> None:
    """Raise UnknownTypeError if a name is not that of a message type, `package/msg/Type`."""
    if not _TYPE_NAME.fullmatch(name):
        raise UnknownTypeError(f"{name[:200]!r} is not a message type: its name must be package/msg/Type")


@lru_cache(maxsize=64)
def make_typestore(name: str, definition: str) -> Typestore:
    """Return a deserializer of one type and of the types that it uses.

    The library rosbags makes Python code of a definition. A definition of unknown origin is therefore checked
    first: only names and numbers stand where code would, and no array makes code that fills the memory.

    Args:
        name: name of the type, `package/msg/Type`.
        definition: text of the type and of all types that it uses (MCAP's `ros2msg`).

    Raises:
        UnknownTypeError: the name is not that of a message type.
        MessageError: the definition cannot be read.
    """
    check_type_name(name)
    if len(definition) > _MAX_DEFINITION_CHARS:
        raise MessageError(
            f"definition of {name} is too long: got {len(definition)} characters, expected at most "
            f"{_MAX_DEFINITION_CHARS}"
        )
    try:
        types = get_types_from_msg(definition, name)
        _check_generated_names(types)
        store = get_typestore(Stores.EMPTY)
        store.register(types)
        store.get_msgdef(name)
    except Exception as error:  # the parser and the generated code raise errors of many types
        reason = " ".join(str(error).split())[:200]
        raise MessageError(f"definition of {name} cannot be read: {type(error).__name__} {reason}") from error
    return store


def deserialize(store: Typestore, data: bytes | memoryview, name: str) -> Any:
    """Deserialize a message of unknown origin.

    Raises:
        MessageError: the bytes are not a message of this type.
    """
    try:
        return store.deserialize_cdr(data, name)
    except Exception as error:  # the generated code raises errors of many types
        reason = " ".join(str(error).split())[:200]
        raise MessageError(f"{len(data)} bytes are not a message {name}: {reason}") from error


def _check_generated_names(types: Any) -> None:
    """Raise ValueError if a parsed definition has a name that is not one, or too long an array."""
    num_fields = 0
    for type_name, (constants, fields) in types.items():
        used = [type_name, *_list_used_types(fields)]
        names = [entry[0] for entry in (*constants, *fields)]
        if not all(map(_TYPE_NAME.fullmatch, used)) or not all(map(_FIELD_NAME.fullmatch, names)):
            raise ValueError("the name of a type or field is not valid")
        if not all(isinstance(value, (bool, int, float, str)) for _, _, value in constants):
            raise ValueError("a constant is not a number or a text")
        num_fields += len(fields)
        for _, (node, content) in fields:
            if node == Nodetype.ARRAY:
                (element_node, element), length = content
                is_numeric = element_node == Nodetype.BASE and element[0] not in ("string", "wstring")
                num_fields += 0 if is_numeric else length
    if num_fields > _MAX_FIELDS:
        raise ValueError(f"got {num_fields} fields and items of fixed arrays, expected at most {_MAX_FIELDS}")


@cache
def load_typestore() -> Typestore:
    """Return a serializer of the standard messages of ROS 2 Jazzy and of the messages of this package."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in sorted((_find_messages_folder(PACKAGE) / "msg").glob("*.msg")):
        name = f"{PACKAGE}/msg/{path.stem}"
        store.register(get_types_from_msg(path.read_text(), name))
    return store


def serialize(message: object) -> bytes:
    """Serialize a message to CDR, the format of the network and of recordings."""
    return bytes(load_typestore().serialize_cdr(message, _get_type_name(message)))


def find_message_type(name: str) -> Any:
    """Return the class of a message type `package/msg/Type`, generated from its definition."""
    return load_typestore().types[name]


def load_message_class(name: str) -> Any:
    """Import the rclpy class of a message type `package/msg/Type`. Needs the ROS package of the type.

    A module is imported only if the ament index has the definition of the type: a peer that names a type
    cannot choose which module runs.

    Raises:
        UnknownTypeError: the name is not that of a message type, or its ROS package is not installed.
    """
    check_type_name(name)
    package, kind, short = name.split("/")
    shares = _list_definition_folders(package)
    if not any(
        (share / kind / f"{short}.{suffix}").is_file() for share in shares for suffix in ("msg", "idl")
    ):
        raise UnknownTypeError(f"message type {name} is not installed: source the workspace of {package}")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), short)
    except (ImportError, AttributeError) as error:
        raise UnknownTypeError(f"message type {name} cannot be imported: {error}") from error


def _get_type_name(message: object) -> str:
    return str(getattr(message, "__msgtype__"))  # noqa: B009 - generated classes are untyped


def _read_with_dependencies(name: str) -> dict[str, str]:
    """Return the text of each type by name: first `name`, then the types that it uses."""
    texts: dict[str, str] = {}
    queue = [name]
    while queue:
        current = queue.pop(0)
        if current not in texts:
            texts[current] = _read_definition(current)
            queue += _find_used_types(current, texts[current])
    return texts


def _find_used_types(name: str, text: str) -> list[str]:
    _, fields = get_types_from_msg(text, name)[name]
    return _list_used_types(fields)


def _list_used_types(fields: Any) -> list[str]:
    descriptions: list[Any] = [description for _, description in fields]
    elements = [
        content[0] if node in _COLLECTION_NODES else (node, content) for node, content in descriptions
    ]
    return [content for node, content in elements if node == Nodetype.NAME]


def _read_definition(name: str) -> str:
    package, kind, short = name.split("/")
    for folder in _list_definition_folders(package):
        path = folder / kind / f"{short}.msg"
        if path.is_file():
            return path.read_text()
    try:
        generated, _ = get_typestore(Stores.ROS2_JAZZY).generate_msgdef(name, ros_version=2)
    except TypesysError as error:
        raise UnknownTypeError(
            f"message type {name} has no definition in AMENT_PREFIX_PATH and is not a standard message: "
            f"install the package {package} or source its workspace"
        ) from error
    return generated.split(_SEPARATOR)[0]


def _list_definition_folders(package: str) -> list[Path]:
    shares = list_share_folders(package)
    return [*shares, _ROOT / "msgs"] if package == PACKAGE else shares


def _find_messages_folder(package: str) -> Path:
    for folder in _list_definition_folders(package):
        if (folder / "msg").is_dir():
            return folder
    raise UnknownTypeError(f"no message definitions of {package}: source its workspace")


def _shorten(name: str) -> str:
    package, _, short = name.split("/")
    return f"{package}/{short}"
