"""The packages and the folders of `tracking_runtime` import each other in one direction only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "tracking_runtime"
TRACKERS = ("hsi_tracker_ros", "spax_ros")


def list_imports(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a file imports when it runs: all but those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield from list_imports(node)


def find_folder(module: str) -> str:
    """Return the folder of `tracking_runtime` that contains a module; empty for others."""
    parts = module.split(".")
    is_in_folder = len(parts) > 1 and parts[0] == RUNTIME.name and (RUNTIME / parts[1]).is_dir()
    return parts[1] if is_in_folder else ""


def read_imports(package: Path) -> dict[Path, list[str]]:
    return {path: list(list_imports(ast.parse(path.read_text()))) for path in sorted(package.rglob("*.py"))}


def test_folders_import_in_one_direction() -> None:
    graph: dict[str, set[str]] = {}
    for path, modules in read_imports(RUNTIME).items():
        folder = path.relative_to(RUNTIME).parts[0]
        if (RUNTIME / folder).is_dir():
            targets = {find_folder(module) for module in modules} - {"", folder}
            graph.setdefault(folder, set()).update(targets)

    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"folders import each other in a circle: {' -> '.join(error.args[1])}")


def test_runtime_does_not_import_the_trackers() -> None:
    imports = [
        f"{path.relative_to(ROOT)}: {module}"
        for path, modules in read_imports(RUNTIME).items()
        for module in modules
        if module.startswith(TRACKERS)
    ]

    assert imports == []


@pytest.mark.parametrize(("package", "other"), [TRACKERS, TRACKERS[::-1]])
def test_trackers_do_not_import_each_other(package: str, other: str) -> None:
    imports = [
        f"{path.relative_to(ROOT)}: {module}"
        for path, modules in read_imports(ROOT / package).items()
        for module in modules
        if module.startswith(other)
    ]

    assert imports == []
