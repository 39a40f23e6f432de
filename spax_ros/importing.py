"""Official SPAX checkpoints, read once and turned into models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.network import SpaxNetwork
from spax_ros.weights import save_spax
from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_state_dict
from tracking_runtime.models.manifest import check_free, provenance

_CONV_NORM = {"0": "conv", "1": "norm"}
_UNUSED = re.compile(r"backbone\.fc\.|.*\.num_batches_tracked$")

# Patterns of official names and what they are called here; ``_filled`` says what the braces mean.
_RENAMED: tuple[tuple[str, str], ...] = (
    (r"base_layer\.(0|1)\.", "stem.0.{cn:1}."),
    (r"base_layer\.2\.", "stem.1.conv."),
    (r"base_layer\.3\.", "stem.1.norm."),
    (r"ee\.out_conv\.(0|1)\.", "stem_edges.edge.{cn:1}."),
    (r"conv_gru_layer(0|1)\.cell_list\.", "input{1}."),
    (r"cga_block_c1\.down_layer\.(0|1)\.", "asymmetric.down.{cn:1}."),
    (r"cga_block_c1\.sa\.sa\.", "asymmetric.spatial."),
    (r"cga_block_c1\.ca\.ca\.0\.", "asymmetric.squeeze."),
    (r"cga_block_c1\.ca\.ca\.2\.", "asymmetric.excite."),
    (r"cga_block_c1\.pa\.pa2\.", "asymmetric.pixel."),
    (r"cga_block_c1\.conv\.", "asymmetric.out."),
    (r"trans_layer\.", "asymmetric."),
    (r"trans_layer_gru\.", "inject."),
    (r"backbone\.base_layer\.(0|1)\.", "backbone.base.{cn:1}."),
    (r"backbone\.level(0|1)\.(0|1)\.", "backbone.level{1}.{cn:2}."),
    (r"dla_up\.ida_(\d)\.(proj|node)_(\d)\.conv\.", "aggregation.steps.{1}.{2}.{less1:3}.conv."),
    (r"dla_up\.ida_(\d)\.(proj|node)_(\d)\.actf\.0\.", "aggregation.steps.{1}.{2}.{less1:3}.norm."),
    (r"dla_up\.ida_(\d)\.up_(\d)\.", "aggregation.steps.{1}.up.{less1:2}."),
    (r"mask_prop(1|2)\.attn_cross\.", "propagate.{less1:1}."),
    (r"mask_prop(1|2)\.bn\.", "propagate.{less1:1}.norm."),
    (r"deconv_layer(\d)\.(0|1)\.", "up.{from4:1}.conv.{cn:2}."),
    (r"deconv_layer(\d)\.3\.", "up.{from4:1}."),
    (r"deconv_layer(\d)\.4\.", "up.{from4:1}.norm."),
    (r"smooth_layer(\d)\.conv\.", "smooth.{from4:1}.conv."),
    (r"smooth_layer(\d)\.actf\.0\.", "smooth.{from4:1}.norm."),
    (r"deconv_gru\.conv_gru_layer\.cell_list\.", "fused."),
    (r"deconv_gru\.ee\.out_conv\.(0|1)\.", "fused_edges.edge.{cn:1}."),
    (r"deconv_gru\.proj_hm\.(0|1)\.", "project.{cn:1}."),
    (r"proj0\.(0|1)\.", "pair.{cn:1}."),
    (r"mask_layer\.", "mask_layer."),
)


def official_name(name: str, config: SpaxConfig) -> str | None:
    """What a parameter of the official network is called here; None: it is not used.

    Raises:
        ModelError: there is no such parameter in SPAX.
    """
    if _UNUSED.match(name):
        return None
    if match := re.match(r"backbone\.level([2-4])\.", name):
        return _backbone_name(int(match[1]), name[match.end() :], config)
    if match := re.match(r"(hm|wh|reg|dis)\.(\d)\.", name):
        place = int(match[2]) // 2
        layer = "out" if place == config.head_depth else f"hidden.{place}"
        return f"heads.{match[1]}.{layer}.{name[match.end() :]}"
    for pattern, here in _RENAMED:
        if match := re.match(pattern, name):
            return _filled(here, match) + name[match.end() :]
    raise ModelError(f"parameter {name} is not one of SPAX's")


def official_weights(official: Mapping[str, Tensor], config: SpaxConfig) -> dict[str, Tensor]:
    """Weights by their names here in float32, complete and of the right shapes.

    Raises:
        ModelError: they are not those of a network of this configuration; the message lists every parameter
            that is unknown, of another shape, or missing.
    """
    expected = SpaxNetwork(config).state_dict()
    weights = {k: v for k, v in expected.items() if k.endswith("num_batches_tracked")}
    problems = []
    for name, value in official.items():
        try:
            here = official_name(name, config)
        except ModelError as error:
            problems.append(str(error))
            continue
        if here is None:
            continue
        if here not in expected:
            problems.append(f"parameter {name} is not in this variant")
        elif value.shape != expected[here].shape:
            problems.append(
                f"parameter {name} has the shape {tuple(value.shape)}, here {tuple(expected[here].shape)}"
            )
        weights[here] = value.float()
    problems += [f"nothing becomes {name}" for name in expected if name not in weights]
    if problems:
        raise ModelError("\n  ".join(["not the weights of this variant:", *problems]))
    return weights


def read_official(checkpoint: Path, variant: str) -> tuple[SpaxConfig, dict[str, Tensor]]:
    """Configuration and weights of an official checkpoint.

    Args:
        checkpoint: the file, ``{"epoch": ..., "state_dict": ...}`` or the state_dict alone.
        variant: one of ``VARIANTS``.

    Raises:
        ModelError: it cannot be read, or is not of this variant.
    """
    if variant not in VARIANTS:
        raise ModelError(f"no variant {variant}; there are {', '.join(VARIANTS)}")
    official = read_state_dict(checkpoint)
    try:
        return VARIANTS[variant], official_weights(official, VARIANTS[variant])
    except ModelError as error:
        raise ModelError(f"{checkpoint}: {error}") from error


def import_official(checkpoint: Path, variant: str, folder: Path, name: str) -> Path:
    """Turn an official checkpoint into a model; returns its manifest's path.

    Args:
        checkpoint: as of ``read_official``.
        variant: as of ``read_official``.
        folder: where the model is written.
        name: of the model.

    Raises:
        ModelError: the checkpoint cannot be used, or there is a model of this name.
    """
    check_free(folder, name)
    config, weights = read_official(checkpoint, variant)
    told = {**provenance(checkpoint, "the authors of SPAX"), "variant": variant}
    return save_spax(folder, name, replace(config, memory="window"), weights, training=told)


def _filled(here: str, match: re.Match[str]) -> str:
    def value(field: re.Match[str]) -> str:
        kind, group = field["kind"], match[int(field["group"])]
        if kind == "cn:":
            return _CONV_NORM[group]
        if kind == "less1:":
            return str(int(group) - 1)
        if kind == "from4:":
            return str(4 - int(group))
        return {"proj": "project"}.get(group, group)

    return re.sub(r"\{(?P<kind>cn:|less1:|from4:|)(?P<group>\d)\}", value, here)


def _backbone_name(level: int, rest: str, config: SpaxConfig) -> str | None:
    if level >= config.levels or (config.depths[level] > 1 and rest.startswith("project.")):
        return None  # computed by the official network, its result never used
    for pattern, here in (
        (r"tree1\.", "first."),
        (r"tree2\.", "second."),
        (r"\bconv1\.", "first.conv."),
        (r"\bbn1\.", "first.norm."),
        (r"\bconv2\.", "second.conv."),
        (r"\bbn2\.", "second.norm."),
        (r"root\.bn\.", "root.norm."),
        (r"project\.0\.", "project.conv."),
        (r"project\.1\.", "project.norm."),
    ):
        rest = re.sub(pattern, here, rest)
    return f"backbone.trees.{level - 2}.{rest}"
