"""YAML and XML documents of unknown origin."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from tracking_runtime.untrusted.files import read_file
from tracking_runtime.untrusted.limits import DOCUMENT_BYTES

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Loader without constructors of objects; the one in C reads some megabytes a second."""
_MAX_EXPANDED_SIZE = (
    10_000_000  # characters and nodes of a YAML document with aliases, when they are replaced
)
_MAX_NUMBER_CHARACTERS = 400  # characters of a number; those of all float64 have less


class DocumentError(ValueError):
    """A text that is not a YAML or XML document, with its fault in one line."""


def read_yaml_file(path: Path) -> Any:
    """Read the values of a YAML file. The file cannot run code.

    Raises:
        DocumentError: the file is not YAML, is nested too deep, or repeats itself too often.
        OSError: the file cannot be read.
        SourceError: the file is larger than `DOCUMENT_BYTES`.
    """
    DOCUMENT_BYTES.check(path.stat().st_size, path)
    return parse_yaml(read_file(path))


def parse_yaml(content: bytes | str) -> Any:
    """Parse a YAML document. The document cannot run code.

    Raises:
        DocumentError: the document is not YAML, is nested too deep, or repeats itself too often by aliases.
    """
    try:
        loader = _LOADER(content)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_node(node, max(_MAX_EXPANDED_SIZE, 2 * len(content)))
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except DocumentError:
        raise
    except RecursionError as error:
        raise DocumentError("nested too deep") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        raise DocumentError(" ".join(str(error).split()) or type(error).__name__) from error


def parse_xml(content: bytes | str) -> ElementTree.Element:
    """Parse an XML document and return its root. Document types, and so entities, are refused.

    Raises:
        DocumentError: the document is not XML, or has a document type.
    """
    parser = ElementTree.XMLParser(target=_TreeBuilder())
    try:
        parser.feed(content)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, LookupError, UnicodeError) as error:  # LookupError: an unknown encoding
        raise DocumentError(f"not XML: {error}") from error
    return root


class _TreeBuilder(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str, system: str) -> NoReturn:
        raise DocumentError(f"document types and entities are refused: got {name[:50]}; remove it")


def _check_node(root: yaml.Node, max_size: int) -> None:
    """Check what a document amounts to if each alias is replaced by a copy of its node.

    Args:
        root: node of the whole document.
        max_size: most characters of scalars and nodes, together.

    Raises:
        DocumentError: the document is larger, contains itself, or has too long a number.
    """
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()  # nodes around the current one
    stack = [(root, False)]
    while stack:
        node, is_end = stack.pop()
        if is_end:
            sizes[id(node)] = size = 1 + sum(sizes[id(child)] for child in _iterate_children(node))
            open_nodes.remove(id(node))
            if size > max_size:
                raise DocumentError("aliases repeat too much: write the values out")
        elif id(node) in open_nodes:
            raise DocumentError("an alias repeats the node that it is in")
        elif isinstance(node, yaml.ScalarNode):
            sizes[id(node)] = 1 + len(node.value)
            _check_scalar(node)
        elif id(node) not in sizes:
            open_nodes.add(id(node))
            stack.append((node, True))
            stack.extend((child, False) for child in _iterate_children(node))


def _iterate_children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:
        if isinstance(node, yaml.MappingNode):
            yield from item
        else:
            yield item


def _check_scalar(node: yaml.ScalarNode) -> None:
    """Raise DocumentError if a number has too many characters: to convert it, or to print it, takes long."""
    kind = node.tag.rpartition(":")[2]
    if kind in ("int", "float") and len(node.value) > _MAX_NUMBER_CHARACTERS:
        raise DocumentError(f"a number has {len(node.value)} characters: got {node.value[:20]}…")
