"""Graphs have examples that every engine takes."""

from __future__ import annotations

import pytest

from tracking_runtime.engines.model_graphs import open_networks


@pytest.mark.parametrize(("model", "batches"), [("hanet_edge_vis16", (1, 2)), ("spax_small", (64,))])
def test_examples_are_row_major(model: str, batches: tuple[int, ...]) -> None:
    graphs = open_networks(model, batches).graphs
    for graph in (*graphs, *(graph.single for graph in graphs if graph.single)):
        strided = [
            name
            for name, example in zip(graph.inputs, graph.examples, strict=True)
            if not example.is_contiguous()
        ]
        assert strided == [], graph.name
