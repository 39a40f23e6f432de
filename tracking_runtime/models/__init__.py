"""Models on disk: manifests, weights and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from tracking_runtime.models.manifest import Manifest, load_model, save_model

__all__ = ["Manifest", "load_model", "save_model"]

__getattr__ = make_lazy_exports(__name__, dict.fromkeys(__all__, "tracking_runtime.models.manifest"))
