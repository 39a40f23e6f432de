"""What can go wrong in ways that a user can mend."""

from __future__ import annotations


class FrameRefusedError(ValueError):
    """A frame cannot be used. The message says why; the tracker's state is as it was before."""


class TargetRefused(ValueError):
    """A target cannot be followed. The message says why; the targets are as they were before."""


class ModelError(ValueError):
    """A model cannot be loaded. The message names the file and what is wrong with it."""


class SourceError(ValueError):
    """A recording, folder or scene cannot be read. The message names it and what is wrong with it."""
