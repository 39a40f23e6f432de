"""Limits of what a file or message may unpack to. Each is checked against a header before data is decoded.

A limit has a default that real data stay below, and an environment variable that changes it, for example
`RSTRACK_MAX_PIXELS=1e9`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from tracking_runtime.errors import SourceError


@dataclass(frozen=True)
class Limit:
    """Largest permitted size of one thing.

    Attributes:
        variable: environment variable that replaces the default.
        default: limit if the variable is not set.
        unit: unit of the limit, for messages.
    """

    variable: str
    default: int
    unit: str

    @property
    def value(self) -> int:
        """Limit in force.

        Raises:
            SourceError: the environment variable is not a positive number.
        """
        text = os.environ.get(self.variable, "")
        if not text:
            return self.default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 1):
            raise SourceError(f"{self.variable} must be a positive number of {self.unit}: got {text!r}")
        return int(value)

    def check(self, size: int, subject: object) -> None:
        """Check a size that a header claims.

        Args:
            size: size in the unit of the limit.
            subject: file, topic or thing of this size, for the message.

        Raises:
            SourceError: the size is above the limit.
        """
        if size > self.value:
            raise SourceError(
                f"{subject}: {size} {self.unit} are more than the limit of {self.value}; "
                f"if they are real, set {self.variable}={size} or more"
            )


IMAGE_PIXELS = Limit("RSTRACK_MAX_PIXELS", 150_000_000, "pixels")
"""Width times height of one image. A frame of 12000 x 12000 pixels is below the default."""

IMAGE_BYTES = Limit("RSTRACK_MAX_IMAGE_BYTES", 2 << 30, "bytes")
"""Decoded size of one image or cube: width times height times bands times bytes of a sample."""

UNPACKED_BYTES = Limit("RSTRACK_MAX_UNPACKED_BYTES", 200_000_000, "bytes")
"""Size of one compressed block of a recording (a chunk, or a message) after it is unpacked."""

UNPACKED_RATIO = Limit("RSTRACK_MAX_UNPACKED_RATIO", 1000, "times the size of the file")
"""Size of all unpacked blocks of a recording in sizes of its file, from `UNPACKED_BYTES` on."""

DOCUMENT_BYTES = Limit("RSTRACK_MAX_DOCUMENT_BYTES", 500_000, "bytes")
"""Size of a YAML document: the metadata of a recording, the manifest of a model."""

FILE_BYTES = Limit("RSTRACK_MAX_FILE_BYTES", 4 << 30, "bytes")
"""Size of a file that is read into memory as a whole: an image, a model, a document."""
