"""Attributes of a benchmark's videos: abbreviations of what makes each hard to track (OCC, SV, …).

`attributes.yaml` maps videos to lists of attributes. Alternatively, a folder `att` contains a `NAME.txt` of
zeros and ones for each video, as in the OTB toolkit and its successors. `names.txt` in that folder gives the
order of the attributes. Without `names.txt`, the order is that of the OTB toolkit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracking_runtime.datasets.result_files import normalize_name
from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.io.table_reader import read_rows
from tracking_runtime.untrusted.documents import DocumentError, read_yaml_file

ATTRIBUTES_FILE = "attributes.yaml"
ATTRIBUTES_FOLDER = "att"
OTB_ORDER = ("IV", "OPR", "SV", "OCC", "DEF", "MB", "FM", "IPR", "OV", "BC", "LR")
"""Attributes of the OTB toolkit, in the order of its files."""

_NAMES_FILE = "names.txt"


def read_attributes(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Read the attributes of each video of a folder, by the video's normalized name.

    Raises:
        SourceError: a file is invalid. The message names it.
    """
    if (folder / ATTRIBUTES_FILE).is_file():
        return _read_yaml(folder / ATTRIBUTES_FILE)
    if (folder / ATTRIBUTES_FOLDER).is_dir():
        return _read_flags(folder / ATTRIBUTES_FOLDER)
    return {}


def _read_yaml(path: Path) -> Mapping[str, tuple[str, ...]]:
    try:
        content = read_yaml_file(path)
        if any(isinstance(attributes, str) for attributes in content.values()):
            raise TypeError("a value is a text, expected a list of attributes")
        return {normalize_name(str(name)): tuple(map(str, values)) for name, values in content.items()}
    except (DocumentError, OSError, AttributeError, TypeError) as error:
        raise SourceError(f"{path} does not map videos to lists of attributes: {error}") from error


def _read_flags(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Read a folder of files with a 0 or 1 for each attribute."""
    names_path = folder / _NAMES_FILE
    names = _read_words(names_path) if names_path.is_file() else OTB_ORDER
    attributes = {}
    for path in list_visible(folder):
        if path == names_path or path.suffix.lower() != ".txt":
            continue
        flags = _read_words(path)
        if len(flags) != len(names) or not set(flags) <= {"0", "1"}:
            raise SourceError(
                f"{path} must have {len(names)} zeros and ones, for {', '.join(names)}: "
                f"got {' '.join(flags)!r}; list other attributes in {names_path}"
            )
        selected = tuple(name for name, flag in zip(names, flags, strict=True) if flag == "1")
        attributes[normalize_name(path.stem)] = selected
    return attributes


def _read_words(path: Path) -> tuple[str, ...]:
    return tuple(word for row in read_rows(path) for word in row.words)
