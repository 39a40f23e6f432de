"""Networks as engines made them, kept between starts of a program.

An entry is a folder named by a key of everything that its contents depend on. It is written aside and moved
into place whole, with the checksum of each file, which is checked whenever it is used: a damaged one is made
again. Where nothing can be kept (a read-only folder, a full disk), engines are made anew each time, and a
warning says why.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import os
import pickle
import shutil
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
from tracking_runtime.engines.build_progress import stage

VARIABLE = "RSTRACK_ENGINE_CACHE"
KERNELS = "kernels.bin"
"""File of an entry with what a driver compiled of an engine when it first ran."""

_CHECKSUMS = "checksums.json"
_LABEL = "label.json"
_FACTS = "facts.json"
_NEW = ".new"
_UNCHECKED = (_CHECKSUMS, _FACTS, _FACTS + _NEW, KERNELS, KERNELS + _NEW)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One engine that is kept.

    Attributes:
        folder: that holds it.
        label: which network, for which engine.
        created: when it was made.
        megabytes: of its files.
        damage: what is wrong with it; empty if nothing is.
    """

    folder: Path
    label: str
    created: datetime
    megabytes: float
    damage: str


def default_folder() -> Path:
    """Where engines are kept: ``$RSTRACK_ENGINE_CACHE``, or ``rstrack/engines`` in the user's cache."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "rstrack" / "engines"


def graph_key(graph: Graph, *facts: str) -> str:
    """A key that changes with a network's weights, structure, shapes and code, the engines', and these facts.

    Raises:
        pickle.PicklingError, AttributeError, TypeError: the network's module cannot be written down.
    """
    buffer = io.BytesIO()
    _Describer(buffer).dump(graph.module)
    digest = hashlib.sha256(buffer.getbuffer())
    for path in sorted({*Path(__file__).parent.glob("*.py"), *_sources(graph.module)}):
        digest.update(path.read_bytes())
    shapes = [(str(example.dtype), tuple(example.shape)) for example in graph.examples]
    digest.update(json.dumps([shapes, graph.inputs, graph.outputs, facts]).encode())
    return digest.hexdigest()


def content_key(folder: Path, names: Iterable[str], *facts: object) -> str:
    """A key that changes with what files hold and these facts.

    Args:
        folder: of an engine, as it was obtained: of one that is kept the checksums are known.
        names: of the files.
        facts: to tell apart too.
    """
    known = folder / _CHECKSUMS
    checksums = json.loads(known.read_text()) if known.exists() else _checksums(folder)
    digests = [checksums[name] for name in names]
    return hashlib.sha256(json.dumps([digests, facts]).encode()).hexdigest()


class _Describer(pickle.Pickler):
    """Writes a module down the same way in every process: tensors by what they hold, sets in order."""

    def persistent_id(self, obj: Any) -> str | None:
        if isinstance(obj, Tensor):
            values = obj.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            return f"{obj.dtype} {tuple(obj.shape)} {hashlib.sha256(values).hexdigest()}"
        if isinstance(obj, (set, frozenset)):
            return f"set {sorted(map(repr, obj))}"
        return None


def _sources(module: nn.Module) -> Iterator[Path]:
    """Files that make the module: beside those of its parts, whatever these use of their own packages.

    Not torch's own, whose version is one of the facts.
    """
    parts = {type(part).__module__ for part in module.modules()}
    packages = {name.partition(".")[0] for name in parts} - {"torch"}
    ours = {name for name in list(sys.modules) if name.partition(".")[0] in packages}
    found, waiting = set[str](), parts & ours
    while waiting:
        found |= waiting
        waiting = {used for name in waiting for used in _used_by(sys.modules[name])} & ours - found
    for name in found:
        path = getattr(sys.modules[name], "__file__", None)
        if path:
            yield from Path(path).parent.glob("*.py") if name in parts else (Path(path),)


def _used_by(module: ModuleType) -> Iterator[str]:
    """Names of the modules of which a module has anything; a package has modules that others imported."""
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType) and not hasattr(module, "__path__"):
            yield value.__name__
        yield str(getattr(value, "__module__", ""))


class EngineCache:
    """The engines kept in one folder.

    Args:
        folder: which is made when it is needed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    @contextmanager
    def obtain(self, key: str, label: str, make: Callable[[Path], None]) -> Iterator[Path]:
        """The folder of an engine, made if there is none that is whole.

        Of several processes that want the same one, one makes it and the others wait.
        It is not cleared before the end of the block.

        Args:
            key: of everything it depends on.
            label: for people.
            make: fills a folder with it; raises whatever goes wrong.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._locked(key, label))
                kept = self._whole(key)
            except OSError as error:
                self._warn(label, error)
                if _is_whole(self.folder / key):
                    yield self.folder / key
                    return
                kept, keep = None, False
            else:
                keep = True
            if kept is None:
                kept = Path(stack.enter_context(_aside()))
                make(kept)
                if keep:
                    try:
                        kept = self._keep(key, label, kept)
                    except OSError as error:
                        self._warn(label, error)
            yield kept

    def replace(self, key: str, label: str, make: Callable[[Path], None]) -> None:
        """Make an engine, and put it in the place of the one that is kept, if any, which serves until then.

        Args:
            key: as of ``obtain``.
            label: for people.
            make: as of ``obtain``; others may use what is kept meanwhile.

        Raises:
            OSError: it cannot be kept; what was kept stays as it was.
        """
        with _aside() as made:
            make(Path(made))
            with self._locked(key, label):
                self._keep(key, label, Path(made))

    @contextmanager
    def renew(self, key: str, label: str, make: Callable[[Path], None]) -> Iterator[Path]:
        """The folder of an engine made anew, as by ``replace``; where it cannot be kept, a warning says why.

        It is not cleared before the end of the block.

        Args:
            key: as of ``obtain``.
            label: for people.
            make: as of ``obtain``.
        """
        with ExitStack() as stack:
            made = Path(stack.enter_context(_aside()))
            make(made)
            try:
                stack.enter_context(self._locked(key, label))
                made = self._keep(key, label, made)
            except OSError as error:
                self._warn(label, error)
            yield made

    def unwritable(self) -> str | None:
        """Why nothing can be kept, and what to do; None if it can."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                return None
        except OSError as error:
            return f"{self.folder} cannot be written ({error}): set {VARIABLE} to a folder that can"

    def _warn(self, label: str, error: OSError) -> None:
        _log.warning("%s cannot be kept in %s: %s", label, self.folder, error)

    def entries(self) -> list[Entry]:
        """What is kept, newest first."""
        folders = [path for path in self.folder.glob("*") if path.is_dir() and len(path.name) == 64]
        return sorted(map(_entry, folders), key=lambda entry: entry.created, reverse=True)

    def describe(self, key: str, label: str, facts: Mapping[str, Any]) -> None:
        """Keep facts with an engine that is there, for people.

        Raises:
            OSError: they cannot be kept; what was kept stays as it was.
        """
        self._add(key, label, _FACTS, json.dumps(dict(facts), indent=1).encode())

    def keep_kernels(self, key: str, label: str, kernels: bytes) -> None:
        """Keep what was compiled of an engine that is there when it ran, in its folder's file ``KERNELS``.

        Raises:
            OSError: they cannot be kept; what was kept stays as it was.
        """
        self._add(key, label, KERNELS, kernels)

    def facts(self, key: str) -> dict[str, Any]:
        """What was kept with an engine; empty if nothing was."""
        with suppress(OSError, ValueError):
            return dict(json.loads((self.folder / key / _FACTS).read_text()))
        return {}

    def clear(self) -> int:
        """Remove everything, each engine as soon as nobody uses it; returns how many that were."""
        entries = self.entries()
        folders = {entry.folder: entry.label for entry in entries}
        for folder in (*self.folder.glob(".*"), *folders):
            with self._locked(folder.name.lstrip("."), folders.get(folder, folder.name)):
                shutil.rmtree(folder, ignore_errors=True)
        return len(entries)

    @contextmanager
    def _locked(self, key: str, label: str) -> Iterator[None]:
        """Alone with an engine; who has to wait for it is told."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{key}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.info("%s: another process makes it", label)
                stage(f"{label}: another process makes it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _add(self, key: str, label: str, name: str, content: bytes) -> None:
        """Write a file beside those of an entry, whole or not at all."""
        entry = self.folder / key
        with self._locked(key, label):
            (entry / (name + _NEW)).write_bytes(content)
            (entry / (name + _NEW)).replace(entry / name)

    def _whole(self, key: str) -> Path | None:
        """An entry as it was written, or what was about to take its place; a damaged one is removed."""
        entry, successor = self.folder / key, self.folder / f".{key}"
        if _is_whole(entry):
            return entry
        if _is_whole(successor):
            return _put(successor, entry)
        if entry.exists():
            _log.warning("the engine kept in %s is damaged (%s): it is made again", entry, _damage(entry))
            shutil.rmtree(entry)
        return None

    def _keep(self, key: str, label: str, made: Path) -> Path:
        """Move what was made into place, whole or not at all."""
        (made / _LABEL).write_text(json.dumps({"label": label}))
        (made / _CHECKSUMS).write_text(json.dumps(_checksums(made)))
        successor = self.folder / f".{key}"
        shutil.rmtree(successor, ignore_errors=True)
        try:
            shutil.copytree(made, successor)
        except OSError:
            shutil.rmtree(successor, ignore_errors=True)
            raise
        return _put(successor, self.folder / key)


def _aside() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rstrack-engine-", ignore_cleanup_errors=True)


def _put(successor: Path, entry: Path) -> Path:
    """Put what is whole in an entry's place; if that is cut off, the next use of the entry finishes it."""
    if entry.exists():
        shutil.rmtree(entry)
    return successor.rename(entry)


def _checksums(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name not in _UNCHECKED
    }


def _is_whole(folder: Path) -> bool:
    return folder.exists() and not _damage(folder)


def _damage(folder: Path) -> str:
    """What is wrong with an entry; empty if nothing is."""
    try:
        wanted = json.loads((folder / _CHECKSUMS).read_text())
        found = _checksums(folder)
    except (OSError, ValueError) as error:
        return str(error)
    wrong = [name for name in {*wanted, *found} if wanted.get(name) != found.get(name)]
    return f"{', '.join(sorted(wrong))} is not as it was written" if wrong else ""


def _entry(folder: Path) -> Entry:
    label = "unknown"
    with suppress(OSError, ValueError, KeyError):
        label = str(json.loads((folder / _LABEL).read_text())["label"])
    size = sum(path.stat().st_size for path in folder.iterdir())
    created = datetime.fromtimestamp(folder.stat().st_mtime).astimezone()
    return Entry(folder, label, created, size / 1e6, _damage(folder))
