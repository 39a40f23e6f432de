"""Networks in OpenVINO's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracking_runtime.engines.base import Graph

pytest.importorskip("openvino")


class RowGather(nn.Module):
    """Rows of two matrices by their indices."""

    def forward(self, narrow: Tensor, wide: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        return F.embedding(indices, narrow), F.embedding(indices, wide)


def test_gathered_rows_are_copied_exactly(tmp_path: Path) -> None:
    from tracking_runtime.engines.openvino_conversion import get_core, run_file, write_openvino

    generator = torch.Generator().manual_seed(0)
    examples = (
        torch.randn(50, 8, generator=generator),
        torch.randn(50, 17, generator=generator),
        torch.randint(0, 50, (4, 3, 3), generator=generator, dtype=torch.int32),
    )
    graph = Graph("rows", RowGather(), examples, ("narrow", "wide", "indices"), ("a", "b"))

    write_openvino(graph, tmp_path / "network.xml")

    outputs = run_file(tmp_path / "network.xml", [example.numpy() for example in examples])
    expected = graph.module(*examples)
    assert all(np.array_equal(output, each.numpy()) for output, each in zip(outputs, expected, strict=True))
    kinds = [node.get_type_name() for node in get_core().read_model(tmp_path / "network.xml").get_ops()]
    assert (kinds.count("GatherND"), kinds.count("Gather")) == (1, 1)
