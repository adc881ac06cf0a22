"""SFace's folded ONNX model goes in, the same with most of its convolutions in bytes comes out.

No photo is needed for it: every convolution ends in a batch normalisation, whose beta and gamma are the mean and the
deviation of each channel. Each channel is counted in steps of its own, which PReLU lets through and the next weights
take back. Nagel et al.: Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Constants = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]

# How many deviations to both sides the bytes after each convolution reach; 0 leaves them in floating point. The deeper,
# the longer are the tails: found by descent on the cosine to fp32, with every sixth face of lfw_dev. The first layers
# are bound by memory, and no quicker in bytes.
REACH = (0, 0, 0, 0, 0, 7, 5, 9, 6, 11, 8, 11, 8, 12, 8, 12, 8, 13, 10, 13, 8, 13, 8, 13, 8, 11)
ZERO = 64  # the byte that is nought, where one has to be for all channels; PReLU leaves little below nought
LARGEST_WEIGHT = 127
TINY = 1e-12


def quantise(content: bytes) -> bytes:
    """Count in bytes between the convolutions that REACH names. A model of other layers comes out as it went in."""
    model = onnx.load_from_string(content)
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    layers = list(_layers(graph, constants))
    if len(layers) != len(REACH) + 1:
        return content
    added = {
        after.convolution.name: _count_in_bytes(before, after, reach)
        for (before, after), reach in zip(pairwise(layers), REACH, strict=True)
        if reach
    }
    added |= {node.name: [_last_in_bytes(node, constants)] for node in graph.node if node.op_type == "Gemm"}
    nodes = [new for node in graph.node for new in (*added.get(node.name, ()), node)]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    for field, values in ((graph.node, nodes), (graph.initializer, weights)):
        del field[:]
        field.extend(values)
    return bytes(model.SerializeToString())


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution, the batch normalisation and the PReLU after it; `constants` are the whole model's."""

    convolution: onnx.NodeProto
    normalisation: onnx.NodeProto
    prelu: onnx.NodeProto
    constants: Constants

    @property
    def weights(self) -> Floats:
        return self.constants[self.convolution.input[1]]

    @property
    def depthwise(self) -> bool:
        return bool(self.weights.shape[1] == 1)

    @property
    def statistics(self) -> list[Floats]:
        """Gamma, beta and running mean of each channel; to be changed in place."""
        return [self.constants[name] for name in self.normalisation.input[1:4]]

    def range(self, reach: float) -> tuple[Floats, Floats]:
        """The least and the largest value of each channel after PReLU, between which nought always lies."""
        gamma, beta, _ = self.statistics
        slope = self.constants[self.prelu.input[1]].reshape(-1)
        ends = beta + np.array([[-reach], [reach], [0]], np.float32) * np.abs(gamma)
        ends[2] = 0
        ends = np.where(ends < 0, slope * ends, ends)
        return ends.min(axis=0), ends.max(axis=0)


def _layers(graph: onnx.GraphProto, constants: Constants) -> Iterator[_Layer]:
    for nodes in zip(graph.node, graph.node[1:], graph.node[2:], strict=False):
        if [node.op_type for node in nodes] == ["Conv", "BatchNormalization", "PRelu"]:
            yield _Layer(*nodes, constants)


def _count_in_bytes(before: _Layer, after: _Layer, reach: float) -> list[onnx.NodeProto]:
    """Count what flows between two layers in bytes; the nodes for it, which belong before the second convolution."""
    low, high = before.range(reach)
    step, shift = (high - low) / np.float32(255), None
    if after.depthwise:  # its border is nought, which therefore has to be the same byte in every channel
        step = np.maximum(-low / ZERO, high / (255 - ZERO))
    else:
        shift = -low / step
    for statistic in before.statistics[:2]:
        statistic /= step
    whole, scale = _whole_weights(after, step)
    if shift is not None:
        after.statistics[2] += scale * (whole @ shift)
    return _nodes(after, whole, scale, shift)


def _last_in_bytes(node: onnx.NodeProto, constants: Constants) -> onnx.NodeProto:
    """Only the weights, a third of the model: reading them takes longer than multiplying."""
    whole, scale = _whole(constants[node.input[1]])
    return _weights(node, constants, whole, scale)


def _whole_weights(layer: _Layer, step: Floats) -> tuple[Floats, Floats]:
    kernels = layer.weights * step.reshape((-1, 1, 1, 1) if layer.depthwise else (-1, 1, 1))
    return _whole(kernels.reshape(len(kernels), -1))


def _whole(rows: Floats) -> tuple[Floats, Floats]:
    """Whole numbers (n, k) and a scale for each row."""
    scale = np.maximum(np.abs(rows).max(axis=1), TINY) / LARGEST_WEIGHT
    return cancelling(rows / scale[:, None]), scale


def cancelling(kernels: Floats) -> Floats:
    """Each row rounded to whole numbers so that its errors add up to a half at most.

    Pixels are like their neighbours, so errors of one sign would add up, too.
    """
    whole = np.rint(kernels)
    error = whole - kernels
    surplus = np.rint(error.sum(axis=1, keepdims=True))
    rank = np.argsort(np.argsort(-error * np.sign(surplus), axis=1), axis=1)
    result: Floats = whole - np.sign(surplus) * (rank < np.abs(surplus))
    return result


def _nodes(layer: _Layer, whole: Floats, scale: Floats, shift: Floats | None) -> list[onnx.NodeProto]:
    node, constants = layer.convolution, layer.constants
    source, name = node.input[0], node.output[0]
    one, zero, counted = f"{name}_one", f"{name}_zero", f"{name}_bytes"
    constants |= {one: np.array(1, np.float32), zero: np.array(ZERO if shift is None else 0, np.uint8)}
    nodes = [_weights(node, constants, whole, scale)]
    if shift is not None:
        constants[f"{name}_shift"] = shift[:, None, None]
        nodes.append(helper.make_node("Add", [source, f"{name}_shift"], [f"{name}_shifted"]))
        source = f"{name}_shifted"
    node.input[0] = f"{name}_values"
    return [
        *nodes,
        helper.make_node("QuantizeLinear", [source, one, zero], [counted]),
        helper.make_node("DequantizeLinear", [counted, one, zero], [node.input[0]]),
    ]


def _weights(node: onnx.NodeProto, constants: Constants, whole: Floats, scale: Floats) -> onnx.NodeProto:
    weights, name = node.input[1], node.output[0]
    constants[weights] = whole.astype(np.int8).reshape(constants[weights].shape)
    constants[f"{name}_scale"] = scale
    node.input[1] = f"{name}_weights"
    return helper.make_node("DequantizeLinear", [weights, f"{name}_scale"], [node.input[1]], axis=0)
