"""Import of official SPAX checkpoints as models."""

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
from tracking_runtime.models.manifest import check_name_is_free, describe_provenance

_LAYER_NAMES = {"0": "conv", "1": "norm"}
_UNUSED_NAMES = re.compile(r"backbone\.fc\.|.*\.num_batches_tracked$")

# Patterns of official names and templates of the names here. In a template, {1} is group 1 of the pattern,
# {cn:1} the layer of that index (0: conv, 1: norm), {less1:1} the number minus 1, {from4:1} 4 minus the
# number.
_NAME_TEMPLATES: tuple[tuple[str, str], ...] = (
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


def translate_name(name: str, config: SpaxConfig) -> str | None:
    """Return the name here of a parameter of the official network; None: it is not used.

    Args:
        name: official name of the parameter.
        config: configuration of the network.

    Raises:
        ModelError: SPAX has no such parameter.
    """
    if _UNUSED_NAMES.match(name):
        return None
    if match := re.match(r"backbone\.level([2-4])\.", name):
        return _translate_backbone_name(int(match[1]), name[match.end() :], config)
    if match := re.match(r"(hm|wh|reg|dis)\.(\d)\.", name):
        index = int(match[2]) // 2
        layer = "out" if index == config.head_depth else f"hidden.{index}"
        return f"heads.{match[1]}.{layer}.{name[match.end() :]}"
    for pattern, template in _NAME_TEMPLATES:
        if match := re.match(pattern, name):
            return _fill_template(template, match) + name[match.end() :]
    raise ModelError(f"parameter {name} is not a parameter of SPAX")


def official_weights(official: Mapping[str, Tensor], config: SpaxConfig) -> dict[str, Tensor]:
    """Return the weights in float32 by their names here, complete and of the right shapes.

    Args:
        official: weights by their official names.
        config: configuration of the network.

    Raises:
        ModelError: the weights do not fit the configuration. The message lists every parameter that is
            unknown, of another shape or missing.
    """
    expected = SpaxNetwork(config).state_dict()
    weights = {k: v for k, v in expected.items() if k.endswith("num_batches_tracked")}
    problems = []
    for name, value in official.items():
        try:
            local_name = translate_name(name, config)
        except ModelError as error:
            problems.append(str(error))
            continue
        if local_name is None:
            continue
        if local_name not in expected:
            problems.append(f"parameter {name} is not in this variant")
        elif value.shape != expected[local_name].shape:
            expected_shape = tuple(expected[local_name].shape)
            problems.append(
                f"parameter {name} must have the shape {expected_shape}: got {tuple(value.shape)}"
            )
        weights[local_name] = value.float()
    problems += [f"parameter {name} is missing" for name in expected if name not in weights]
    if problems:
        raise ModelError(
            "\n  ".join(["the weights do not fit this variant; choose another --variant:", *problems])
        )
    return weights


def read_official_checkpoint(checkpoint: Path, variant: str) -> tuple[SpaxConfig, dict[str, Tensor]]:
    """Read configuration and weights of an official checkpoint.

    Args:
        checkpoint: file with ``{"epoch": ..., "state_dict": ...}`` or the state_dict alone.
        variant: name in `VARIANTS`.

    Raises:
        ModelError: the checkpoint cannot be read, or is of another variant.
    """
    if variant not in VARIANTS:
        raise ModelError(f"variant must be one of {', '.join(VARIANTS)}: got {variant}")
    official = read_state_dict(checkpoint)
    try:
        return VARIANTS[variant], official_weights(official, VARIANTS[variant])
    except ModelError as error:
        raise ModelError(f"{checkpoint}: {error}") from error


def import_official_checkpoint(checkpoint: Path, variant: str, folder: Path, name: str) -> Path:
    """Import an official checkpoint as a model; return the manifest's path.

    Args:
        checkpoint: file with ``{"epoch": ..., "state_dict": ...}`` or the state_dict alone.
        variant: name in `VARIANTS`.
        folder: folder of the model.
        name: name of the model.

    Raises:
        ModelError: the checkpoint cannot be used, or a model of this name exists.
    """
    check_name_is_free(folder, name)
    config, weights = read_official_checkpoint(checkpoint, variant)
    training = {**describe_provenance(checkpoint, "the authors of SPAX"), "variant": variant}
    return save_spax(folder, name, replace(config, memory="window"), weights, training=training)


def _fill_template(template: str, match: re.Match[str]) -> str:
    """Fill the braces of a template with groups of a match; see `_NAME_TEMPLATES`."""

    def convert(field: re.Match[str]) -> str:
        kind, group = field["kind"], match[int(field["group"])]
        if kind == "cn:":
            return _LAYER_NAMES[group]
        if kind == "less1:":
            return str(int(group) - 1)
        if kind == "from4:":
            return str(4 - int(group))
        return {"proj": "project"}.get(group, group)

    return re.sub(r"\{(?P<kind>cn:|less1:|from4:|)(?P<group>\d)\}", convert, template)


def _translate_backbone_name(level: int, rest: str, config: SpaxConfig) -> str | None:
    """Return the name here of a parameter of the backbone's tree at a level; None: it is not used."""
    if level >= config.num_levels or (config.depths[level] > 1 and rest.startswith("project.")):
        return None  # the official network computes the layer but never uses the result
    for pattern, replacement in (
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
        rest = re.sub(pattern, replacement, rest)
    return f"backbone.trees.{level - 2}.{rest}"
