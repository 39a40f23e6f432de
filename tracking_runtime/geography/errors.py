"""Errors of geographic references."""

from __future__ import annotations

from tracking_runtime.errors import TrackingError


class GeographyError(TrackingError, ValueError):
    """A reference or position that cannot be used. The message names the file or the value, and the cure."""
