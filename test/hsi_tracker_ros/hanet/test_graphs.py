from __future__ import annotations

import pytest

from tracking_runtime.engines.model_graphs import open_model_graphs


@pytest.mark.parametrize(("model", "batches"), [("hanet_edge_vis16", (1, 2)), ("spax_small", (64,))])
def test_graph_examples_are_row_major(model: str, batches: tuple[int, ...]) -> None:
    graphs = open_model_graphs(model, batches).graphs
    for graph in (*graphs, *(graph.per_item_graph for graph in graphs if graph.per_item_graph)):
        strided = [
            name
            for name, example in zip(graph.input_names, graph.examples, strict=True)
            if not example.is_contiguous()
        ]
        assert strided == [], graph.name
