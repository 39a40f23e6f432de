"""Inputs of engines, captured while they run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracking_runtime.engines import Backend, EngineSettings, Graph, load_engine
from tracking_runtime.engines.input_capture import capture_inputs


def test_captured_inputs_are_evenly_spaced(conv_graph: Graph, make_backend: Callable[..., Backend]) -> None:
    with capture_inputs(3) as captured:
        engine = load_engine(conv_graph, EngineSettings(), [make_backend("good")])
        for number in range(20):
            engine.run(np.full(1, number))

    assert [int(inputs[0][0]) for inputs in captured["sum"]] == [0, 8, 16]
    assert load_engine(conv_graph, EngineSettings(), [make_backend("good")]).run(np.ones(1)) is not None
