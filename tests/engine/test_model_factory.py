"""Both ways of computing the networks say the same, in whatever shapes their images come."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.engine import model_factory, model_files
from mien.engine.context import EngineContext
from mien.engine.embed import CROP_SIDE
from mien.engine.model_factory import EMBEDDER_BATCH, ModelFactory
from mien.engine.networks.onnx_passes import STRIDES
from mien.engine.openvino_backend import HOT_SHAPE_COUNT, OpenVinoModel
from mien.engine.sface import SFace
from mien.engine.yunet import YuNet
from tests.engine.processor import with_vnni


def skin(rng: np.random.Generator, count: int) -> np.ndarray:
    """Soft shades of middling brightness: SFace was trained on faces, and bytes reach as far as on those."""
    shades = rng.integers(70, 190, (count, 4, 4, 3), np.uint8)
    return np.stack([cv2.resize(each, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_CUBIC) for each in shades])


def smooth(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    small = rng.integers(0, 256, (count, height // 8, width // 8, 3), np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture
def in_floats(monkeypatch) -> ModelFactory:
    monkeypatch.setattr(model_factory, "int8_supported", lambda: False)
    return ModelFactory(EngineContext(2))


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_a_size_that_comes_often_gets_a_model_of_its_own_and_the_same_answers(in_floats, rng):
    network = in_floats.detector(model_files.load(model_files.DETECTOR), STRIDES)
    canvas = smooth(rng, 1, 96, 128)
    tables = [network(canvas) for _ in range(HOT_SHAPE_COUNT + 2)]
    assert tables[0].shape == (1, 12 * 16 + 6 * 8 + 3 * 4, 16)
    np.testing.assert_allclose(tables[-1], tables[0], atol=0.3)


def test_faces_in_batches_and_left_over_get_the_vectors_of_faces_alone(in_floats, rng):
    network = in_floats.embedder(model_files.load(model_files.EMBEDDER))
    faces = smooth(rng, EMBEDDER_BATCH + 2, CROP_SIDE, CROP_SIDE)
    alone = np.concatenate([network(face[None]) for face in faces])
    assert cosines(network(faces), alone).min() > 0.999


@with_vnni
def test_the_detector_in_int8_and_in_floats_agree(in_floats, rng, monkeypatch):
    model, canvas = model_files.load(model_files.DETECTOR), smooth(rng, 1, 128, 96)
    exact = in_floats.detector(model, STRIDES)
    monkeypatch.undo()
    int8 = ModelFactory(EngineContext(2)).detector(model, STRIDES)
    assert (type(exact), type(int8)) == (OpenVinoModel, YuNet)
    assert np.corrcoef(int8(canvas)[0, :, 0], exact(canvas)[0, :, 0])[0, 1] > 0.98


@with_vnni
def test_the_embedder_in_int8_and_in_floats_agree(in_floats, rng, monkeypatch):
    model, faces = model_files.load(model_files.EMBEDDER), skin(rng, 6)
    exact = in_floats.embedder(model)
    monkeypatch.undo()
    int8 = ModelFactory(EngineContext(2)).embedder(model)
    assert (type(exact), type(int8)) == (OpenVinoModel, SFace)
    assert cosines(int8(faces), exact(faces)).min() > 0.97


@with_vnni
def test_another_build_of_the_detector_is_computed_in_floats(tmp_path):
    other = model_files.LoadedModel(tmp_path / "other.onnx", model_files.load(model_files.DETECTOR).content, "another")
    assert isinstance(ModelFactory(EngineContext(2)).detector(other, STRIDES), OpenVinoModel)
