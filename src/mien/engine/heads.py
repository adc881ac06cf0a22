"""YuNet's ONNX model goes in, the same with one table as its only output comes out.

The table (n, cells, 16) has a row for each cell of the grids: the logits of class and objectness, box (4), five
points (10). The model has four heads on each grid, with 1, 1, 4 and 10 channels; a vector register takes 16, so one
head with all of them costs what each cost alone. A grid that is left out takes along what only it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

STRIDES = (8, 16, 32)
COLUMNS = 16


def join_heads(content: bytes, strides: Sequence[int] = STRIDES) -> bytes:
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
