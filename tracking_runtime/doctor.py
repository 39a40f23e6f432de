"""Checks of this machine, each with a fix for `rstrack doctor`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch

from tracking_runtime.engines import BACKENDS
from tracking_runtime.engines.cache import EngineCache, find_cache_folder
from tracking_runtime.engines.export import FORMATS
from tracking_runtime.engines.gpu_cache import DRIVER_FILES, read_driver_version
from tracking_runtime.models.manifest import list_model_folders
from tracking_runtime.plugins import TRACKERS, find_plugins
from tracking_runtime.ros.shared_memory import PROFILE_VARIABLE, find_shared_memory_profile
from tracking_runtime.system_info import describe_machine

State = Literal["good", "missing", "wrong"]

_MIN_SHARED_MEMORY_MB = 256  # the shipped profile needs 128 MB per process, and at least two processes run
_MIN_FREE_DISK_MB = 1000
# Extra of this package that installs each library of an engine or a file format.
_EXTRA_BY_LIBRARY = {
    "openvino": "cpu",
    "nncf": "int8",
    "onnxruntime": "int8",
    "onnx": "export",
    "onnxscript": "export",
    "tensorrt-rtx-cu12": "tensorrt-rtx",
    "pyproj": "geography",
}
_TENSORRT_LIBRARIES = ("torch-tensorrt", "tensorrt")
# CPU flags that make a precision fast.
_PRECISION_FLAGS = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8"),
}


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        area: group of the check, for example `engines`.
        subject: checked thing, for example the name of an engine.
        state: `good`, `missing` (optional and not installed) or `wrong` (must be fixed).
        found: description of the thing, or reason why it does not work.
        fix: action of the user; empty if none is needed.
    """

    area: str
    subject: str
    state: State
    found: str
    fix: str = ""


def examine_machine() -> Iterator[Finding]:
    """Run all checks. Nothing is changed."""
    yield from _check_system()
    yield from check_gpu(*DRIVER_FILES)
    yield from _check_engines()
    yield from _check_export_formats()
    yield from _check_ros()
    yield check_shared_memory(Path("/dev/shm"))
    yield check_engine_cache(find_cache_folder())
    yield from _check_models()
    yield from _check_plugins()


def _check_system() -> Iterator[Finding]:
    machine = describe_machine()
    hardware = f"{machine.processor}, {machine.cores} cores, {machine.memory_gb:.0f} GB"
    yield Finding("machine", "system", "good", f"{machine.system}; {hardware}")
    yield Finding("machine", "arithmetic", "good", _describe_arithmetic(Path("/proc/cpuinfo")))
    for name, library_version in machine.versions.items():
        yield Finding("packages", name, "good", library_version)
    fixes = {
        name: f"pip install 'remote_sensing_tracking[{extra}]'" for name, extra in _EXTRA_BY_LIBRARY.items()
    }
    fix = f"{_format_torch_tensorrt_install(_read_version('torch'))}, with an NVIDIA GPU"
    fixes |= dict.fromkeys(_TENSORRT_LIBRARIES, fix)
    for name in (name for name in fixes if name not in machine.versions):
        library_version = _read_version(name)
        if library_version:
            yield Finding("packages", name, "good", library_version)
        else:
            yield Finding("packages", name, "missing", "not installed", fixes[name])


def _describe_arithmetic(cpu_info: Path) -> str:
    """Return the precisions that the CPU computes fast."""
    text = cpu_info.read_text() if cpu_info.is_file() else ""
    fast = [
        precision
        for precision, flags in _PRECISION_FLAGS.items()
        if any(re.search(rf"\b{flag}\b", text) for flag in flags)
    ]
    return f"fast in {', '.join(['float32', *fast])}"


def _read_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def check_gpu(*driver_files: Path) -> Iterator[Finding]:
    """Check the GPU, its driver and the libraries that use it.

    Args:
        driver_files: files that contain the driver's version. Missing files are skipped. WSL2 and containers
            on a Jetson have none.
    """
    driver = read_driver_version(driver_files).partition("\n")[0]
    is_available = torch.cuda.is_available()
    if not driver and not is_available:
        fix = (
            "install an NVIDIA GPU's driver, start a container with --gpus all; the CPU runs all networks too"
        )
        yield Finding("GPU", "NVIDIA driver", "missing", "none: networks run on the CPU", fix)
        return
    yield Finding("GPU", "NVIDIA driver", "good", driver or "works; no file has its version")
    if is_available:
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
        yield Finding("GPU", "PyTorch", "good", f"{name}, compute capability {major}.{minor}")
    else:
        cuda = torch.version.cuda
        reason = "built without CUDA" if cuda is None else f"CUDA {cuda} does not work"
        fix = "install the build of torch for this driver's CUDA, see pytorch.org"
        yield Finding("GPU", "PyTorch", "wrong", reason, fix)
    yield from check_torch_tensorrt(_read_version("torch"), _read_version("torch-tensorrt"))


def check_torch_tensorrt(torch_version: str, torch_tensorrt_version: str) -> Iterator[Finding]:
    """Check that torch-tensorrt, if installed, has the minor version of torch.

    Args:
        torch_version: version of torch.
        torch_tensorrt_version: version of torch-tensorrt; empty if not installed.
    """
    if torch_tensorrt_version and _shorten_version(torch_version) != _shorten_version(torch_tensorrt_version):
        yield Finding(
            "GPU",
            "torch-tensorrt",
            "wrong",
            f"{torch_tensorrt_version} with torch {torch_version}",
            _format_torch_tensorrt_install(torch_version),
        )


def _format_torch_tensorrt_install(torch_version: str) -> str:
    return f"pip install 'torch-tensorrt=={_shorten_version(torch_version)}.*'"


def _shorten_version(full_version: str) -> str:
    """Return the major and minor version."""
    return ".".join(full_version.split(".")[:2])


def _check_engines() -> Iterator[Finding]:
    reasons = {backend.name: backend.find_unavailable_reason() for backend in BACKENDS}
    automatic = next((name for name, reason in reasons.items() if reason is None), "")
    for backend in BACKENDS:
        reason = reasons[backend.name]
        if reason is None:
            choice = "; the choice of auto" if backend.name == automatic else ""
            yield Finding("engines", backend.name, "good", f"in {', '.join(backend.precisions)}{choice}")
        else:
            yield _make_missing_finding("engines", backend.name, reason)
    if not automatic:
        yield Finding("engines", "all", "wrong", "no engine works", "pip install torch")


def _check_export_formats() -> Iterator[Finding]:
    for name, export_format in FORMATS.items():
        reason = export_format.find_unavailable_reason()
        if reason is None:
            yield Finding("export", name, "good", f"in {', '.join(export_format.precisions)}")
        else:
            yield _make_missing_finding("export", name, reason)


def _make_missing_finding(area: str, subject: str, reason: str) -> Finding:
    """Make a finding from a reason with the fix in parentheses. Without a fix, the GPU is missing."""
    found, _, fix = reason.partition(" (")
    return Finding(area, subject, "missing", found, fix.removesuffix(")") or "see the findings of the GPU")


def _check_ros() -> Iterator[Finding]:
    if importlib.util.find_spec("rclpy") is None:
        fix = "source a ROS 2 set-up or .venv/setup.bash; only the nodes need ROS 2"
        yield Finding("ROS", "rclpy", "missing", "cannot be imported", fix)
        return
    yield Finding("ROS", "distribution", "good", os.environ.get("ROS_DISTRO", "from Python packages"))
    yield from check_middleware()
    yield from check_optional_packages()


def check_middleware() -> Iterator[Finding]:
    """Check the ROS middleware and its settings for large messages."""
    from tracking_runtime.ros.optional_packages import format_install_command, is_installed

    chosen = os.environ.get("RMW_IMPLEMENTATION", "")
    if chosen and not is_installed(chosen):
        found = f"RMW_IMPLEMENTATION is {chosen}, which is not installed"
        yield Finding("ROS", "middleware", "wrong", found, format_install_command(chosen))
    else:
        domain = os.environ.get("ROS_DOMAIN_ID", "0, by default")
        name = chosen or "rmw_fastrtps_cpp, by default"
        yield Finding("ROS", "middleware", "good", f"{name}; domain {domain}")
    if not chosen or chosen.startswith("rmw_fastrtps"):
        yield _check_shared_memory_profile()
    else:
        found = f"{chosen} has its own settings; {PROFILE_VARIABLE} is for Fast DDS"
        yield Finding("ROS", "large images", "missing", found, "measure the speed: rstrack bench transport")


def _check_shared_memory_profile() -> Finding:
    profile = os.environ.get(PROFILE_VARIABLE)
    if not profile:
        fix = (
            f"export {PROFILE_VARIABLE}={find_shared_memory_profile()}; launch files and rstrack demo set it"
        )
        return Finding("ROS", "large images", "missing", "default DDS settings: slow above 1 MB", fix)
    if not Path(profile).is_file():
        return Finding("ROS", "large images", "wrong", f"no file {profile}", f"unset {PROFILE_VARIABLE}")
    return Finding("ROS", "large images", "good", profile)


def check_optional_packages() -> Iterator[Finding]:
    """Check which optional ROS packages are installed."""
    from tracking_runtime.ros.optional_packages import OPTIONAL_PACKAGES, format_install_command, is_installed

    for package, purpose in OPTIONAL_PACKAGES.items():
        if is_installed(package):
            yield Finding("ROS", package, "good", f"for {purpose}")
        else:
            yield Finding(
                "ROS", package, "missing", f"not installed: no {purpose}", format_install_command(package)
            )


def check_shared_memory(folder: Path) -> Finding:
    """Check that the shared memory has space for images between processes."""
    if not folder.is_dir():
        return Finding("ROS", str(folder), "wrong", "does not exist", f"mount a tmpfs at {folder}")
    size_mb = shutil.disk_usage(folder).total / 1e6
    found = f"{size_mb:.0f} MB"
    if size_mb < _MIN_SHARED_MEMORY_MB:
        fix = "docker run --shm-size=1g, or mount a larger tmpfs"
        return Finding("ROS", str(folder), "wrong", found, fix)
    return Finding("ROS", str(folder), "good", found)


def check_engine_cache(folder: Path) -> Finding:
    """Check that engines can be cached and that the cached engines are intact."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK) or not existing.is_dir():
        fix = "set RSTRACK_ENGINE_CACHE to a writable folder; until then engines are built at every start"
        return Finding("engines", "cache", "wrong", f"{existing} cannot be written", fix)
    free_mb = shutil.disk_usage(existing).free / 1e6
    entries = EngineCache(folder).find_entries()
    num_damaged = sum(bool(entry.damage) for entry in entries)
    found = f"{folder}: {len(entries)} engines, {free_mb / 1000:.1f} GB free"
    if num_damaged:
        return Finding("engines", "cache", "wrong", f"{found}, {num_damaged} damaged", "rstrack engine clear")
    if free_mb < _MIN_FREE_DISK_MB:
        fix = "free disk space, or set RSTRACK_ENGINE_CACHE to another disk"
        return Finding("engines", "cache", "wrong", found, fix)
    return Finding("engines", "cache", "good", found)


def _check_models() -> Iterator[Finding]:
    folders = list_model_folders()
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    searched = ", ".join(map(str, folders))
    if names:
        yield Finding("models", "found", "good", f"{', '.join(names)} in {searched}")
    else:
        fix = "set RSTRACK_MODEL_PATH to the folder of the models"
        yield Finding("models", "found", "wrong", f"none in {searched}", fix)


def _check_plugins() -> Iterator[Finding]:
    for plugin in find_plugins(TRACKERS).values():
        try:
            plugin.load()
        except Exception as error:
            yield Finding("packages", plugin.value, "wrong", str(error), "reinstall the package")
