"""An ONNX model goes in, the same with each PReLU written as simpler operations comes out.

OpenVINO merges PReLU into the convolution before it, where it costs a quarter of SFace's time. A product and a maximum
it leaves alone, and compiles to one quick loop.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def write_out_prelus(content: bytes) -> bytes:
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
