from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mien.domain.errors import WeightsDamaged, WeightsMissing
from mien.engine import FaceEngine, model_files
from mien.engine.networks.onnx_passes import dequantize_weights


@pytest.mark.parametrize("file", [model_files.DETECTOR, model_files.EMBEDDER])
def test_the_shipped_files_are_the_expected_ones(file):
    loaded = model_files.load(file)
    assert hashlib.sha256(loaded.content).hexdigest() == loaded.sha256 == file.sha256


def test_a_damaged_file_is_named(monkeypatch, tmp_path):
    damaged = tmp_path / model_files.DETECTOR.name
    damaged.write_bytes(b"not a model")
    monkeypatch.setattr(model_files, "in_carrier", lambda file: damaged)
    with pytest.raises(WeightsDamaged, match=model_files.DETECTOR.name):
        model_files.load(model_files.DETECTOR)


def test_a_missing_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(model_files, "in_carrier", lambda file: tmp_path / file.name)
    with pytest.raises(WeightsMissing, match=model_files.EMBEDDER.name):
        model_files.load(model_files.EMBEDDER)


def test_a_missing_package_of_the_models_is_named(monkeypatch):
    monkeypatch.setattr(model_files, "CARRIER", "no-such-package")
    with pytest.raises(WeightsMissing, match="no-such-package"):
        model_files.load(model_files.EMBEDDER)


def test_an_empty_models_folder_is_named(tmp_path):
    with pytest.raises(WeightsMissing, match=str(tmp_path)):
        FaceEngine(models_dir=tmp_path)


def test_own_model_files_give_their_own_version(tmp_path, engine):
    for file in (model_files.DETECTOR, model_files.EMBEDDER):
        model = dequantize_weights(model_files.load(file).content)
        (tmp_path / file.name.replace("_int8bq", "")).write_bytes(model)
    own = FaceEngine(models_dir=tmp_path)
    assert own.model_version != engine.model_version
    assert own.model_version.startswith("sface-")


def test_another_detector_gives_its_own_version(tmp_path, engine):
    for file, content in (
        (model_files.DETECTOR, dequantize_weights(model_files.load(model_files.DETECTOR).content)),
        (model_files.EMBEDDER, None),
    ):
        (tmp_path / file.name).write_bytes(content or model_files.load(file).content)
    assert FaceEngine(models_dir=tmp_path).model_version.startswith(f"{engine.model_version}-")


def with_file(folder, file, content):
    for one in (model_files.DETECTOR, model_files.EMBEDDER):
        (folder / one.name).write_bytes(model_files.load(one).content)
    (folder / file.name).write_bytes(content)
    return FaceEngine(models_dir=folder)


@pytest.mark.parametrize("content", [b"no model at all", b"", "other layers"])
def test_a_detector_of_other_layers_is_named(tmp_path, scene, encode, content):
    engine = with_file(tmp_path, model_files.DETECTOR, quantised_model() if content == "other layers" else content)
    with pytest.raises(WeightsDamaged, match=model_files.DETECTOR.name):
        engine.read(encode(scene, "PNG"))


@pytest.mark.parametrize("content", [b"no model at all", b""])
def test_an_embedder_that_is_no_model_is_named(tmp_path, hopper, content):
    engine = with_file(tmp_path, model_files.EMBEDDER, content)
    with pytest.raises(WeightsDamaged, match=model_files.EMBEDDER.name):
        engine.read(hopper.read_bytes())


def quantised_model() -> bytes:
    """y = x @ reshape(dequantise(q)): blocks of 4 along axis 1, the last one cut short."""
    random = np.random.default_rng(1)
    constants = {
        "q": random.integers(-128, 127, (3, 10), np.int8),
        "scale": random.random((3, 3), np.float32),
        "zero": random.integers(-5, 5, (3, 3), np.int8),
        "shape": np.array([5, 6], np.int64),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1, block_size=4),
        helper.make_node("Reshape", ["w", "shape"], ["v"]),
        helper.make_node("MatMul", ["x", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString()


def test_folding_leaves_no_quantised_weight_and_the_same_answer():
    model = quantised_model()
    folded = onnx.load_from_string(dequantize_weights(model))
    x = np.random.default_rng(2).random((2, 5), np.float32)
    expected = ReferenceEvaluator(onnx.load_from_string(model)).run(None, {"x": x})[0]
    assert [node.op_type for node in folded.graph.node] == ["MatMul"]
    np.testing.assert_allclose(ReferenceEvaluator(folded).run(None, {"x": x})[0], expected, rtol=1e-5)


def test_folding_twice_changes_nothing():
    once = dequantize_weights(quantised_model())
    assert dequantize_weights(once) == once
