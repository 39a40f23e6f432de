"""Scenarios of `rstrack demo` and their runner."""
