"""What this machine has, what of it works here, and how to mend what does not."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Literal

import torch

from tracking_runtime.engines import BACKENDS
from tracking_runtime.engines.cache import EngineCache, default_folder
from tracking_runtime.engines.export import FORMATS
from tracking_runtime.engines.gpu_cache import DRIVER_FILES, driver_version
from tracking_runtime.models.manifest import search_path
from tracking_runtime.ros.shared_memory import PROFILE_VARIABLE, shared_memory_profile
from tracking_runtime.system_info import this_machine

State = Literal["good", "missing", "wrong"]

_NEEDED_SHM_MB = 256  # the shipped profile takes 128 MB a process, and there are at least two
_NEEDED_DISK_MB = 1000
_EXTRAS = {
    "openvino": "cpu",
    "nncf": "int8",
    "onnxruntime": "int8",
    "onnx": "export",
    "onnxscript": "export",
    "tensorrt-rtx-cu12": "tensorrt-rtx",
}
"""Packages that engines and file formats take, and the extra of ours that each belongs to."""

_TENSORRT = ("torch-tensorrt", "tensorrt")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: what it belongs to.
        subject: what was looked at.
        state: good; missing, which is fine unless one wants it; or wrong.
        found: what is there, or why not.
        fix: what to do; empty where nothing is to be done.
    """

    area: str
    subject: str
    state: State
    found: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """Everything, one after the other; nothing is changed."""
    yield from _machine()
    yield from graphics(*DRIVER_FILES)
    yield from _engines()
    yield from _formats()
    yield from _ros()
    yield shared_memory(Path("/dev/shm"))
    yield engine_cache(default_folder())
    yield from _models()


def _machine() -> Iterator[Finding]:
    machine = this_machine()
    described = f"{machine.processor}, {machine.cores} cores, {machine.memory_gb:.0f} GB"
    yield Finding("machine", "system", "good", f"{machine.system}; {described}")
    yield Finding("machine", "arithmetic", "good", _arithmetic(Path("/proc/cpuinfo")))
    for name, known in machine.versions.items():
        yield Finding("packages", name, "good", known)
    fixes = {name: f"pip install 'remote_sensing_tracking[{extra}]'" for name, extra in _EXTRAS.items()}
    fixes |= dict.fromkeys(_TENSORRT, f"{_install_torch_tensorrt(_version('torch'))}, with an NVIDIA GPU")
    for name in (name for name in fixes if name not in machine.versions):
        known = _version(name)
        if known:
            yield Finding("packages", name, "good", known)
        else:
            yield Finding("packages", name, "missing", "not installed", fixes[name])


def _arithmetic(information: Path) -> str:
    """What of a processor makes precisions fast."""
    text = information.read_text() if information.is_file() else ""
    flags = {"bfloat16": ("avx512_bf16", "amx_bf16", "bf16"), "int8": ("avx512_vnni", "avx_vnni", "amx_int8")}
    fast = [name for name, names in flags.items() if any(re.search(rf"\b{flag}\b", text) for flag in names)]
    return f"fast in float32{''.join(f', {name}' for name in fast)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def graphics(*releases: Path) -> Iterator[Finding]:
    """The GPU and what works on it.

    Args:
        releases: files that tell the driver's version, those that are there; WSL2 and containers on a Jetson
            have none.
    """
    found = driver_version(releases).partition("\n")[0]
    works = torch.cuda.is_available()
    if not found and not works:
        fix = "install an NVIDIA GPU's driver, in a container start it with --gpus all; all works without"
        yield Finding("GPU", "NVIDIA driver", "missing", "none: networks run on the processor", fix)
        return
    yield Finding("GPU", "NVIDIA driver", "good", found or "no file tells its version")
    if works:
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
        yield Finding("GPU", "PyTorch", "good", f"{name}, compute capability {major}.{minor}")
    else:
        cuda = torch.version.cuda
        reason = "built without CUDA" if cuda is None else f"CUDA {cuda} does not work"
        fix = "install the build of torch for this driver's CUDA, see pytorch.org"
        yield Finding("GPU", "PyTorch", "wrong", reason, fix)
    yield from torch_tensorrt_fits(_version("torch"), _version("torch-tensorrt"))


def torch_tensorrt_fits(torch_version: str, torch_tensorrt_version: str) -> Iterator[Finding]:
    """Whether torch-tensorrt, if it is there, is of torch's own version."""
    ours, theirs = (".".join(name.split(".")[:2]) for name in (torch_version, torch_tensorrt_version))
    if torch_tensorrt_version and ours != theirs:
        yield Finding(
            "GPU",
            "torch-tensorrt",
            "wrong",
            f"{torch_tensorrt_version} with torch {torch_version}",
            _install_torch_tensorrt(torch_version),
        )


def _install_torch_tensorrt(torch_version: str) -> str:
    return f"pip install 'torch-tensorrt=={'.'.join(torch_version.split('.')[:2])}.*'"


def _engines() -> Iterator[Finding]:
    chosen = next((backend.name for backend in BACKENDS if backend.unavailable() is None), "")
    for backend in BACKENDS:
        reason = backend.unavailable()
        if reason is None:
            taken = "; what auto takes" if backend.name == chosen else ""
            yield Finding("engines", backend.name, "good", f"in {', '.join(backend.precisions)}{taken}")
        else:
            yield _explained("engines", backend.name, reason)
    if not chosen:
        yield Finding("engines", "all", "wrong", "none works", "pip install torch")


def _formats() -> Iterator[Finding]:
    for name, kind in FORMATS.items():
        reason = kind.unavailable()
        if reason is None:
            yield Finding("export", name, "good", f"in {', '.join(kind.precisions)}")
        else:
            yield _explained("export", name, reason)


def _explained(area: str, subject: str, reason: str) -> Finding:
    """Of a reason with the fix in brackets; without, it is the GPU that is missing."""
    found, _, fix = reason.partition(" (")
    return Finding(area, subject, "missing", found, fix.removesuffix(")") or "see what is said of the GPU")


def _ros() -> Iterator[Finding]:
    if importlib.util.find_spec("rclpy") is None:
        fix = "source a ROS 2 set-up, or .venv/setup.bash; everything but the nodes works without"
        yield Finding("ROS", "rclpy", "missing", "cannot be imported", fix)
        return
    yield Finding("ROS", "distribution", "good", os.environ.get("ROS_DISTRO", "from Python packages"))
    yield from middleware()
    yield from optional_packages()


def middleware() -> Iterator[Finding]:
    """What carries messages, and whether it is set up for large ones."""
    from tracking_runtime.ros.optional_packages import how_to_install, is_installed

    chosen = os.environ.get("RMW_IMPLEMENTATION", "")
    if chosen and not is_installed(chosen):
        found = f"RMW_IMPLEMENTATION is {chosen}, which is not installed"
        yield Finding("ROS", "middleware", "wrong", found, how_to_install(chosen))
    else:
        domain = os.environ.get("ROS_DOMAIN_ID", "0, by default")
        name = chosen or "rmw_fastrtps_cpp, by default"
        yield Finding("ROS", "middleware", "good", f"{name}; domain {domain}")
    if not chosen or chosen.startswith("rmw_fastrtps"):
        yield _shared_memory_profile()
    else:
        found = f"{chosen} has settings of its own; {PROFILE_VARIABLE} is for Fast DDS"
        yield Finding("ROS", "large images", "missing", found, "see how fast it is: rstrack bench transport")


def _shared_memory_profile() -> Finding:
    profile = os.environ.get(PROFILE_VARIABLE)
    if not profile:
        fix = f"export {PROFILE_VARIABLE}={shared_memory_profile()}; launch files and rstrack demo do it"
        return Finding("ROS", "large images", "missing", "DDS as it comes: slow beyond 1 MB", fix)
    if not Path(profile).is_file():
        return Finding("ROS", "large images", "wrong", f"no file {profile}", f"unset {PROFILE_VARIABLE}")
    return Finding("ROS", "large images", "good", profile)


def optional_packages() -> Iterator[Finding]:
    """Which of the ROS packages are there that nodes and launch files do without."""
    from tracking_runtime.ros.optional_packages import OPTIONAL, how_to_install, is_installed

    for package, purpose in OPTIONAL.items():
        if is_installed(package):
            yield Finding("ROS", package, "good", f"for {purpose}")
        else:
            yield Finding("ROS", package, "missing", f"none, so no {purpose}", how_to_install(package))


def shared_memory(folder: Path) -> Finding:
    """Whether there is room for images that go from process to process."""
    if not folder.is_dir():
        return Finding("ROS", str(folder), "wrong", "there is none", f"mount a tmpfs at {folder}")
    size_mb = shutil.disk_usage(folder).total / 1e6
    found = f"{size_mb:.0f} MB"
    if size_mb < _NEEDED_SHM_MB:
        fix = "docker run --shm-size=1g, or mount a larger tmpfs"
        return Finding("ROS", str(folder), "wrong", found, fix)
    return Finding("ROS", str(folder), "good", found)


def engine_cache(folder: Path) -> Finding:
    """Whether engines can be kept, and those that are kept are whole."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK) or not existing.is_dir():
        fix = "set RSTRACK_ENGINE_CACHE to a folder of your own; until then each start makes engines anew"
        return Finding("engines", "cache", "wrong", f"{existing} cannot be written", fix)
    free_mb = shutil.disk_usage(existing).free / 1e6
    entries = EngineCache(folder).entries()
    damaged = sum(bool(entry.damage) for entry in entries)
    found = f"{folder}: {len(entries)} engines, {free_mb / 1000:.1f} GB free"
    if damaged:
        return Finding("engines", "cache", "wrong", f"{found}, {damaged} damaged", "rstrack engine clear")
    if free_mb < _NEEDED_DISK_MB:
        return Finding("engines", "cache", "wrong", found, "make room, or set RSTRACK_ENGINE_CACHE elsewhere")
    return Finding("engines", "cache", "good", found)


def _models() -> Iterator[Finding]:
    folders = search_path()
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    places = ", ".join(map(str, folders))
    if names:
        yield Finding("models", "found", "good", f"{', '.join(names)} in {places}")
    else:
        fix = "set RSTRACK_MODEL_PATH to their folder"
        yield Finding("models", "found", "wrong", f"none in {places}", fix)
    for point in entry_points(group="remote_sensing_tracking.trackers"):
        try:
            point.load()
        except Exception as error:
            yield Finding("packages", point.value, "wrong", str(error), "reinstall the package")
