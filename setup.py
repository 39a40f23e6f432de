"""For ``pip install`` where there is no ROS 2; colcon uses CMakeLists.txt. Everything is in setup.cfg."""

from setuptools import setup

setup()
