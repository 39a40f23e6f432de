from __future__ import annotations

import json
import math

import numpy as np

from tracking_runtime.io.json_data import to_json_data


def test_to_json_data_converts_arrays_scalars_and_nan() -> None:
    value = {1: np.array([1.5, math.nan]), "count": np.int64(3), "items": (math.inf, None, True, "text")}

    result = to_json_data(value)

    assert result == {"1": [1.5, None], "count": 3, "items": [None, None, True, "text"]}
    json.dumps(result, allow_nan=False)
