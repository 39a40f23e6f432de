"""Configuration of the documentation site (Sphinx with MyST)."""

from __future__ import annotations

import configparser
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

_setup = configparser.ConfigParser()
_setup.read(ROOT / "setup.cfg")

project = _setup["metadata"]["name"]
release = _setup["metadata"]["version"]
author = "the maintainers of remote_sensing_tracking"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build", "_ext"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# ROS 2 is optional: without it the pages of the clients are built against mocks.
_ROS_MODULES = (
    "action_msgs",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rclpy",
    "remote_sensing_tracking",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "vision_msgs",
    "visualization_msgs",
)
autodoc_mock_imports = [name for name in _ROS_MODULES if importlib.util.find_spec(name) is None]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes of dataclasses are documented once

html_theme = "furo"
html_title = "remote_sensing_tracking"
