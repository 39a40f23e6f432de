"""Names of the limits for readers of frames; `tracking_runtime.untrusted.limits` defines them."""

from __future__ import annotations

from tracking_runtime.untrusted.limits import IMAGE_BYTES, IMAGE_PIXELS, Limit

__all__ = ["IMAGE_BYTES", "IMAGE_PIXELS", "Limit"]
