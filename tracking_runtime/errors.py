"""Errors that a user can fix. Each message names the file, topic or parameter and says what to do."""

from __future__ import annotations


class TrackingError(Exception):
    """Base of all errors that a user can fix; `rstrack` prints the message and exits with status 1."""


class FrameRefusedError(TrackingError, ValueError):
    """A frame that cannot be used. The state of the tracker is unchanged."""


class TargetRefusedError(TrackingError, ValueError):
    """A target that cannot be tracked. The targets of the tracker are unchanged."""


class ParameterError(TrackingError, ValueError):
    """A parameter with a value that does not work here. The message names the parameter."""


class ModelError(TrackingError, ValueError):
    """A model that cannot be loaded. The message names the file and its fault."""


class SourceError(TrackingError, ValueError):
    """A recording, folder or scene that cannot be read. The message names the source and its fault."""


class EvaluationError(TrackingError, ValueError):
    """Scores that cannot be summarized or compared, or options of an evaluation that exclude each other."""


class UnsafePathError(TrackingError, ValueError):
    """A path in a file that leads out of the folder that it must stay in."""
