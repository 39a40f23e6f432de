"""Facts that reports state about a measurement: the machine, the time and the command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "remote_sensing_tracking",
    "torch",
    "openvino",
    "numpy",
    "opencv-contrib-python-headless",
    "pycocotools",
)

_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")  # of /proc/cpuinfo


@dataclass(frozen=True)
class Machine:
    """The machine of a measurement.

    Attributes:
        system: name and version of the operating system.
        processor: model name of the CPU.
        cores: number of CPU cores that the process may use.
        memory_gb: physical memory in gigabytes.
        versions: version of each library by name.
    """

    system: str
    processor: str
    cores: int
    memory_gb: float
    versions: Mapping[str, str]


def describe_machine() -> Machine:
    """Return the facts of this machine."""
    return Machine(
        system=_read_system(),
        processor=_read_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        versions={"python": platform.python_version(), **_read_ros_distribution(), **_read_versions()},
    )


def has_bfloat16_instructions(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor multiplies in bfloat16, with AVX-512 or AMX.

    Args:
        cpu_info: file with the flags of the processor.
    """
    return any(flag in _read_cpu_value(cpu_info, "flags").split() for flag in _BFLOAT16_FLAGS)


def format_now() -> str:
    """Return the local date and time with the zone, in ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def format_command_line() -> str:
    """Return the command line of this `rstrack` process, quoted for a shell."""
    return shlex.join(["rstrack", *sys.argv[1:]])


def _read_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _read_processor() -> str:
    name = _read_cpu_value(Path("/proc/cpuinfo"), "model name")
    return name or platform.processor() or platform.machine()


def _read_cpu_value(cpu_info: Path, key: str) -> str:
    """Return the first value of a key; empty if it is missing."""
    for line in cpu_info.read_text().splitlines() if cpu_info.is_file() else []:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _read_ros_distribution() -> dict[str, str]:
    distribution = os.environ.get("ROS_DISTRO")
    return {"ROS 2": distribution} if distribution else {}


def _read_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
