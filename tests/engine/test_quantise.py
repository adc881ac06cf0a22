from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mien.engine import quantise
from mien.engine.quantise import cancelling

SIDE = 8
LAYERS = {"full": (6, 3, 3), "depthwise": (6, 1, 3), "pointwise": (10, 6, 1)}


@pytest.fixture
def chain() -> bytes:
    """Three convolutions as SFace has them, each with normalisation and PReLU."""
    random = np.random.default_rng(4)
    nodes, constants, source = [], {}, "pixels"
    for name, (channels, inputs, side) in LAYERS.items():
        constants |= {
            f"{name}_weights": random.normal(0, 1, (channels, inputs, side, side)),
            f"{name}_gamma": random.uniform(0.5, 2, channels) * random.choice([-1, 1], channels),
            f"{name}_beta": random.normal(0, 0.3, channels),
            f"{name}_mean": random.normal(0, 0.3, channels),
            f"{name}_variance": np.full(channels, float(inputs * side * side)),
            f"{name}_slope": random.uniform(-0.4, 0.4, (channels, 1, 1)),
        }
        statistics = [f"{name}_{kind}" for kind in ("gamma", "beta", "mean", "variance")]
        options = {"group": channels if inputs == 1 else 1, "pads": [side // 2] * 4}
        nodes += [
            helper.make_node("Conv", [source, f"{name}_weights"], [f"{name}_sum"], name=name, **options),
            helper.make_node("BatchNormalization", [f"{name}_sum", *statistics], [f"{name}_normal"]),
            helper.make_node("PRelu", [f"{name}_normal", f"{name}_slope"], [name]),
        ]
        source = name
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString()


def answer(model: bytes) -> np.ndarray:
    pixels = np.random.default_rng(5).normal(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    return ReferenceEvaluator(onnx.load_from_string(model)).run(None, {"pixels": pixels})[0]


def bytes_in(model: bytes) -> set[str]:
    return {t.name for t in onnx.load_from_string(model).graph.initializer if t.data_type == TensorProto.INT8}


def test_bytes_give_the_same_answer_but_for_rounding(monkeypatch, chain):
    monkeypatch.setattr(quantise, "REACH", (6, 6))
    quick, exact = quantise.quantise(chain), answer(chain)
    assert bytes_in(quick) == {"depthwise_weights", "pointwise_weights"}
    assert 0 < np.abs(answer(quick) - exact).max() < 0.05 * np.abs(exact).max()


def test_layers_without_a_reach_stay_as_they_are(monkeypatch, chain):
    monkeypatch.setattr(quantise, "REACH", (0, 6))
    assert bytes_in(quantise.quantise(chain)) == {"pointwise_weights"}
    monkeypatch.setattr(quantise, "REACH", (0, 0))
    np.testing.assert_array_equal(answer(quantise.quantise(chain)), answer(chain))


def test_what_reaches_too_far_is_cut_off(monkeypatch, chain):
    monkeypatch.setattr(quantise, "REACH", (0.5, 0.5))
    assert np.abs(answer(quantise.quantise(chain)) - answer(chain)).max() > 0.2 * np.abs(answer(chain)).max()


def test_a_model_of_other_layers_is_left_alone(chain):
    assert quantise.quantise(chain) == chain


def test_rounding_errors_cancel_out():
    kernels = np.random.default_rng(6).uniform(-127, 127, (200, 9)).astype(np.float32)
    whole = cancelling(kernels)
    np.testing.assert_array_equal(whole, np.rint(whole))
    assert np.abs(whole - kernels).max() < 1
    assert (
        np.abs((whole - kernels).sum(axis=1)).max() <= 0.5001 < np.abs((np.rint(kernels) - kernels).sum(axis=1)).max()
    )
