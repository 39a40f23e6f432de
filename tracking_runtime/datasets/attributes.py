"""What makes each video of a benchmark hard, by its abbreviations (OCC, SV, …).

``attributes.yaml`` maps videos to lists of names. Or a folder ``att``, as in OTB's toolkit and later ones,
holds a ``NAME.txt`` of zeros and ones for each video, in the order that ``names.txt`` in it says; without
it, eleven are in the order of OTB's toolkit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from tracking_runtime.datasets.result_files import comparable
from tracking_runtime.errors import SourceError
from tracking_runtime.io.table_reader import read_rows

ATTRIBUTES_FILE = "attributes.yaml"
ATTRIBUTES_FOLDER = "att"
OTB_ORDER = ("IV", "OPR", "SV", "OCC", "DEF", "MB", "FM", "IPR", "OV", "BC", "LR")

_NAMES_FILE = "names.txt"


def read_attributes(place: Path) -> Mapping[str, tuple[str, ...]]:
    """The attributes of each video at a place, by its comparable name.

    Raises:
        SourceError: a file cannot be believed; the message names it.
    """
    if (place / ATTRIBUTES_FILE).is_file():
        return _listed(place / ATTRIBUTES_FILE)
    if (place / ATTRIBUTES_FOLDER).is_dir():
        return _marked(place / ATTRIBUTES_FOLDER)
    return {}


def _listed(path: Path) -> Mapping[str, tuple[str, ...]]:
    try:
        content = yaml.safe_load(path.read_text())
        if any(isinstance(values, str) for values in content.values()):
            raise TypeError("a name is no list of names")
        return {comparable(str(name)): tuple(map(str, values)) for name, values in content.items()}
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise SourceError(f"{path} does not map videos to lists of attributes: {error}") from error


def _marked(folder: Path) -> Mapping[str, tuple[str, ...]]:
    names_path = folder / _NAMES_FILE
    names = _words(names_path) if names_path.is_file() else OTB_ORDER
    found = {}
    for path in sorted(folder.glob("*.txt")):
        if path == names_path:
            continue
        marks = _words(path)
        if len(marks) != len(names) or not set(marks) <= {"0", "1"}:
            raise SourceError(
                f"{path}: {len(names)} zeros and ones are expected, of {', '.join(names)}; "
                f"{_NAMES_FILE} beside it can name others"
            )
        chosen = tuple(name for name, mark in zip(names, marks, strict=True) if mark == "1")
        found[comparable(path.stem)] = chosen
    return found


def _words(path: Path) -> tuple[str, ...]:
    return tuple(word for row in read_rows(path) for word in row.words)
