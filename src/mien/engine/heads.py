"""YuNet's ONNX model goes in, the same with its twelve outputs joined into one table comes out.

The table (n, cells, 15) has a row for each cell of the three grids: score, box (4), five points (10). Joined inside
the model because fetching twelve arrays costs Python a tenth of the inference.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

GRIDS = 3


def join_heads(content: bytes) -> bytes:
    """Class, objectness, boxes and points of each grid become one output; the score is their geometric mean."""
    model = onnx.load_from_string(content)
    graph = model.graph
    outputs = [output.name for output in graph.output]
    kinds = [outputs[first : first + GRIDS] for first in range(0, len(outputs), GRIDS)]
    _flatten_each_image(graph)
    grids = []
    for place, (label, thing, box, points) in enumerate(zip(*kinds, strict=True)):
        product, score, grid = (f"{name}_of_grid_{place}" for name in ("product", "score", "table"))
        graph.node.extend(
            [
                helper.make_node("Mul", [label, thing], [product]),
                helper.make_node("Sqrt", [product], [score]),
                helper.make_node("Concat", [score, box, points], [grid], axis=2),
            ]
        )
        grids.append(grid)
    graph.node.append(helper.make_node("Concat", grids, ["table"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())


def _flatten_each_image(graph: onnx.GraphProto) -> None:
    """The model flattens a batch into one image's cells; a first dimension of 0 keeps the images apart."""
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in shapes:
            shape = numpy_helper.to_array(tensor).copy()
            shape[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
