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
from mien.engine.model_files import UnsupportedModel
from mien.engine.networks.quantize import (
    ROUNDING_BIAS,
    Groups,
    QuantParams,
    choose_qparams,
    depthwise_groups,
    pointwise_groups,
    quantize_weights,
    stem_groups,
)

_WITHOUT_EFFECT = ("Constant", "Dropout", "Flatten")


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution (n, k, height, width), the normalisation of its n channels, and PReLU."""

    weights: Floats
    stride: int
    scale: Floats
    bias: Floats
    mean: Floats
    """Of each channel after normalisation, (n,)."""
    std: Floats
    slope: Floats

    @property
    def depthwise(self) -> bool:
        return bool(self.weights.shape[1] == 1)


@dataclass(frozen=True, slots=True)
class Layers:
    """The network: (pixel - `pixel_zero`) * `pixel_scale` enters the first layer.

    `linear` (128, height * width * channels) and `linear_bias` (128,) take a map as it lies in memory.
    """

    pixel_scale: float
    pixel_zero: float
    convolutions: tuple[Layer, ...]
    linear: Floats
    linear_bias: Floats


def read_layers(content: bytes) -> Layers:
    """Return the layers of an ONNX model with plain fp32 weights. Raises UnsupportedModel."""
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
        *_read_linear(*nodes[-len(_END) :]),
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


def _read_linear(before: _Node, linear: _Node, after: _Node) -> Iterator[Floats]:
    """The last three operations as one."""
    (scale, shift), (scale_after, shift_after) = before.normalisation(), after.normalisation()
    weights, bias = linear.constants
    planes = weights.reshape(len(weights), len(scale), -1)
    yield (planes * scale[:, None] * scale_after[:, None, None]).transpose(0, 2, 1).reshape(len(weights), -1)
    yield scale_after * (bias + np.einsum("ncp,c->n", planes, shift)) + shift_after


CLIP_SIGMAS = (5, 5, 6, 6, 6, 7, 9, 13, 6, 11, 8, 11, 8, 12, 8, 12, 8, 13, 10, 13, 10, 11, 10, 11, 9, 12, 13)
"""How many standard deviations to both sides the bytes after each convolution reach. The deeper, the longer are the
tails. Found by `python -m benchmarks.sface_ranges`."""


@dataclass(frozen=True, slots=True)
class QuantizedConv:
    """A convolution from bytes to bytes.

    Attributes:
        weights: (n, k, height, width).
        stride: 1 or 2.
        epilogue: (4, n), float32: scale and bias of a sum, then those of the other line of the PReLU.
        zero_point: (n,), the byte that stands for zero, or is next to it, in each output channel.
    """

    weights: NDArray[np.int8]
    stride: int
    epilogue: Floats
    zero_point: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class QuantizedLinear:
    """The linear layer: weights (128, k), and the scale and bias (2, 128) of a sum."""

    weights: NDArray[np.int8]
    epilogue: Floats


@dataclass(frozen=True, slots=True)
class QuantizedSFace:
    convolutions: tuple[QuantizedConv, ...]
    linear: QuantizedLinear


PIXEL_ZERO_POINT = np.full(3, 128, np.uint8)
"""What lies around a face: grey, the pixel value next to zero."""


def quantize(layers: Layers, clip_sigmas: Sequence[float] = CLIP_SIGMAS) -> QuantizedSFace:
    """Quantise weights and activations."""
    convolutions = layers.convolutions
    colours = convolutions[0].weights.shape[1]
    pixels = QuantParams(
        np.full(colours, layers.pixel_scale, np.float32), np.full(colours, layers.pixel_zero, np.float32)
    )
    # Depthwise layers need a border that is zero exactly.
    before_depthwise = [after.depthwise for after in (*convolutions[1:], convolutions[0])]
    each = zip(convolutions, clip_sigmas, before_depthwise, strict=True)
    qparams = [pixels, *(_qparams(layer, sigmas, integral_zero_point=whole) for layer, sigmas, whole in each)]
    quantized = tuple(_convolution(layer, *pair) for layer, pair in zip(convolutions, pairwise(qparams), strict=True))
    return QuantizedSFace(quantized, _linear(layers, qparams[-1]))


def _qparams(layer: Layer, sigmas: float, *, integral_zero_point: bool) -> QuantParams:
    """Choose parameters for a layer's values after PReLU."""
    ends = layer.mean + np.array([[-sigmas], [sigmas], [0]], np.float32) * layer.std
    ends = np.where(ends < 0, layer.slope * ends, ends)
    low, high = ends.min(axis=0), ends.max(axis=0)
    negated = layer.slope > 1  # then PReLU is the smaller one of two lines, and its negative the larger one
    low, high = np.where(negated, -high, low), np.where(negated, -low, high)
    found = choose_qparams(low, high, integral_zero_point=integral_zero_point)
    return QuantParams(np.where(negated, -found.scale, found.scale), found.zero_point)


def _convolution(layer: Layer, source: QuantParams, target: QuantParams) -> QuantizedConv:
    sums = quantize_weights(layer.weights, source, _groups(layer))
    scale = sums.scale * layer.scale
    line = np.stack([scale, layer.bias - scale * sums.zero_sum]) / target.scale
    epilogue = np.concatenate([line, layer.slope * line])
    epilogue[1::2] += target.zero_point + ROUNDING_BIAS
    zero_point = np.rint(target.zero_point).astype(np.uint8)
    return QuantizedConv(sums.weights, layer.stride, epilogue.astype(np.float32), zero_point)


def _groups(layer: Layer) -> Groups:
    if layer.depthwise:
        return depthwise_groups()
    return stem_groups() if layer.weights.shape[2] > 1 else pointwise_groups(layer.weights.shape[1])


def _linear(layers: Layers, source: QuantParams) -> QuantizedLinear:
    """Quantise it as a pointwise layer."""
    outputs, inputs = layers.linear.shape
    pixels = inputs // len(source.scale)
    every_pixel = QuantParams(np.tile(source.scale, pixels), np.tile(source.zero_point, pixels))
    weights = layers.linear.reshape(outputs, inputs, 1, 1)
    sums = quantize_weights(weights, every_pixel, pointwise_groups(inputs))
    epilogue = np.stack([sums.scale, layers.linear_bias - sums.scale * sums.zero_sum])
    return QuantizedLinear(sums.weights.reshape(layers.linear.shape), epilogue.astype(np.float32))
