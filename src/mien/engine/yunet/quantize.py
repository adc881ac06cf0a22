"""Read YuNet's layers from its ONNX model, in the order of computation, and quantise them.

Its convolutions come in pairs, a pointwise and a depthwise one, with a ReLU after the second. Without batch
normalisation the model does not tell the range of its activations; `ranges.json` has the ranges that were measured on
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
from mien.engine.int8.convolutions import COLOURS
from mien.engine.int8.quantize import HALF, Steps, steps, weighed
from mien.engine.model_files import UnsupportedModel

PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class Convolution:
    """From one map to another: weights (n, k, height, width) and what is added to each channel, (n,)."""

    source: str
    target: str
    weights: Floats
    added: Floats
    rectified: bool

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def depthwise(self) -> bool:
        return bool(self.weights.shape[1:] == (1, 3, 3))

    @property
    def first(self) -> bool:
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

    mixing: Convolution
    seeing: Convolution

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.mixing.source,)

    @property
    def target(self) -> str:
        return self.seeing.target


Layer: TypeAlias = Convolution | Pool | Sum | Head


def read_layers(content: bytes) -> list[Layer]:
    """The layers of a model whose heads are joined, with plain fp32 weights. Raises UnsupportedModel."""
    graph = onnx.load_from_string(content).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = list(_joined(_layers(graph, constants)))
    if not layers or not isinstance(layers[0], Convolution) or layers[0].weights.shape[1:] != (3, 3, 3):
        raise UnsupportedModel("the model does not begin as YuNet does")
    return layers


def _joined(layers: Iterator[Layer]) -> Iterator[Layer]:
    """The same with both convolutions of a head as one layer."""
    for layer in layers:
        if isinstance(layer, Convolution) and not layer.first and not layer.depthwise:
            after = next(layers)
            if isinstance(after, Convolution) and after.depthwise and not after.rectified:
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
            weights, added = (constants[name] for name in others)
            yield Convolution(source, rectified.get(target, target), weights, added, target in rectified)
        elif node.op_type == "MaxPool":
            yield Pool(source, target)
        elif node.op_type == "Add":
            whole, half = (source, others[0]) if others[0] in enlarged else (others[0], source)
            yield Sum(whole, enlarged[half], target)
        elif node.op_type not in ("Relu", "Resize", "Transpose", "Reshape", "Concat"):
            raise UnsupportedModel(f"YuNet has no layer of the kind {node.op_type}")


Ranges = Mapping[str, tuple[Sequence[float], Sequence[float]]]

RANGES = "ranges.json"
LARGEST_OF_TWO = 127 * 256
"""The largest number of an upper and a lower byte whose upper one cannot overflow."""


@dataclass(frozen=True, slots=True)
class CountedConvolution:
    """int8 weights (n, k, height, width), and the line (2, n) that makes a byte of a sum.

    `zero` is the byte that is nought in each channel, (n,).
    """

    layer: Convolution
    weights: NDArray[np.int8]
    line: Floats
    zero: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CountedSum:
    """By what the bytes of both maps are multiplied, and what is added: (3, n)."""

    layer: Sum
    lines: Floats


@dataclass(frozen=True, slots=True)
class CountedHead:
    """A head, which makes floats: upper and lower bytes of whole weights, (2, 16, k), and their scale, (16,).

    A byte is not enough for them: the answer hangs on them directly.
    """

    layer: Head
    mixing: NDArray[np.int8]
    scale: Floats


Counted: TypeAlias = CountedConvolution | CountedSum | CountedHead | Pool


@cache
def ranges() -> Ranges:
    """The least and largest value of each channel of each map between two layers."""
    found: Ranges = json.loads(files(__package__).joinpath(RANGES).read_text(encoding="ascii"))
    return found


def count(layers: Sequence[Layer], ranges: Ranges) -> list[Counted]:
    """Weights, and what lies between the layers, in whole numbers. KeyError for a map without a range."""
    return list(_counted(layers, ranges))


def _counted(layers: Sequence[Layer], ranges: Ranges) -> Iterator[Counted]:
    between = {PIXELS: Steps(np.ones(COLOURS, np.float32), np.zeros(COLOURS, np.float32))}
    for layer in layers:
        before = between[layer.sources[0]]
        if isinstance(layer, Head):
            yield _head(layer, before)
        elif isinstance(layer, Pool):
            between[layer.target] = before
            yield layer
        else:
            low, high = (np.array(ends, np.float32) for ends in ranges[layer.target])
            after = between[layer.target] = steps(low, high, whole_zero=True)
            if isinstance(layer, Sum):
                factors = [before.step / after.step, between[layer.half].step / after.step]
                yield CountedSum(layer, np.stack([*factors, np.full_like(after.step, HALF)]).astype(np.float32))
            else:
                yield _convolution(layer, before, after)


def _head(layer: Head, before: Steps) -> CountedHead:
    weights = layer.mixing.weights[:, :, 0, 0] * before.step
    scale = np.abs(weights).max(axis=1) / LARGEST_OF_TWO
    whole = np.rint(weights / scale[:, None]).astype(np.int16)
    lower = whole.astype(np.int8)
    return CountedHead(layer, np.stack([((whole - lower) >> 8).astype(np.int8), lower]), scale.astype(np.float32))


def _convolution(layer: Convolution, before: Steps, after: Steps) -> CountedConvolution:
    sums = weighed(layer.weights, before)
    line = np.stack([sums.scale, layer.added - sums.scale * sums.nought]) / after.step
    line[1] += after.zero + HALF
    return CountedConvolution(layer, sums.weights, line.astype(np.float32), after.zero.astype(np.uint8))
