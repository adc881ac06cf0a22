"""A block-quantised ONNX model goes in, the same model with plain fp32 weights comes out.

OpenVINO does not read block-wise `DequantizeLinear`, so the constant part of the graph (dequantise, then
reshape) is computed here, once. A model without quantised weights comes out as it went in.
https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def fold(content: bytes) -> bytes:
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
