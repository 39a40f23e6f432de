"""Serves ``pip install`` where there is no ROS 2; colcon builds with CMakeLists.txt. Everything is in setup.cfg."""

from setuptools import setup

setup()
