"""Benchmarks, read in their original folders frame by frame, and result files of trackers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from tracking_runtime.datasets.factory import open_dataset

__all__ = ["open_dataset"]

__getattr__ = make_lazy_exports(__name__, {"open_dataset": "tracking_runtime.datasets.factory"})
