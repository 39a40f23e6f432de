"""What to know of the machine to judge the figures measured on it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tracking_runtime.reports.report_data import Machine

_PACKAGES = (
    "remote_sensing_tracking",
    "torch",
    "openvino",
    "numpy",
    "opencv-contrib-python-headless",
    "trackeval",
)


def this_machine() -> Machine:
    """The machine on which this runs, and the versions of what the figures depend on."""
    return Machine(
        system=_system(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        versions={"python": platform.python_version(), **_ros(), **_installed()},
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _ros() -> dict[str, str]:
    distribution = os.environ.get("ROS_DISTRO")
    return {"ROS 2": distribution} if distribution else {}


def _installed() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
