"""Read SFace's layers from its ONNX model, and quantise weights and activations.

The network is a MobileNet (Howard et al., arXiv 1704.04861): one full convolution, then depthwise and pointwise ones in
turn, each followed by batch normalisation and PReLU, and a linear layer at the end.

Quantisation needs no calibration photos: every convolution ends in a batch normalisation, whose beta and gamma are the
mean and standard deviation of each channel. Each channel has its own scale, which PReLU passes through and the next
layer's weights absorb. Nagel et al.: Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from mien.engine.context import Floats
from mien.engine.int8.quantize import HALF, Steps, steps, weighed
from mien.engine.model_files import UnsupportedModel

_WITHOUT_EFFECT = ("Constant", "Dropout", "Flatten")


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution (n, k, height, width), the normalisation of its n channels, and PReLU."""

    weights: Floats
    stride: int
    scale: Floats
    shift: Floats
    middle: Floats
    """The mean of each channel after normalisation, (n,)"""
    deviation: Floats
    slope: Floats

    @property
    def depthwise(self) -> bool:
        return bool(self.weights.shape[1] == 1)


@dataclass(frozen=True, slots=True)
class Layers:
    """The network: (pixel - `pixel_zero`) * `pixel_step` enters the first layer.

    `last` (128, height * width * channels) and `last_shift` (128,) make the vector of the bytes as they lie in memory,
    channels next to one another.
    """

    pixel_step: float
    pixel_zero: float
    convolutions: tuple[Layer, ...]
    last: Floats
    last_shift: Floats


def read_layers(content: bytes) -> Layers:
    """The layers of an ONNX model with plain fp32 weights. Raises UnsupportedModel."""
    model = onnx.load_from_string(content)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [_Node(node, constants) for node in model.graph.node if node.op_type not in _WITHOUT_EFFECT]
    kinds = [node.kind for node in nodes]
    count = kinds.count("Conv")
    if kinds != ["Sub", "Mul", *["Conv", "BatchNormalization", "PRelu"] * count, *_END]:
        raise UnsupportedModel("the model's layers are not SFace's")
    minus, times, *middle = nodes[: -len(_END)]
    triples = zip(*[iter(middle)] * 3, strict=True)
    return Layers(
        times.constants[0].item(),
        minus.constants[0].item(),
        tuple(_layer(*triple) for triple in triples),
        *_read_last(*nodes[-len(_END) :]),
    )


_END = ("BatchNormalization", "Gemm", "BatchNormalization")


class _Node:
    """An operation and those of its inputs that are constant."""

    def __init__(self, node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> None:
        self.kind = node.op_type
        self.constants = [constants[name] for name in node.input if name in constants]
        self.options = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}

    def normalisation(self) -> tuple[Floats, Floats]:
        """By what a batch normalisation multiplies, and what it adds."""
        gamma, beta, mean, variance = self.constants
        scale = gamma / np.sqrt(variance + np.float32(self.options["epsilon"]))
        return scale.astype(np.float32), beta - scale * mean


def _layer(convolution: _Node, normalisation: _Node, prelu: _Node) -> Layer:
    gamma, beta = normalisation.constants[:2]
    [weights] = convolution.constants
    slope = prelu.constants[0].reshape(-1)
    stride = int(convolution.options["strides"][0])
    return Layer(weights, stride, *normalisation.normalisation(), beta, np.abs(gamma), slope)


def _read_last(before: _Node, linear: _Node, after: _Node) -> Iterator[Floats]:
    """The last three operations as one."""
    (scale, shift), (scale_after, shift_after) = before.normalisation(), after.normalisation()
    weights, bias = linear.constants
    planes = weights.reshape(len(weights), len(scale), -1)
    yield (planes * scale[:, None] * scale_after[:, None, None]).transpose(0, 2, 1).reshape(len(weights), -1)
    yield scale_after * (bias + np.einsum("ncp,c->n", planes, shift)) + shift_after


# How many deviations to both sides the bytes after each convolution reach. The deeper, the longer are the tails: found
# by descent on the cosine to fp32, with every sixth face of lfw_dev.
REACH = (5, 5, 6, 6, 6, 7, 9, 13, 6, 11, 8, 11, 8, 12, 8, 12, 8, 13, 10, 13, 10, 11, 10, 11, 9, 12, 13)


@dataclass(frozen=True, slots=True)
class Counted:
    """A convolution from bytes to bytes: int8 weights (n, k, height, width), and what becomes of a sum of products.

    The byte is the larger one of two `lines` of the sum, between 0 and 255, without what is behind the point. Lines are
    (4, n): slope and height at nought of the one, then of the other.
    """

    weights: NDArray[np.int8]
    stride: int
    lines: Floats
    zero: NDArray[np.uint8]
    """The byte that is nought in each channel that comes out, or near it."""


@dataclass(frozen=True, slots=True)
class CountedLast:
    """The linear layer: int8 weights (128, k), and the scale and shift (2, 128) of a sum."""

    weights: NDArray[np.int8]
    lines: Floats


@dataclass(frozen=True, slots=True)
class CountedLayers:
    convolutions: tuple[Counted, ...]
    last: CountedLast


def count(layers: Layers, reach: Sequence[float] = REACH) -> CountedLayers:
    """Weights, and what lies between the layers, in whole numbers."""
    convolutions = layers.convolutions
    colours = convolutions[0].weights.shape[1]
    pixels = Steps(np.full(colours, layers.pixel_step, np.float32), np.full(colours, layers.pixel_zero, np.float32))
    before_depthwise = [after.depthwise for after in (*convolutions[1:], convolutions[0])]
    each = zip(convolutions, reach, before_depthwise, strict=True)
    between = [pixels, *(_steps(layer, far, whole_zero=whole) for layer, far, whole in each)]
    counted = tuple(_counted(layer, *pair) for layer, pair in zip(convolutions, pairwise(between), strict=True))
    return CountedLayers(counted, _last(layers, between[-1]))


def _steps(layer: Layer, reach: float, *, whole_zero: bool) -> Steps:
    """Steps for a layer's values after PReLU. With `whole_zero` a byte is nought exactly: the border needs one."""
    ends = layer.middle + np.array([[-reach], [reach], [0]], np.float32) * layer.deviation
    ends = np.where(ends < 0, layer.slope * ends, ends)
    low, high = ends.min(axis=0), ends.max(axis=0)
    turned = layer.slope > 1  # then PReLU is the smaller one of two lines, and its negative the larger one
    found = steps(np.where(turned, -high, low), np.where(turned, -low, high), whole_zero=whole_zero)
    return Steps(np.where(turned, -found.step, found.step), found.zero)


def _counted(layer: Layer, before: Steps, after: Steps) -> Counted:
    sums = weighed(layer.weights, before)
    scale = sums.scale * layer.scale
    line = np.stack([scale, layer.shift - scale * sums.nought]) / after.step
    lines = np.concatenate([line, layer.slope * line])
    lines[1::2] += after.zero + HALF
    return Counted(sums.weights, layer.stride, lines.astype(np.float32), np.rint(after.zero).astype(np.uint8))


def _last(layers: Layers, before: Steps) -> CountedLast:
    rows = layers.last.reshape(len(layers.last), -1, len(before.step)).swapaxes(1, 2)
    sums = weighed(rows[..., None], before)
    lines = np.stack([sums.scale, layers.last_shift - sums.scale * sums.nought])
    return CountedLast(sums.weights.swapaxes(1, 2).reshape(layers.last.shape), lines.astype(np.float32))
