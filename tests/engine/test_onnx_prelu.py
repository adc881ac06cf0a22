from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mien.engine.networks.onnx_passes import decompose_prelu


def prelu(slopes: list[float], *, constant: bool = True) -> bytes:
    slope = np.array(slopes, np.float32)[:, None, None]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    inputs += [] if constant else [helper.make_tensor_value_info("slope", TensorProto.FLOAT, None)]
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["x", "slope"], ["y"])],
        "prelu",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(slope, "slope")] if constant else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString()


@pytest.mark.parametrize("slopes", [[0.2, -0.3, 0], [1, 0.99, -2], [1.1, 0.2, -0.3]])
def test_a_prelu_in_parts_gives_the_same_answer(slopes):
    x = np.random.default_rng(7).normal(0, 3, (2, 3, 4, 5)).astype(np.float32)
    whole, parts = (onnx.load_from_string(model) for model in (prelu(slopes), decompose_prelu(prelu(slopes))))
    assert "PRelu" not in {node.op_type for node in parts.graph.node}
    expected, found = (ReferenceEvaluator(model).run(None, {"x": x})[0] for model in (whole, parts))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_prelu_whose_slopes_come_from_outside_stays():
    model = prelu([1, 1, 1], constant=False)
    assert [node.op_type for node in onnx.load_from_string(decompose_prelu(model)).graph.node] == ["PRelu"]
