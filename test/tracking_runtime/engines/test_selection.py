"""Selection of an engine, and fallback to the next one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tracking_runtime.engines import Backend, EngineError, EngineSettings, Graph, load_engine
from tracking_runtime.engines.openvino import OpenVINOBackend
from tracking_runtime.engines.pytorch import PyTorchBackend
from tracking_runtime.engines.selection import choose_precision
from tracking_runtime.system_info import has_bfloat16_instructions

MakeBackend = Callable[..., Backend]


def has_error(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(record.levelno == logging.ERROR and text in record.message for record in caplog.records)


def test_auto_selects_the_first_working_engine(
    conv_graph: Graph, make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backends = [
        make_backend("absent", reason="not installed"),
        make_backend("broken", fails_loading=True),
        make_backend("good"),
    ]

    with caplog.at_level(logging.INFO):
        engine = load_engine(conv_graph, EngineSettings(), backends)

    assert engine.description.startswith("good")
    assert "not installed" in engine.description
    assert "does not compile" in engine.description
    assert has_error(caplog, "broken")


def test_auto_falls_back_when_a_run_fails(
    conv_graph: Graph, make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backends = [make_backend("flaky", fails_after=1), make_backend("good")]
    engine = load_engine(conv_graph, EngineSettings(), backends)
    array = np.ones(1)

    assert engine.run(array) == (array,)
    assert engine.run(array) == (array,)

    assert engine.description.startswith("good")
    assert "device lost" in engine.description
    assert has_error(caplog, "flaky")


def test_auto_without_working_engine_names_all_reasons(conv_graph: Graph, make_backend: MakeBackend) -> None:
    backends = [make_backend("absent", reason="not installed"), make_backend("broken", fails_loading=True)]

    with pytest.raises(EngineError, match=r"not installed.*does not compile"):
        load_engine(conv_graph, EngineSettings(), backends)


def test_engine_selected_by_name_is_not_replaced(conv_graph: Graph, make_backend: MakeBackend) -> None:
    backends = [make_backend("broken", fails_loading=True), make_backend("good")]

    with pytest.raises(EngineError, match=r"broken.*does not compile"):
        load_engine(conv_graph, EngineSettings(engine="broken"), backends)
    with pytest.raises(EngineError, match="unknown engine tpu; known: auto, good"):
        load_engine(conv_graph, EngineSettings(engine="tpu"), [make_backend("good")])


def test_precision_suffix_sets_the_precision(conv_graph: Graph) -> None:
    engine = load_engine(conv_graph, EngineSettings("pytorch:bfloat16", threads=1))

    assert "bfloat16" in engine.description
    with pytest.raises(EngineError, match="unknown precision float8; known: auto, float32"):
        load_engine(conv_graph, EngineSettings("pytorch:float8"))
    with pytest.raises(EngineError, match="computes in float32, bfloat16, float16, not in int8"):
        load_engine(conv_graph, EngineSettings("pytorch", precision="int8"))


def test_auto_precision_is_bfloat16_if_settings_and_cpu_permit() -> None:
    tolerant = EngineSettings(permits_bfloat16=True)
    openvino, pytorch = OpenVINOBackend(), PyTorchBackend("pytorch", "cpu")
    fast = "bfloat16" if has_bfloat16_instructions() else "float32"

    assert choose_precision(openvino, tolerant) == fast
    assert choose_precision(openvino, EngineSettings()) == "float32"
    assert choose_precision(pytorch, tolerant) == "float32"
    assert choose_precision(openvino, replace(tolerant, precision="float32")) == "float32"


def test_auto_skips_engines_without_the_precision(conv_graph: Graph, make_backend: MakeBackend) -> None:
    backends = [make_backend("first"), make_backend("second", precisions=("int8",))]

    engine = load_engine(conv_graph, EngineSettings(precision="int8"), backends)

    assert engine.description.startswith("second")
    assert "not first: first computes in float32" in engine.description


def test_load_limits_blas_to_one_thread(conv_graph: Graph) -> None:
    with threadpool_limits(2, "blas"):
        load_engine(conv_graph, EngineSettings(engine="pytorch", threads=1))

        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
