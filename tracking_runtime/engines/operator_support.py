"""ATen operators that torch-tensorrt converts to TensorRT layers.

A network with any other operator, or beyond a limit, is split there: parts of it run in PyTorch, or nothing
compiles.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch.export import ExportedProgram
from torch.fx import Node

OPERATORS_SOURCE = (
    "torch-tensorrt 2.14.0a0 (d7f2062): dynamo/conversion/aten_ops_converters.py, dynamo/lowering"
)

_CONVERTED_NAMES = """
    _adaptive_avg_pool2d.default _adaptive_avg_pool3d.default _cdist_forward.default
    _embedding_bag.default _native_batch_norm_legit.no_stats _native_batch_norm_legit_no_training.default
    _pad_circular.default _pdist_forward.default _prelu_kernel.default _reshape_copy.default
    _scaled_dot_product_cudnn_attention.default _scaled_dot_product_efficient_attention.default
    _scaled_dot_product_flash_attention.default _softmax.default _to_copy.default abs.default acos.default
    acosh.default adaptive_avg_pool1d.default adaptive_avg_pool2d.default adaptive_avg_pool3d.default
    add.Scalar add.Tensor addmm.default amax.default amin.default any.default any.dim any.dims
    arange.start_step argmax.default argmin.default as_strided.default asin.default asinh.default
    atan.default atan2.default atan2.out atanh.default avg_pool1d.default avg_pool2d.default
    avg_pool3d.default batch_norm.default bitwise_and.Scalar bitwise_and.Scalar_Tensor bitwise_and.Tensor
    bitwise_not.default bitwise_or.Scalar bitwise_or.Scalar_Tensor bitwise_or.Tensor bitwise_xor.Scalar
    bitwise_xor.Scalar_Tensor bitwise_xor.Tensor bmm.default cat.default ceil.default clamp.Tensor
    clamp.default clip.Tensor clip.default clone.default constant_pad_nd.default convolution.default
    copy.default cos.default cosh.default cumsum.default diagonal.default div.Scalar div.Scalar_mode
    div.Tensor div.Tensor_mode dot.default elu.default embedding.default embedding_bag.default eq.Scalar
    eq.Tensor erf.default exp.default expand.default expm1.default flip.default floor.default
    floor_divide.Scalar floor_divide.default fmod.Scalar fmod.Tensor full.default gather.default ge.Scalar
    ge.Tensor gelu.default grid_sampler.default grid_sampler_2d.default gt.Scalar gt.Tensor
    hardsigmoid.default hardtanh.default index.Tensor index_copy.default index_put.default
    index_select.default isinf.default isnan.default le.Scalar le.Tensor leaky_relu.default
    linalg_cross.default linear.default log.default log10.default log1p.default log2.default
    logical_and.default logical_not.default logical_or.default logical_xor.default lt.Scalar lt.Tensor
    matmul.default max.default max.dim max_pool1d.default max_pool2d.default max_pool3d.default
    maximum.default mean.default mean.dim min.default min.dim minimum.default mm.default mul.Scalar
    mul.Tensor mv.default native_batch_norm.default native_dropout.default native_group_norm.default
    native_layer_norm.default ne.Scalar ne.Tensor neg.default nonzero.default pad.default permute.default
    pixel_shuffle.default pixel_unshuffle.default pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor
    prod.default prod.dim_int reciprocal.default reflection_pad1d.default reflection_pad2d.default
    reflection_pad3d.default relu.default remainder.Scalar remainder.Tensor repeat.default
    replication_pad1d.default replication_pad2d.default replication_pad3d.default reshape.default
    resize_.default roll.default round.default rsqrt.default scalar_tensor.default
    scaled_dot_product_attention.default scatter.src scatter.value select.int sigmoid.default sign.default
    sin.default sinh.default slice.Tensor slice_scatter.default softplus.default sort.default split.Tensor
    split.sizes split_with_sizes.default sqrt.default squeeze.dim squeeze.dims sub.Scalar sub.Tensor
    sum.default sum.dim_IntList sym_numel.default sym_size.int tan.default tanh.default tile.default
    topk.default trunc.default unsqueeze.default upsample_bicubic2d.vec upsample_bilinear2d.vec
    upsample_linear1d.vec upsample_nearest1d.vec upsample_nearest2d.vec upsample_nearest3d.vec
    upsample_trilinear3d.vec view.default where.self
"""

CONVERTED_OPERATORS = frozenset(_CONVERTED_NAMES.split())
"""Names in `torch.ops.aten` that have a converter."""

LOWERED_OPERATORS = frozenset(
    {
        "_assert_scalar.default",
        "_assert_tensor_metadata.default",
        "detach.default",
        "lift_fresh_copy.default",
        "max_pool2d_with_indices.default",
    }
)
"""Names in `torch.ops.aten` that torch-tensorrt removes or replaces before the conversion."""

MAX_RANKED_VALUES = 3840
"""Largest number of values that a top-k or a sort may return."""


def find_unsupported_operators(program: ExportedProgram) -> list[str]:
    """Return the operators that torch-tensorrt leaves to PyTorch, each with the reason; empty if none."""
    lowered = program.run_decompositions()
    calls = [node for node in lowered.graph.nodes if node.op == "call_function"]
    return sorted({reason for node in calls for reason in _find_reasons(node)})


def _find_reasons(node: Node) -> Iterator[str]:
    if node.target is operator.getitem:
        return
    name = str(node.target).removeprefix("aten.")
    if name in LOWERED_OPERATORS:
        return
    if name not in CONVERTED_OPERATORS:
        yield f"{name} has no converter"
    if _has_symbolic_shape(node):
        yield f"{name} has a shape that depends on data"
    if name in {"topk.default", "sort.default"} and node.meta["val"][0].numel():
        num_ranked = node.meta["val"][0].shape[_find_ranked_dimension(name, node)]
        if not isinstance(num_ranked, int) or num_ranked > MAX_RANKED_VALUES:
            yield f"{name} of {num_ranked} values, of at most {MAX_RANKED_VALUES}"
    if name in {"index.Tensor", "index_put.default"} and _has_boolean_index(node):
        yield f"{name} by a mask, whose shape depends on data"
    if "batch_norm" in name and [user.args[1] for user in node.users] != [0]:
        yield f"{name} with more outputs in use than the first"


def _has_symbolic_shape(node: Node) -> bool:
    values = node.meta.get("val")
    tensors = values if isinstance(values, (tuple, list)) else [values]
    sizes = [size for tensor in tensors if isinstance(tensor, torch.Tensor) for size in tensor.shape]
    return not all(isinstance(size, int) for size in sizes) or isinstance(values, torch.SymInt)


def _find_ranked_dimension(name: str, node: Node) -> int:
    position = 2 if name == "topk.default" else 1
    return int(node.args[position]) if len(node.args) > position else -1  # type: ignore[arg-type]


def _has_boolean_index(node: Node) -> bool:
    indices = [index for index in node.args[1] if isinstance(index, Node)]  # type: ignore[union-attr]
    return any(index.meta["val"].dtype == torch.bool for index in indices)
