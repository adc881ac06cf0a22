"""SFace's ONNX model goes in, its layers as arrays come out.

The network is a MobileNet (Howard et al., arXiv 1704.04861): one full convolution, then by turns a depthwise and a
pointwise one, each followed by batch normalisation and PReLU; a linear layer comes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from mien.engine.arrays import Floats
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
    """The layers of an ONNX model with plain fp32 weights. Raises OtherLayers."""
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
        *_last(*nodes[-len(_END) :]),
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


def _last(before: _Node, linear: _Node, after: _Node) -> Iterator[Floats]:
    """The last three operations as one."""
    (scale, shift), (scale_after, shift_after) = before.normalisation(), after.normalisation()
    weights, bias = linear.constants
    planes = weights.reshape(len(weights), len(scale), -1)
    yield (planes * scale[:, None] * scale_after[:, None, None]).transpose(0, 2, 1).reshape(len(weights), -1)
    yield scale_after * (bias + np.einsum("ncp,c->n", planes, shift)) + shift_after
