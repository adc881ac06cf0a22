"""Transform the ONNX graphs of YuNet and SFace: dequantise weights, fuse detection heads.

Each pass takes and returns a serialised ONNX model, and leaves a model without its pattern unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

STRIDES = (8, 16, 32)
"""Pixels per cell of YuNet's three grids."""

TABLE_COLUMNS = 16
"""Logits of class and objectness, box (4), five landmarks (10)."""


def dequantize_weights(content: bytes) -> bytes:
    """Replace block-quantised weights by their fp32 values; weights only, activations are not quantised.

    The constant part of the graph (DequantizeLinear, then Reshape) is folded. https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html

    Raises:
        ValueError: the model has no nodes.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    if not graph.node:
        raise ValueError("the model has no nodes")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if not _fold(node, constants)]
    used = {name for node in nodes for name in node.input}
    inputs = [entry for entry in graph.input if entry.name in used - constants.keys()]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    for field, values in ((graph.node, nodes), (graph.input, inputs), (graph.initializer, weights)):
        _replace(field, values)
    return bytes(model.SerializeToString())


def _fold(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> bool:
    """Add the node's output to `constants`, if its inputs are constants and its operator is supported."""
    if not all(name in constants for name in node.input):
        return False
    values = [constants[name] for name in node.input]
    if node.op_type == "DequantizeLinear":
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        result = _dequantize(*values, axis=attributes["axis"], block_size=attributes["block_size"])
    elif node.op_type == "Reshape":
        result = values[0].reshape(values[1])
    else:
        return False
    constants[node.output[0]] = result
    return True


def _dequantize(
    quantized: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any], *, axis: int, block_size: int
) -> NDArray[np.float32]:
    positions = range(quantized.shape[axis])
    zero_points, scales = (np.repeat(values, block_size, axis).take(positions, axis) for values in (zero_point, scale))
    result: NDArray[np.float32] = (quantized.astype(np.float32) - zero_points.astype(np.float32)) * scales
    return result


def fuse_heads(content: bytes, strides: Sequence[int] = STRIDES) -> bytes:
    """Fuse YuNet's four heads per grid into one, and concatenate the grids into one output table.

    The four heads have 1, 1, 4 and 10 channels; a vector register holds 16, so the fused head costs what each of them
    cost alone.

    Args:
        content: YuNet with plain weights and twelve outputs.
        strides: grids to keep; the nodes that only other grids need are removed.

    Returns:
        The model with one output "table" (n, cells, 16): a row per cell, grid by grid, row by row; class logit,
        objectness logit, box (4), landmarks (10) as YuNet encodes them.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    outputs = [output.name for output in graph.output]
    for stride in strides:
        _add_table(graph, outputs[STRIDES.index(stride) :: len(STRIDES)], f"table_{stride}")
    graph.node.append(helper.make_node("Concat", [f"table_{stride}" for stride in strides], ["table"], axis=1))
    del graph.output[:], graph.value_info[:]
    graph.output.append(helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, None))
    _remove_unused(graph)
    return bytes(model.SerializeToString())


def _add_table(graph: onnx.GraphProto, heads: Sequence[str], name: str) -> None:
    """Add the fused head of one grid. Each head is a pointwise convolution, then a depthwise one."""
    producers = {output: node for node in graph.node for output in node.output}
    depthwise = [_last_convolution(producers, head) for head in heads]
    pointwise = [producers[node.input[0]] for node in depthwise]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    fused = {
        f"{name}_{kind}_{position}": np.concatenate([constants[node.input[position]] for node in nodes])
        for kind, nodes in (("pointwise", pointwise), ("depthwise", depthwise))
        for position in (1, 2)
    }
    fused[f"{name}_shape"] = np.array([0, -1, TABLE_COLUMNS])
    pointwise_weights, pointwise_bias, depthwise_weights, depthwise_bias, shape = fused
    graph.initializer.extend(numpy_helper.from_array(values, key) for key, values in fused.items())
    mixed, convolved, channels_last = (f"{name}_{step}" for step in ("mixed", "convolved", "channels_last"))
    graph.node.extend(
        [
            helper.make_node("Conv", [pointwise[0].input[0], pointwise_weights, pointwise_bias], [mixed]),
            helper.make_node(
                "Conv", [mixed, depthwise_weights, depthwise_bias], [convolved], group=TABLE_COLUMNS, pads=[1] * 4
            ),
            helper.make_node("Transpose", [convolved], [channels_last], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [channels_last, shape], [name]),
        ]
    )


def _last_convolution(producers: dict[str, onnx.NodeProto], tensor: str) -> onnx.NodeProto:
    node = producers[tensor]
    return node if node.op_type == "Conv" else _last_convolution(producers, node.input[0])


def _remove_unused(graph: onnx.GraphProto) -> None:
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
