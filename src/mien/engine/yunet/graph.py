"""Read YuNet's layers from its ONNX model, in the order of computation.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023. Its convolutions come
in pairs, a pointwise and a depthwise one, with a ReLU after the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import onnx
from onnx import numpy_helper

from mien.engine.context import Floats
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
