"""Frame sources, text files and temporary files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from tracking_runtime.io.sources import open_source

__all__ = ["open_source"]

__getattr__ = make_lazy_exports(__name__, {"open_source": "tracking_runtime.io.sources"})
