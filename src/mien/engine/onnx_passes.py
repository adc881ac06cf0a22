"""A block-quantised ONNX model goes in, the same model with plain fp32 weights comes out.

OpenVINO does not read block-wise `DequantizeLinear`, so the constant part of the graph (dequantise, then
reshape) is computed here, once. A model without quantised weights comes out as it went in.
https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html

YuNet's ONNX model goes in, the same with one table as its only output comes out.

The table (n, cells, 16) has a row for each cell of the grids: the logits of class and objectness, box (4), five
points (10). The model has four heads on each grid, with 1, 1, 4 and 10 channels; a vector register takes 16, so one
head with all of them costs what each cost alone. A grid that is left out takes along what only it needs.

An ONNX model goes in, the same with each PReLU written as simpler operations comes out.

OpenVINO merges PReLU into the convolution before it, where it costs a quarter of SFace's time. A product and a maximum
it leaves alone, and compiles to one quick loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def dequantize_weights(content: bytes) -> bytes:
    """Replace every quantised weight by its fp32 value. ValueError for a model without layers."""
    model = onnx.load_from_string(content)
    graph = model.graph
    if not graph.node:
        raise ValueError("the model has no layers")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if not _evaluate(node, constants)]
    used = {name for node in nodes for name in node.input}
    inputs = [entry for entry in graph.input if entry.name in used - constants.keys()]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    for field, values in ((graph.node, nodes), (graph.input, inputs), (graph.initializer, weights)):
        del field[:]
        field.extend(values)
    return bytes(model.SerializeToString())


def _evaluate(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> bool:
    if not all(name in constants for name in node.input):
        return False
    values = [constants[name] for name in node.input]
    if node.op_type == "DequantizeLinear":
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        result = _dequantize(*values, axis=attributes["axis"], block=attributes["block_size"])
    elif node.op_type == "Reshape":
        result = values[0].reshape(values[1])
    else:
        return False
    constants[node.output[0]] = result
    return True


def _dequantize(
    quantised: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any], *, axis: int, block: int
) -> NDArray[np.float32]:
    length = range(quantised.shape[axis])
    spread = [np.repeat(values, block, axis).take(length, axis) for values in (zero, scale)]
    result: NDArray[np.float32] = (quantised.astype(np.float32) - spread[0].astype(np.float32)) * spread[1]
    return result


STRIDES = (8, 16, 32)
COLUMNS = 16


def fuse_heads(content: bytes, strides: Sequence[int] = STRIDES) -> bytes:
    """Merge the heads of each grid of `strides`, and put the grids below one another."""
    model = onnx.load_from_string(content)
    graph = model.graph
    outputs = [output.name for output in graph.output]
    for stride in strides:
        _add_table(graph, outputs[STRIDES.index(stride) :: len(STRIDES)], f"table_{stride}")
    graph.node.append(helper.make_node("Concat", [f"table_{stride}" for stride in strides], ["table"], axis=1))
    del graph.output[:], graph.value_info[:]
    graph.output.append(helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, None))
    _drop_unused(graph)
    return bytes(model.SerializeToString())


def _add_table(graph: onnx.GraphProto, heads: Sequence[str], name: str) -> None:
    makers = {output: node for node in graph.node for output in node.output}
    spatial = [_convolution(makers, head) for head in heads]
    mixing = [makers[node.input[0]] for node in spatial]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    joined = {
        f"{name}_{kind}_{place}": np.concatenate([constants[node.input[place]] for node in nodes])
        for kind, nodes in (("mixing", mixing), ("spatial", spatial))
        for place in (1, 2)
    }
    joined[f"{name}_shape"] = np.array([0, -1, COLUMNS])
    mixing_weights, mixing_bias, spatial_weights, spatial_bias, shape = joined
    graph.initializer.extend(numpy_helper.from_array(values, key) for key, values in joined.items())
    mixed, seen, turned = (f"{name}_{step}" for step in ("mixed", "seen", "turned"))
    graph.node.extend(
        [
            helper.make_node("Conv", [mixing[0].input[0], mixing_weights, mixing_bias], [mixed]),
            helper.make_node("Conv", [mixed, spatial_weights, spatial_bias], [seen], group=COLUMNS, pads=[1] * 4),
            helper.make_node("Transpose", [seen], [turned], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [turned, shape], [name]),
        ]
    )


def _convolution(makers: dict[str, onnx.NodeProto], name: str) -> onnx.NodeProto:
    """The last convolution before the tensor `name`."""
    node = makers[name]
    return node if node.op_type == "Conv" else _convolution(makers, node.input[0])


def _drop_unused(graph: onnx.GraphProto) -> None:
    needed = {output.name for output in graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.insert(0, node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, values in ((graph.node, nodes), (graph.initializer, weights)):
        _replace(field, values)


def _replace(field: Any, values: Sequence[Any]) -> None:
    del field[:]
    field.extend(values)


def decompose_prelu(content: bytes) -> bytes:
    """Replace each PReLU whose slopes are constants."""
    model = onnx.load_from_string(content)
    graph = model.graph
    slopes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "PRelu" and node.input[1] in slopes:
            nodes += _written_out(graph, node, slopes[node.input[1]])
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _written_out(graph: onnx.GraphProto, node: onnx.NodeProto, slope: NDArray[np.float32]) -> list[onnx.NodeProto]:
    source, steepness = node.input
    [result] = node.output
    if slope.max() <= 1:
        return [
            helper.make_node("Mul", [source, steepness], [f"{result}_sloped"]),
            helper.make_node("Max", [source, f"{result}_sloped"], [result]),
        ]
    missing, nought = f"{result}_missing", f"{result}_nought"
    constants = {missing: slope - 1, nought: np.float32(0)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    return [
        helper.make_node("Min", [source, nought], [f"{result}_below"]),
        helper.make_node("Mul", [f"{result}_below", missing], [f"{result}_sloped"]),
        helper.make_node("Add", [source, f"{result}_sloped"], [result]),
    ]
