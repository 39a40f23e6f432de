"""PyAV, imported with a message for users who lack it."""

from __future__ import annotations

from tracking_runtime.errors import SourceError

try:
    import av
    import av.error
except ImportError as error:
    raise SourceError(f"videos need PyAV: got {error}; install it with: pip install 'av>=17'") from error

__all__ = ["av"]
