"""YAML documents of unknown origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tracking_runtime.untrusted.limits import DOCUMENT_BYTES

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Loader without constructors of objects; the one in C reads some megabytes a second."""


class DocumentError(ValueError):
    """A text that is not a YAML document, with its fault in one line."""


def read_yaml_file(path: Path) -> Any:
    """Read the values of a YAML file. The file cannot run code.

    Raises:
        DocumentError: the file is not YAML, or is nested too deep.
        OSError: the file cannot be read.
        SourceError: the file is larger than `DOCUMENT_BYTES`.
    """
    DOCUMENT_BYTES.check(path.stat().st_size, path)
    return parse_yaml(path.read_bytes())


def parse_yaml(content: bytes | str) -> Any:
    """Parse a YAML document. The document cannot run code.

    Raises:
        DocumentError: the document is not YAML, or is nested too deep.
    """
    try:
        return yaml.load(content, Loader=_LOADER)
    except RecursionError as error:
        raise DocumentError("nested too deep") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        raise DocumentError(" ".join(str(error).split()) or type(error).__name__) from error
