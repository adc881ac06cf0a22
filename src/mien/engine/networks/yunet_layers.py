"""Read YuNet's layers from its ONNX model, in the order of computation, and quantise them.

Its convolutions come in pairs, a pointwise and a depthwise one, with a ReLU after the second. Without batch
normalisation the model does not tell the range of its activations; `yunet_ranges.json` has those that were measured on
photos (`python -m benchmarks.yunet_ranges`).

Source: Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeAlias

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
    quantize_weights,
    single_groups,
    stem_groups,
)
from mien.kernels.convolutions import COLOURS
from mien.kernels.layers import HEAD_BASE

PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class Convolution:
    """From one map to another: weights (n, k, height, width) and bias (n,)."""

    source: str
    target: str
    weights: Floats
    bias: Floats
    has_relu: bool

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def depthwise(self) -> bool:
        return bool(self.weights.shape[1:] == (1, 3, 3))

    @property
    def stem(self) -> bool:
        return self.source == PIXELS


@dataclass(frozen=True, slots=True)
class Pool:
    """The largest of two times two neighbours."""

    source: str
    target: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Sum:
    """A map and one of half its size, enlarged."""

    source: str
    half: str
    target: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, self.half)


@dataclass(frozen=True, slots=True)
class Head:
    """A pointwise and a depthwise convolution that make the answer for each cell of a map."""

    pointwise: Convolution
    depthwise: Convolution

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.pointwise.source,)

    @property
    def target(self) -> str:
        return self.depthwise.target


Layer: TypeAlias = Convolution | Pool | Sum | Head


def read_layers(content: bytes) -> list[Layer]:
    """Return the layers of a model whose heads are joined, with plain fp32 weights. Raises UnsupportedModel."""
    graph = onnx.load_from_string(content).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = list(_joined(_layers(graph, constants)))
    if not layers or not isinstance(layers[0], Convolution) or layers[0].weights.shape[1:] != (3, 3, 3):
        raise UnsupportedModel("the model does not begin as YuNet does")
    return layers


def _joined(layers: Iterator[Layer]) -> Iterator[Layer]:
    """The same with both convolutions of a head as one layer."""
    for layer in layers:
        if isinstance(layer, Convolution) and not layer.stem and not layer.depthwise:
            after = next(layers)
            if isinstance(after, Convolution) and after.depthwise and not after.has_relu:
                yield Head(layer, after)
            else:
                yield from (layer, after)
        else:
            yield layer


def _layers(graph: onnx.GraphProto, constants: dict[str, Floats]) -> Iterator[Layer]:
    """Enlarging belongs to the sum after it, ReLU to the convolution before it; what comes after a head is left out."""
    rectified = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Relu"}
    enlarged = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Resize"}
    names = {graph.input[0].name: PIXELS}
    for node in graph.node:
        source, *others = (names.get(name, name) for name in node.input)
        target = node.output[0]
        if node.op_type == "Conv":
            weights, bias = (constants[name] for name in others)
            yield Convolution(source, rectified.get(target, target), weights, bias, target in rectified)
        elif node.op_type == "MaxPool":
            yield Pool(source, target)
        elif node.op_type == "Add":
            whole, half = (source, others[0]) if others[0] in enlarged else (others[0], source)
            yield Sum(whole, enlarged[half], target)
        elif node.op_type not in ("Relu", "Resize", "Transpose", "Reshape", "Concat"):
            raise UnsupportedModel(f"YuNet has no layer of the kind {node.op_type}")


Ranges = Mapping[str, tuple[Sequence[float], Sequence[float]]]

RANGES = "yunet_ranges.json"
_LOW_LIMIT = HEAD_BASE // 2
_LARGEST_HEAD_WEIGHT = HEAD_BASE * (_LOW_LIMIT - 1)


@dataclass(frozen=True, slots=True)
class QuantizedConvolution:
    """A convolution from bytes to bytes.

    Attributes:
        layer: in floats.
        weights: (n, k, height, width), of RGB pixels for the stem.
        epilogue: (2, n), float32: scale and bias of a sum.
        zero_point: (n,), the byte that stands for zero in each output channel.
    """

    layer: Convolution
    weights: NDArray[np.int8]
    epilogue: Floats
    zero_point: NDArray[np.uint8]

    @property
    def stride(self) -> int:
        return 2 if self.layer.stem else 1


@dataclass(frozen=True, slots=True)
class QuantizedSum:
    """A sum, with the factors of both maps and a bias: epilogue (3, n)."""

    layer: Sum
    epilogue: Floats


@dataclass(frozen=True, slots=True)
class QuantizedHead:
    """A head, which makes floats.

    Attributes:
        layer: in floats.
        pointwise: (2, 16, k), high and low part of integer weights: high * 128 + low.
        epilogue: (3, 16), float32: the scales of both sums, and a bias.
        depthwise: (9, 16), float32.
        depthwise_bias: (16,), float32.
    """

    layer: Head
    pointwise: NDArray[np.int8]
    epilogue: Floats
    depthwise: Floats
    depthwise_bias: Floats


QuantizedLayer: TypeAlias = QuantizedConvolution | QuantizedSum | QuantizedHead | Pool


@cache
def ranges() -> Ranges:
    """Return the least and largest value of each channel of each map between two layers."""
    found: Ranges = json.loads(files(__package__).joinpath(RANGES).read_text(encoding="ascii"))
    return found


def quantize(layers: Sequence[Layer], ranges: Ranges) -> list[QuantizedLayer]:
    """Quantise weights and activations. KeyError for a map without a range."""
    return list(_quantized(layers, ranges))


def _quantized(layers: Sequence[Layer], ranges: Ranges) -> Iterator[QuantizedLayer]:
    qparams = {PIXELS: QuantParams(np.ones(COLOURS, np.float32), np.zeros(COLOURS, np.float32))}
    for layer in layers:
        source = qparams[layer.sources[0]]
        if isinstance(layer, Head):
            yield _head(layer, source)
        elif isinstance(layer, Pool):
            qparams[layer.target] = source
            yield layer
        else:
            low, high = (np.array(ends, np.float32) for ends in ranges[layer.target])
            target = qparams[layer.target] = choose_qparams(low, high, integral_zero_point=True)
            if isinstance(layer, Sum):
                yield _sum(layer, source, qparams[layer.half], target)
            else:
                yield _convolution(layer, source, target)


def _sum(layer: Sum, source: QuantParams, half: QuantParams, target: QuantParams) -> QuantizedSum:
    factors = [source.scale / target.scale, half.scale / target.scale]
    epilogue = np.stack([*factors, np.full_like(target.scale, ROUNDING_BIAS)])
    return QuantizedSum(layer, epilogue.astype(np.float32))


def _head(layer: Head, source: QuantParams) -> QuantizedHead:
    weights = layer.pointwise.weights[:, :, 0, 0] * source.scale
    scale = np.abs(weights).max(axis=1) / _LARGEST_HEAD_WEIGHT
    integers = np.rint(weights / scale[:, None]).astype(np.int16)
    high = np.rint(integers / HEAD_BASE).astype(np.int16)
    parts = np.stack([high, integers - HEAD_BASE * high]).astype(np.int8)
    epilogue = np.stack([HEAD_BASE * scale, scale, layer.pointwise.bias]).astype(np.float32)
    depthwise = np.ascontiguousarray(layer.depthwise.weights.reshape(len(scale), -1).T, np.float32)
    return QuantizedHead(layer, parts, epilogue, depthwise, layer.depthwise.bias.astype(np.float32))


def _convolution(layer: Convolution, source: QuantParams, target: QuantParams) -> QuantizedConvolution:
    # The network was trained on BGR.
    weights = layer.weights[:, ::-1] if layer.stem else layer.weights
    sums = quantize_weights(weights, source, _groups(layer))
    epilogue = np.stack([sums.scale, layer.bias - sums.scale * sums.zero_sum]) / target.scale
    epilogue[1] += target.zero_point + ROUNDING_BIAS
    return QuantizedConvolution(layer, sums.weights, epilogue.astype(np.float32), target.zero_point.astype(np.uint8))


def _groups(layer: Convolution) -> Groups:
    if layer.stem:
        return stem_groups()
    return depthwise_groups() if layer.depthwise else single_groups(layer.weights.shape[1])
