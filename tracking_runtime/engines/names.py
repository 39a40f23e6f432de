"""Names of engines, precisions and file formats, for options: this module imports nothing heavy."""

from __future__ import annotations

ENGINE_NAMES = ("tensorrt", "tensorrt-rtx", "pytorch-cuda", "openvino", "pytorch")
"""Names of all backends, the fastest first."""

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")
"""Precisions of the arithmetic; `auto` is the first precision of a backend or file format."""

EXPORT_FORMATS = ("onnx", "openvino", "tensorrt", "tensorrt-rtx")
"""Formats of the files that `rstrack export` writes."""
