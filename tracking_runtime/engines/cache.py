"""Engines kept on disk between starts of a program.

An entry is a folder named by a key of everything that its contents depend on. The cache writes an entry in a
temporary folder, moves it into place whole, and verifies the checksum of each file at every use. A damaged
entry is built again. If the cache folder cannot be written (read-only folder, full disk), engines are built
at each start, and a warning names the reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tracking_runtime.engines.base import Graph
from tracking_runtime.engines.build_progress import report_stage

CACHE_VARIABLE = "RSTRACK_ENGINE_CACHE"
KERNELS_FILE = "kernels.bin"
"""File of an entry with the kernels that a driver compiled for an engine at its first run."""

_CHECKSUMS_FILE = "checksums.json"
_LABEL_FILE = "label.json"
_FACTS_FILE = "facts.json"
_NEW_SUFFIX = ".new"
_UNCHECKED_FILES = (
    _CHECKSUMS_FILE,
    _FACTS_FILE,
    _FACTS_FILE + _NEW_SUFFIX,
    KERNELS_FILE,
    KERNELS_FILE + _NEW_SUFFIX,
)
_FOLDER_NAME = re.compile(
    r"\.?([0-9a-f]{64})"
)  # a key, a SHA-256; with a dot: an engine that is being stored
_LOCK_SUFFIX = ".lock"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """One cached engine.

    Attributes:
        folder: folder of the engine's files.
        label: network and engine, as text for users.
        created: time when the engine was built.
        megabytes: size of all files in megabytes.
        damage: fault of the files; empty if they are intact.
    """

    folder: Path
    label: str
    created: datetime
    megabytes: float
    damage: str


def find_cache_folder() -> Path:
    """Return `$RSTRACK_ENGINE_CACHE`, or `rstrack/engines` in the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "rstrack" / "engines"


def compute_graph_key(graph: Graph, *facts: str) -> str:
    """Compute a key of a network's weights, structure, shapes and code, the engines' code, and facts.

    Raises:
        pickle.PicklingError, AttributeError, TypeError: the network's module cannot be serialized.
    """
    buffer = io.BytesIO()
    _ModulePickler(buffer).dump(graph.module)
    digest = hashlib.sha256(buffer.getbuffer())
    for path in sorted({*Path(__file__).parent.glob("*.py"), *_find_source_files(graph.module)}):
        digest.update(path.read_bytes())
    shapes = [(str(example.dtype), tuple(example.shape)) for example in graph.examples]
    digest.update(json.dumps([shapes, graph.input_names, graph.output_names, facts]).encode())
    return digest.hexdigest()


def compute_content_key(folder: Path, file_names: Iterable[str], *facts: object) -> str:
    """Compute a key of the contents of files, and facts.

    Args:
        folder: folder of an engine. The checksums of a cached engine are read from its folder.
        file_names: names of the files in the folder.
        facts: other values that change the key.
    """
    checksums_path = folder / _CHECKSUMS_FILE
    checksums = (
        json.loads(checksums_path.read_text()) if checksums_path.exists() else _compute_checksums(folder)
    )
    digests = [checksums[name] for name in file_names]
    return hashlib.sha256(json.dumps([digests, facts]).encode()).hexdigest()


class _ModulePickler(pickle.Pickler):
    """Serializes a module the same way in every process: tensors by their checksum, sets in order."""

    def persistent_id(self, obj: Any) -> str | None:
        if isinstance(obj, Tensor):
            values = obj.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            return f"{obj.dtype} {tuple(obj.shape)} {hashlib.sha256(values).hexdigest()}"
        if isinstance(obj, (set, frozenset)):
            return f"set {sorted(map(repr, obj))}"
        return None


def _find_source_files(module: nn.Module) -> Iterator[Path]:
    """Yield the source files that define the module, without torch, whose version is one of the facts.

    These are all files beside those of the module's parts, and the files of their packages that they use.
    """
    part_modules = {type(part).__module__ for part in module.modules()}
    packages = {name.partition(".")[0] for name in part_modules} - {"torch"}
    package_modules = {name for name in list(sys.modules) if name.partition(".")[0] in packages}
    visited = set[str]()
    pending = part_modules & package_modules
    while pending:
        visited |= pending
        used = {used_name for name in pending for used_name in _find_used_modules(sys.modules[name])}
        pending = used & package_modules - visited
    for name in visited:
        path = getattr(sys.modules[name], "__file__", None)
        if path:
            yield from Path(path).parent.glob("*.py") if name in part_modules else (Path(path),)


def _find_used_modules(module: ModuleType) -> Iterator[str]:
    """Yield the names of the modules of a module's attributes.

    A package's submodules do not count: other modules may have imported them.
    """
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType) and not hasattr(module, "__path__"):
            yield value.__name__
        yield str(getattr(value, "__module__", ""))


class EngineCache:
    """The engines in one cache folder.

    Args:
        folder: cache folder, made when it is needed; None: `find_cache_folder`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or find_cache_folder()

    @contextmanager
    def get_or_build(self, key: str, label: str, build: Callable[[Path], None]) -> Iterator[Path]:
        """Yield the folder of an engine. Build the engine if no intact one is cached.

        If several processes want the same engine, one builds it and the others wait. The folder is locked: it
        is not deleted before the block ends.

        Args:
            key: key of everything that the engine depends on.
            label: network and engine, as text for users.
            build: function that writes the engine's files to a folder. Its errors are raised.
        """
        with ExitStack() as stack:
            if reason := self._find_unsafe_reason():
                _log.warning("%s is built for this start only: %s", label, reason)
                temporary_folder = Path(stack.enter_context(_make_temporary_folder()))
                build(temporary_folder)
                yield temporary_folder
                return
            try:
                stack.enter_context(self._lock(key, label))
                folder = self._find_intact(key)
            except OSError as error:
                self._warn_unwritable(label, error)
                if _is_intact(self.folder / key):
                    yield self.folder / key
                    return
                folder = None
                is_writable = False
            else:
                is_writable = True
            if folder is None:
                folder = Path(stack.enter_context(_make_temporary_folder()))
                build(folder)
                if is_writable:
                    try:
                        folder = self._store_engine(key, label, folder)
                    except OSError as error:
                        self._warn_unwritable(label, error)
            yield folder

    def replace(self, key: str, label: str, build: Callable[[Path], None]) -> None:
        """Build an engine and put it in place of the cached one, if any, which stays usable until then.

        Args:
            key: key of everything that the engine depends on.
            label: network and engine, as text for users.
            build: function that writes the engine's files to a folder. Its errors are raised.

        Raises:
            OSError: the engine cannot be stored; the cached one is unchanged.
        """
        with _make_temporary_folder() as folder:
            build(Path(folder))
            with self._lock(key, label):
                self._store_engine(key, label, Path(folder))

    @contextmanager
    def rebuild(self, key: str, label: str, build: Callable[[Path], None]) -> Iterator[Path]:
        """Replace an engine as `replace` does, and yield its folder. Warn if the engine cannot be stored.

        The folder is locked: it is not deleted before the block ends.

        Args:
            key: key of everything that the engine depends on.
            label: network and engine, as text for users.
            build: function that writes the engine's files to a folder. Its errors are raised.
        """
        with ExitStack() as stack:
            folder = Path(stack.enter_context(_make_temporary_folder()))
            build(folder)
            try:
                stack.enter_context(self._lock(key, label))
                folder = self._store_engine(key, label, folder)
            except OSError as error:
                self._warn_unwritable(label, error)
            yield folder

    def find_unwritable_reason(self) -> str | None:
        """Return the reason why nothing can be stored, with the cure; None if the folder is writable."""
        try:
            self._make_folder()
            with tempfile.TemporaryFile(dir=self.folder):
                return None
        except OSError as error:
            return f"{self.folder} cannot be written ({error}): set {CACHE_VARIABLE} to a writable folder"

    def _warn_unwritable(self, label: str, error: OSError) -> None:
        _log.warning("%s cannot be stored in %s: %s", label, self.folder, error)

    def find_entries(self) -> list[CacheEntry]:
        """Return all cached engines, the newest first."""
        folders = [folder for folder in self._find_own_folders() if not folder.name.startswith(".")]
        return sorted(map(_read_entry, folders), key=lambda entry: entry.created, reverse=True)

    def write_facts(self, key: str, label: str, facts: Mapping[str, Any]) -> None:
        """Store facts about a cached engine beside it, for users.

        Raises:
            OSError: the facts cannot be stored; those of before are unchanged.
        """
        self._write_file(key, label, _FACTS_FILE, json.dumps(dict(facts), indent=1).encode())

    def write_kernels(self, key: str, label: str, kernels: bytes) -> None:
        """Store the compiled kernels of a cached engine in its folder, in the file `KERNELS_FILE`.

        Raises:
            OSError: the kernels cannot be stored; those of before are unchanged.
        """
        self._write_file(key, label, KERNELS_FILE, kernels)

    def read_facts(self, key: str) -> dict[str, Any]:
        """Return the facts stored with an engine; empty if there are none."""
        with suppress(OSError, ValueError):
            return dict(json.loads((self.folder / key / _FACTS_FILE).read_text()))
        return {}

    def clear(self) -> int:
        """Delete all engines, each as soon as no process uses it. Return their number.

        Only folders that a cache has made are deleted. Other files and folders stay.
        """
        entries = self.find_entries()
        labels = {entry.folder: entry.label for entry in entries}
        for folder in self._find_own_folders():
            with self._lock(folder.name.lstrip("."), labels.get(folder, folder.name)):
                shutil.rmtree(folder, ignore_errors=True)
        return len(entries)

    def _make_folder(self) -> None:
        """Create the cache folder. Other users cannot read or write it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _find_own_folders(self) -> list[Path]:
        """Return the folders that a cache made: named by a key, with a lock beside or checksums inside."""
        return [
            path
            for path in sorted(self.folder.glob("*"))
            if (name := _FOLDER_NAME.fullmatch(path.name))
            and (
                (self.folder / f"{name[1]}{_LOCK_SUFFIX}").is_file()
                or all((path / file).is_file() for file in (_LABEL_FILE, _CHECKSUMS_FILE))
            )
            and path.is_dir()
            and not path.is_symlink()
        ]

    def _find_unsafe_reason(self) -> str | None:
        """Return why engines in the folder cannot be trusted: loading an engine can run code of its files."""
        try:
            mode = self.folder.stat().st_mode
        except OSError:
            return None
        if mode & stat.S_IWOTH:
            return f"every user can write {self.folder}: run chmod o-w, or set {CACHE_VARIABLE}"
        return None

    @contextmanager
    def _lock(self, key: str, label: str) -> Iterator[None]:
        """Lock an engine for the block. A process that has to wait logs and reports the wait."""
        self._make_folder()
        with (self.folder / f"{key}{_LOCK_SUFFIX}").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.info("%s: waiting for another process, which builds it", label)
                report_stage(f"{label}: waiting for another process, which builds it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write_file(self, key: str, label: str, file_name: str, content: bytes) -> None:
        """Write a file of an entry, whole or not at all.

        The temporary file has a fixed name, which the checksums leave out: a killed process damages nothing.
        """
        entry = self.folder / key
        with self._lock(key, label):
            (entry / (file_name + _NEW_SUFFIX)).write_bytes(content)
            (entry / (file_name + _NEW_SUFFIX)).replace(entry / file_name)

    def _find_intact(self, key: str) -> Path | None:
        """Return an intact entry, or put its intact successor in place. Delete a damaged entry."""
        entry = self.folder / key
        successor = self.folder / f".{key}"
        if _is_intact(entry):
            return entry
        if _is_intact(successor):
            return _replace_entry(successor, entry)
        if entry.exists():
            _log.warning("cached engine %s is damaged (%s): building it again", entry, _find_damage(entry))
            shutil.rmtree(entry)
        return None

    def _store_engine(self, key: str, label: str, folder: Path) -> Path:
        """Add checksums to a built engine and copy it to its entry, which replaces an earlier one.

        The caller holds the lock of the entry. After an interruption, the next use finishes the replacement.
        """
        (folder / _LABEL_FILE).write_text(json.dumps({"label": label}))
        (folder / _CHECKSUMS_FILE).write_text(json.dumps(_compute_checksums(folder)))
        successor = self.folder / f".{key}"
        shutil.rmtree(successor, ignore_errors=True)
        try:
            shutil.copytree(folder, successor)
        except OSError:
            shutil.rmtree(successor, ignore_errors=True)
            raise
        return _replace_entry(successor, self.folder / key)


def _make_temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rstrack-engine-", ignore_cleanup_errors=True)


def _replace_entry(successor: Path, entry: Path) -> Path:
    """Move an intact successor to an entry's path. If killed, the next use of the entry resumes this."""
    if entry.exists():
        shutil.rmtree(entry)
    return successor.rename(entry)


def _compute_checksums(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name not in _UNCHECKED_FILES
    }


def _is_intact(folder: Path) -> bool:
    return folder.exists() and not _find_damage(folder)


def _find_damage(folder: Path) -> str:
    """Return the fault of an entry's files; empty if they are intact."""
    try:
        expected = json.loads((folder / _CHECKSUMS_FILE).read_text())
        actual = _compute_checksums(folder)
    except (OSError, ValueError) as error:
        return str(error)
    changed = [name for name in {*expected, *actual} if expected.get(name) != actual.get(name)]
    return f"checksum differs: {', '.join(sorted(changed))}" if changed else ""


def _read_entry(folder: Path) -> CacheEntry:
    label = "unknown"
    with suppress(OSError, ValueError, KeyError):
        label = str(json.loads((folder / _LABEL_FILE).read_text())["label"])
    size = sum(path.stat().st_size for path in folder.iterdir())
    created = datetime.fromtimestamp(folder.stat().st_mtime).astimezone()
    return CacheEntry(folder, label, created, size / 1e6, _find_damage(folder))
