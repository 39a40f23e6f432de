"""Values as JSON can write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_json_data(value: Any) -> Any:
    """Convert arrays to lists, NumPy scalars to Python's, and NaN and infinity to None.

    Args:
        value: any nesting of mappings, sequences, arrays and scalars.
    """
    if isinstance(value, Mapping):
        return {str(key): to_json_data(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [to_json_data(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
