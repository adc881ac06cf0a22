from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from mien.engine import model_files
from mien.engine.networks.onnx_passes import STRIDES, dequantize_weights, fuse_heads

SIDE = 64


@pytest.fixture(scope="module")
def yunet() -> bytes:
    return dequantize_weights(model_files.load(model_files.DETECTOR).content)


def run(model: bytes) -> list[np.ndarray]:
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 3, SIDE, SIDE)).astype(np.float32)
    return ReferenceEvaluator(onnx.load_from_string(model)).run(None, {"input": pixels})


def test_the_table_holds_what_the_twelve_outputs_hold(yunet):
    apart = run(yunet)
    kinds = [np.concatenate(apart[first : first + len(STRIDES)], axis=1)[0] for first in range(0, 12, len(STRIDES))]
    [[table]] = run(fuse_heads(yunet))
    np.testing.assert_allclose(1 / (1 + np.exp(-table[:, :2])), np.hstack(kinds[:2]), atol=1e-5)
    np.testing.assert_allclose(table[:, 2:], np.hstack(kinds[2:]), atol=1e-4)


@pytest.mark.parametrize("strides", [(32,), (16, 32)])
def test_a_table_without_the_finer_grids_is_the_end_of_the_whole(yunet, strides):
    [[whole]], [[part]] = run(fuse_heads(yunet)), run(fuse_heads(yunet, strides))
    assert len(part) == sum((SIDE // stride) ** 2 for stride in strides)
    np.testing.assert_array_equal(part, whole[-len(part) :])


def test_a_grid_left_out_takes_its_own_nodes_along(yunet):
    whole, part = (onnx.load_from_string(fuse_heads(yunet, strides)) for strides in (STRIDES, (32,)))
    assert {node.op_type for node in whole.graph.node} - {node.op_type for node in part.graph.node} == {"Resize", "Add"}
    assert len(part.graph.initializer) < len(whole.graph.initializer)
