"""Fitting of the light RGB network to a trained one: channels are selected, layers solved by least squares.

No gradients are needed. The features of both networks are computed for the same pairs, from the first layer
to the last. Each layer of the light network is solved for the features of the trained one, given what the
light network computes before it, so that errors do not add up. A training repairs what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsi_tracker_ros.hanet.backbones import DilatedEfficientNetLite0, InvertedResidual, LightEfficientNetLite0
from hsi_tracker_ros.hanet.config import SIAMBAN_EDGE
from hsi_tracker_ros.hanet.head import DepthwiseCorrelation, correlate
from hsi_tracker_ros.hanet.network import SiamBAN, SiameseNetwork
from hsi_tracker_ros.training.rgb_pairs import RgbPair
from tracking_runtime.errors import ModelError

_SAMPLES = 400  # positions per image at which features are compared
_BATCH = 8  # images that are computed at once
_RIDGE = 1e-4  # added to the diagonal of a Gram matrix, as a fraction of its mean
_ITERATIONS = 10  # alternations between the two factors of a separable convolution
_RESPONDING = 0.1  # probability from which a point counts as part of an object
_BACKGROUND_FRACTIONS = {"cls": 0.15, "loc": 0.015}  # of the other points, at which responses are compared


@dataclass(frozen=True)
class _Moments:
    """Second moments of inputs and targets about their means.

    Attributes:
        gram: products of the inputs, (inputs, inputs).
        cross: products of inputs and targets, (inputs, targets).
        input_mean: means of the inputs, (inputs,).
        target_mean: means of the targets, (targets,).
    """

    gram: Tensor
    cross: Tensor
    input_mean: Tensor
    target_mean: Tensor

    def solve(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights (targets, kept inputs) and bias (targets,) that predict the targets best."""
        gram = _add_ridge(self.gram[kept][:, kept])
        weight = torch.linalg.solve(gram, self.cross[kept])
        return weight.T, self.target_mean - self.input_mean[kept] @ weight


def _compute_moments(inputs: Tensor, targets: Tensor) -> _Moments:
    """Compute the moments of inputs (samples, inputs) and targets (samples, targets)."""
    input_mean, target_mean = inputs.mean(0), targets.mean(0)
    centered = inputs - input_mean
    return _Moments(
        centered.T @ centered / len(inputs),
        centered.T @ (targets - target_mean) / len(inputs),
        input_mean,
        target_mean,
    )


def _add_ridge(gram: Tensor) -> Tensor:
    ridge = _RIDGE * gram.diagonal().mean().clamp(min=torch.finfo(gram.dtype).tiny)
    return gram + ridge * torch.eye(len(gram), dtype=gram.dtype)


def select_channels(gram: Tensor, cross: Tensor, count: int) -> Tensor:
    """Select the channels that together predict the targets best, one after the other (matching pursuit).

    Args:
        gram: products of the channels about their means, (channels, channels).
        cross: products of channels and targets, (channels, targets).
        count: number of channels to select.

    Returns:
        Indices of the channels in ascending order, (count,).
    """
    residual, cross = _add_ridge(gram), cross.clone()
    floor = torch.finfo(gram.dtype).tiny
    is_free = torch.ones(len(gram), dtype=torch.bool)
    for _ in range(count):
        gains = cross.square().sum(1) / residual.diagonal().clamp(min=floor)
        index = int(gains.masked_fill(~is_free, -1.0).argmax())
        is_free[index] = False
        share = residual[index] / residual[index, index].clamp(min=floor)
        cross = cross - share[:, None] * cross[index]
        residual = residual - torch.outer(share, residual[index])
    return (~is_free).nonzero()[:, 0]


def factorize_convolution(gram: Tensor, cross: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Find the 1x1 and the depth-wise convolution that together predict the targets best.

    Args:
        gram: products of the inputs, channels times places of the kernel, about their means.
        cross: products of inputs and targets, (channels times places, targets).
        channels: number of channels of the input.

    Returns:
        Weights of the 1x1 convolution (targets, channels), and of the depth-wise one (targets, places), of
        length 1 each.
    """
    gram = _add_ridge(gram)
    places = len(gram) // channels
    whole = torch.linalg.solve(gram, cross).T.reshape(-1, channels, places)
    left, values, right = torch.linalg.svd(whole, full_matrices=False)
    pointwise, depthwise = left[:, :, 0] * values[:, :1], right[:, 0]
    products = gram.reshape(channels, places, channels, places)
    wanted = cross.T.reshape(-1, channels, places)
    for _ in range(_ITERATIONS):
        system = torch.einsum("oi,ikjl,oj->okl", pointwise, products, pointwise)
        target = torch.einsum("oi,oik->ok", pointwise, wanted)
        depthwise = torch.linalg.solve(system, target)
        depthwise = depthwise / depthwise.norm(dim=1, keepdim=True)
        system = torch.einsum("ok,ikjl,ol->oij", depthwise, products, depthwise)
        target = torch.einsum("ok,oik->oi", depthwise, wanted)
        pointwise = torch.linalg.solve(system, target)
    return pointwise, depthwise


@torch.no_grad()
def fit_light_network(network: SiameseNetwork, pairs: Sequence[RgbPair]) -> SiameseNetwork:
    """Return the light network that is closest to a trained network.

    Args:
        network: network of SiamBAN on `efficientnet_lite0` with levels 3 and 4.
        pairs: pairs that the features are compared on, a hundred or more.

    Raises:
        ModelError: the network is of another architecture.
    """
    teacher = network.eval().rgb
    light = SiameseNetwork(replace(SIAMBAN_EDGE, tracking=network.config.tracking)).eval()
    student = light.rgb
    assert isinstance(student, SiamBAN)
    if (
        not isinstance(teacher, SiamBAN)
        or not isinstance(teacher.backbone, DilatedEfficientNetLite0)
        or teacher.backbone.levels != SIAMBAN_EDGE.levels
        or network.config.separable_search
    ):
        raise ModelError(
            "a light network is fitted to a network on efficientnet_lite0 with levels 3 and 4: got "
            f"{network.config.backbone} with levels {list(network.config.levels)}"
        )
    templates, searches = (
        torch.stack([getattr(pair, name) for pair in pairs]) for name in ("template", "search")
    )
    generator = torch.Generator().manual_seed(0)
    normalized = (searches - SIAMBAN_EDGE.pixel_mean) / SIAMBAN_EDGE.pixel_std
    _fit_backbone(teacher.backbone, student.backbone, normalized, generator)
    _fit_necks(teacher, student, normalized, generator)
    _fit_heads(teacher, student, templates, searches, generator)
    return light


def _run(layer: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return torch.cat([layer(part) for part in images.split(_BATCH)])


def _list_rows(maps: Tensor) -> Tensor:
    """Return maps (images, channels, height, width) as rows (positions, channels) of float64."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2).double()


def _draw_rows(maps: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Return rows (positions, channels) of several maps of the same size, at the same random positions."""
    positions = maps[0].shape[0] * maps[0].shape[2] * maps[0].shape[3]
    drawn = torch.randperm(positions, generator=generator)[: _SAMPLES * maps[0].shape[0]]
    return [_list_rows(each)[drawn] for each in maps]


def _solve(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (targets, inputs) and bias (targets,) that predict rows of targets best."""
    return _compute_moments(inputs, targets).solve(torch.arange(inputs.shape[1]))


def _fit_backbone(teacher: nn.Module, student: nn.Module, images: Tensor, generator: torch.Generator) -> None:
    """Fit the stem and all blocks, one after the other."""
    assert isinstance(teacher, DilatedEfficientNetLite0)
    assert isinstance(student, LightEfficientNetLite0)
    features = wanted = images
    for index, (stage, light_stage) in enumerate(zip(teacher.stages, student.stages, strict=False)):
        is_strided = student.STAGES[index][4] != teacher.STAGES[index][4]
        for block, light_block in zip(stage, light_stage, strict=True):  # type: ignore[call-overload]
            stems = (teacher.stem, student.stem) if index == 0 else (nn.Sequential(), nn.Sequential())
            wanted = _run(nn.Sequential(stems[0], block), wanted)
            target = wanted[..., 1::2, 1::2] if is_strided else wanted
            hidden = nn.Sequential(stems[0], _make_hidden_layers(block, light_block))
            change = target - features if block.residual else target
            _fit_block(block, light_block, stems, hidden, features, change, generator)
            features = _run(nn.Sequential(stems[1], light_block), features)


def _make_hidden_layers(block: InvertedResidual, light_block: InvertedResidual) -> nn.Sequential:
    """Return the layers of a block up to its projection, with the stride of the light block."""
    layers = list(deepcopy(block.layers).children())[:-2]
    for name in ("stride", "padding", "dilation"):
        setattr(layers[-3], name, getattr(light_block.layers[-5], name))
    return nn.Sequential(*layers)


def _fit_block(
    block: InvertedResidual,
    light_block: InvertedResidual,
    stems: tuple[nn.Module, nn.Module],
    hidden: nn.Module,
    features: Tensor,
    target: Tensor,
    generator: torch.Generator,
) -> None:
    """Select the channels inside a block and solve its projection.

    Args:
        block: block of the trained network.
        light_block: block to fit.
        stems: layers before both blocks whose channels are those inside the blocks; empty: none.
        hidden: layers from the features to all channels inside the block.
        features: inputs of the light network's block, (images, channels, height, width).
        target: outputs that the block's projection should have.
        generator: random number generator.
    """
    parts = zip(features.split(_BATCH), target.split(_BATCH), strict=True)
    rows = [_draw_rows([hidden(inputs), outputs], generator) for inputs, outputs in parts]
    moments = _compute_moments(*(torch.cat(each) for each in zip(*rows, strict=True)))
    projection = light_block.layers[-2]
    kept = select_channels(moments.gram, moments.cross, projection.in_channels)  # type: ignore[arg-type]
    weight, bias = moments.solve(kept)
    _copy_channels(stems[0], stems[1], kept)
    _copy_channels(block.layers[:-2], light_block.layers[:-2], kept)
    _set_weight(projection, weight)
    _set_bias(light_block.layers[-1], bias)


def _copy_channels(source: nn.Module, destination: nn.Module, kept: Tensor) -> None:
    """Copy the weights of some output channels."""
    weights = source.state_dict()
    destination.load_state_dict(
        {name: value[kept] if value.ndim else value for name, value in weights.items()}
    )


def _set_weight(convolution: nn.Module, weight: Tensor) -> None:
    """Set the weight of a convolution from a matrix with one row per output."""
    parameter = convolution.get_parameter("weight")
    parameter.copy_(weight.reshape(parameter.shape))


def _set_bias(norm: nn.Module, bias: Tensor) -> None:
    """Make a batch normalization add a bias, and nothing else."""
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.fill_(1.0)
    norm.bias.copy_(bias)
    norm.get_buffer("running_mean").zero_()
    norm.get_buffer("running_var").fill_(1.0 - norm.eps)


def _copy_norm(source: nn.Module, destination: nn.Module, kept: Tensor, bias: Tensor) -> None:
    """Copy some channels of a batch normalization, whose inputs lack a bias."""
    _copy_channels(source, destination, kept)
    destination.get_buffer("running_mean").sub_(bias)


def _fit_necks(teacher: SiamBAN, student: SiamBAN, images: Tensor, generator: torch.Generator) -> None:
    """Select the channels of the neck, and solve them on the features of the light backbone."""
    levels = _compute_levels(teacher.backbone, images), _compute_levels(student.backbone, images)
    for level, features, light_features in zip(SIAMBAN_EDGE.levels, *levels, strict=True):
        wanted = teacher.neck.get_submodule(f"downsample{level}.downsample")(features)
        if wanted.shape[-1] != light_features.shape[-1]:
            wanted = wanted[..., 1::2, 1::2]
        inputs, targets = _draw_rows([light_features, wanted], generator)
        moments = _compute_moments(targets, targets)
        kept = select_channels(moments.gram, moments.cross, SIAMBAN_EDGE.channels)
        weight, bias = _solve(inputs, targets[:, kept])
        convolution, norm = student.neck.get_submodule(f"downsample{level}.downsample").children()
        _set_weight(convolution, weight)
        _set_bias(norm, bias)


def _fit_heads(
    teacher: SiamBAN, student: SiamBAN, templates: Tensor, searches: Tensor, generator: torch.Generator
) -> None:
    """Fit the branches of all levels."""
    maps, light_maps = (
        [_compute_levels(network.features, crops) for crops in (templates, searches)]
        for network in (teacher, student)
    )
    (logits,) = teacher.classify(maps[1], [teacher.classification_kernels(maps[0])])
    is_responding = torch.softmax(logits, 1)[:, 1].flatten() > _RESPONDING
    for index, level in enumerate(SIAMBAN_EDGE.levels):
        for name, fraction in _BACKGROUND_FRACTIONS.items():
            is_compared = is_responding | (torch.rand(len(is_responding), generator=generator) < fraction)
            branch = teacher.head.get_submodule(f"box{level}.{name}")
            light_branch = student.head.get_submodule(f"box{level}.{name}")
            assert isinstance(branch, DepthwiseCorrelation)
            assert isinstance(light_branch, DepthwiseCorrelation)
            sides, light_sides = ([side[index] for side in each] for each in (maps, light_maps))
            _fit_branch(branch, light_branch, sides, light_sides, is_compared, generator)
    for name in ("cls_weight", "loc_weight", "loc_scale"):
        student.head.get_parameter(name).copy_(teacher.head.get_parameter(name))


def _compute_levels(network: Callable[[Tensor], list[Tensor]], crops: Tensor) -> list[Tensor]:
    """Return the features of crops, one tensor per level."""
    parts = [network(part) for part in crops.split(_BATCH)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def _fit_branch(
    branch: DepthwiseCorrelation,
    light_branch: DepthwiseCorrelation,
    maps: Sequence[Tensor],
    light_maps: Sequence[Tensor],
    is_compared: Tensor,
    generator: torch.Generator,
) -> None:
    """Fit one branch of one level.

    Args:
        branch: branch of the trained network.
        light_branch: branch to fit.
        maps: features of templates and search crops of the trained network.
        light_maps: the same of the light network.
        is_compared: True for points whose responses are compared, (points,).
        generator: random number generator.
    """
    search, kernels = branch.conv_search[0](maps[1]), branch.conv_kernel[0](maps[0])
    correlated = correlate(branch.conv_search[1:](search), branch.conv_kernel[1:](kernels))

    # Step 1: select the channels that are correlated by what the next layer makes of them.
    responses = _list_rows(branch.head[0](correlated))[is_compared]
    moments = _compute_moments(
        _list_rows(correlated)[is_compared], responses / responses.std(0).clamp(min=1e-6)
    )
    kept = select_channels(moments.gram, moments.cross, SIAMBAN_EDGE.channels)

    # Step 2: solve both sides of the correlation for these channels.
    _fit_search_side(branch, light_branch, light_maps[1], search[:, kept], kept, generator)
    weight, bias = _solve(_list_rows(_unfold(light_maps[0])), _list_rows(kernels[:, kept]))
    _set_weight(light_branch.conv_kernel[0], weight)
    _copy_norm(branch.conv_kernel[1], light_branch.conv_kernel[1], kept, bias)

    # Step 3: solve the output layers on the light network's own correlation.
    light_correlated = correlate(
        light_branch.conv_search(light_maps[1]), light_branch.conv_kernel(light_maps[0])
    )
    _fit_outputs(branch, light_branch, _list_rows(light_correlated)[is_compared], responses)


def _fit_search_side(
    branch: DepthwiseCorrelation,
    light_branch: DepthwiseCorrelation,
    light_maps: Tensor,
    outputs: Tensor,
    kept: Tensor,
    generator: torch.Generator,
) -> None:
    """Fit the convolution of the search crops of one branch, as a pointwise and a depthwise convolution.

    Args:
        branch: branch of the trained network.
        light_branch: branch to fit.
        light_maps: features of search crops of the light network.
        outputs: output of the trained convolution for the same crops, of the kept channels.
        kept: indices of the channels of the trained branch that the light branch has.
        generator: random number generator, which draws the compared positions.
    """
    parts = zip(light_maps.split(_BATCH), outputs.split(_BATCH), strict=True)
    rows = [_draw_rows([_unfold(inputs), part], generator) for inputs, part in parts]
    moments = _compute_moments(*(torch.cat(each) for each in zip(*rows, strict=True)))
    pointwise, depthwise = factorize_convolution(moments.gram, moments.cross, len(kept))
    weight = (pointwise[:, :, None] * depthwise[:, None]).flatten(1)
    _set_weight(light_branch.conv_search[0], pointwise)
    _set_weight(light_branch.conv_search[1], depthwise)
    bias = moments.target_mean - weight @ moments.input_mean
    _copy_norm(branch.conv_search[1], light_branch.conv_search[2], kept, bias)


def _fit_outputs(
    branch: DepthwiseCorrelation, light_branch: DepthwiseCorrelation, inputs: Tensor, responses: Tensor
) -> None:
    """Fit the output layers of one branch.

    Args:
        branch: branch of the trained network.
        light_branch: branch to fit.
        inputs: correlation of the light network at the compared points, (points, channels).
        responses: output of the first of the trained layers at these points, (points, channels).
    """
    weight, bias = _solve(inputs, responses)
    norm, output = branch.head[1].double(), branch.head[3].double()
    outputs = _apply_to_rows(nn.Sequential(norm, nn.ReLU(), output), responses)
    hidden = _apply_to_rows(nn.Sequential(norm, nn.ReLU()), inputs @ weight.T + bias)
    norm.float()
    output.float()
    moments = _compute_moments(hidden, outputs)
    kept = select_channels(moments.gram, moments.cross, SIAMBAN_EDGE.channels)
    _set_weight(light_branch.head[0], weight[kept])
    _copy_norm(norm, light_branch.head[1], kept, bias[kept])
    weight, bias = moments.solve(kept)
    _set_weight(light_branch.head[3], weight)
    light_branch.head[3].get_parameter("bias").copy_(bias)


def _unfold(maps: Tensor) -> Tensor:
    """Return the 3x3 surroundings of each inner position, (images, channels * 9, height - 2, width - 2)."""
    size = maps.shape[-1] - 2
    return functional.unfold(maps, 3).unflatten(2, (size, size))


def _apply_to_rows(layers: nn.Module, rows: Tensor) -> Tensor:
    """Apply layers without spatial extent to rows (positions, channels)."""
    maps: Tensor = layers(rows[:, :, None, None])
    return maps[:, :, 0, 0]
