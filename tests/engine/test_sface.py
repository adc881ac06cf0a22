"""SFace in int8 gives what it gives in floating point, except for rounding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import pytest

from mien.domain.errors import WeightsDamaged
from mien.engine import FaceEngine, model_files, sface
from mien.engine.context import EngineContext, Network
from mien.engine.int8 import executor
from mien.engine.int8.quantize import cancelling
from mien.engine.networks.onnx_passes import dequantize_weights
from mien.engine.sface.program import MAX_BATCH
from mien.engine.sface.quantize import REACH, Layer, Layers, count, read_layers
from tests.engine.processor import with_vnni

SIDE = 8
COLOURS = 3
STEP = 1 / 128


def layer(rng: np.random.Generator, outputs: int, inputs: int, side: int) -> Layer:
    """As trained: the normalisation's statistics are those of what it sees, and some slopes are over one."""
    gamma = rng.uniform(0.5, 2, outputs) * rng.choice([-1, 1], outputs)
    beta = rng.normal(0, 0.3, outputs)
    kernel = rng.normal(0, 1, (outputs, inputs, side, side))
    scale = gamma / side / inputs**0.5
    slope = rng.uniform(-0.4, 1.2, outputs)
    return Layer(*(np.float32(kernel), 1), *map(np.float32, (scale, beta, beta, np.abs(gamma), slope)))


@pytest.fixture(scope="module")
def layers() -> Layers:
    rng = np.random.default_rng(4)
    convolutions = (layer(rng, 6, COLOURS, 3), layer(rng, 6, 1, 3), layer(rng, 10, 6, 1))
    last, shift = rng.normal(0, 1, (128, SIDE * SIDE * 10)), rng.normal(0, 1, 128)
    return Layers(STEP, 127.5, convolutions, np.float32(last), np.float32(shift))


def convolved(values: np.ndarray, kernel: np.ndarray, border: np.ndarray) -> np.ndarray:
    side = kernel.shape[2]
    edge = side // 2
    padded = np.tile(np.asarray(border, np.float64), (SIDE + 2 * edge, SIDE + 2 * edge, 1))
    padded[edge : SIDE + edge, edge : SIDE + edge] = values
    parts = [
        (padded[y : y + SIDE, x : x + SIDE], kernel[:, :, y, x].astype(np.float64))
        for y in range(side)
        for x in range(side)
    ]
    return sum(seen * part[:, 0] if kernel.shape[1] == 1 else seen @ part.T for seen, part in parts)


def in_floating_point(layers: Layers, image: np.ndarray) -> np.ndarray:
    values = (image - layers.pixel_zero) * layers.pixel_step
    for each in layers.convolutions:
        values = convolved(values, each.weights, np.zeros(values.shape[2])) * each.scale + each.shift
        values = np.where(values < 0, each.slope * values, values)
    return layers.last @ values.reshape(-1) + layers.last_shift


def in_int8(layers: Layers, image: np.ndarray, reach: tuple[float, ...]) -> np.ndarray:
    values, border = image, np.full(COLOURS, 127.5)
    whole = count(layers, reach)
    for each in whole.convolutions:
        added = convolved(values, each.weights, border)
        one, other = (slope * added + height for slope, height in each.lines.reshape(2, 2, -1))
        values, border = np.clip(np.floor(np.maximum(one, other)), 0, 255), each.zero
    scale, shift = whole.last.lines
    return whole.last.weights.astype(np.float64) @ values.reshape(-1) * scale + shift


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_int8_says_the_same_but_for_rounding(layers, rng):
    image = rng.integers(0, 256, (SIDE, SIDE, COLOURS))
    assert 0.9995 < likeness(in_int8(layers, image, (5, 5, 5)), in_floating_point(layers, image)) < 0.999999


def test_values_beyond_the_calibrated_range_are_cut_off(layers, rng):
    image = rng.integers(0, 256, (SIDE, SIDE, COLOURS))
    assert likeness(in_int8(layers, image, (0.5, 0.5, 0.5)), in_floating_point(layers, image)) < 0.95


@pytest.mark.parametrize("slope", [0.3, -0.3, 1.1])
def test_zero_is_a_whole_byte_where_the_border_is_padded_with_it(layers, slope):
    first, *others = layers.convolutions
    bent = replace(first, slope=np.full(6, slope, np.float32))
    each, *_ = count(replace(layers, convolutions=(bent, *others)), (4, 4, 4)).convolutions
    one, height, other, other_height = each.lines.astype(np.float64)
    where_both_meet = one * (other_height - height) / (one - other) + height
    np.testing.assert_allclose(where_both_meet, each.zero + 0.5, atol=0.01)


def test_rounding_errors_cancel_out(rng):
    kernels = rng.uniform(-127, 127, (200, 9)).astype(np.float32)
    whole = cancelling(kernels)
    np.testing.assert_array_equal(whole, np.rint(whole))
    assert np.abs(whole - kernels).max() < 1
    plain_errors = np.abs((np.rint(kernels) - kernels).sum(axis=1)).max()
    assert np.abs((whole - kernels).sum(axis=1)).max() <= 0.5001 < plain_errors


@pytest.fixture(scope="module")
def model() -> bytes:
    return model_files.load(model_files.EMBEDDER).transformed(dequantize_weights)


def test_the_shipped_model_is_read(model):
    found = read_layers(model)
    assert len(found.convolutions) == len(REACH)
    assert [each.depthwise for each in found.convolutions[1:]] == [True, False] * 13
    assert found.last.shape == (128, 7 * 7 * 1024)


def test_another_network_is_not_read(model):
    other = onnx.load_from_string(model)
    del other.graph.node[-1]
    with pytest.raises(model_files.UnsupportedModel):
        read_layers(other.SerializeToString())


@pytest.fixture(scope="module")
def context() -> EngineContext:
    return EngineContext(2)


@pytest.fixture(scope="module")
def int8_sface(model, context) -> sface.SFace:
    prepared = sface.prepare(model)
    return sface.SFace(lambda: prepared, never, context)


def never() -> Network:
    raise AssertionError


def blocks_of_colour(rng: np.random.Generator, count: int) -> np.ndarray:
    """Pictures (count, 112, 112, 3) of nothing, smooth as photos are."""
    small = rng.integers(0, 256, (count, 8, 8, COLOURS), np.uint8)
    return small.repeat(14, axis=1).repeat(14, axis=2)


@with_vnni
def test_a_face_gets_the_same_vector_alone_and_among_others(int8_sface, context, rng):
    faces = blocks_of_colour(rng, 2 * MAX_BATCH + 3)
    alone = np.concatenate([int8_sface(face[None]) for face in faces])
    np.testing.assert_array_equal(int8_sface(faces), alone)
    with context.track_call(), context.track_call():
        np.testing.assert_array_equal(int8_sface(faces), alone)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(int8_sface, [faces] * 8))
    assert all((vectors == alone).all() for vectors in together)


@with_vnni
def test_a_model_of_other_layers_is_computed_otherwise(rng):
    def read() -> bytes:
        raise model_files.UnsupportedModel

    other = sface.SFace(read, lambda: lambda faces: faces[:, 0, 0], EngineContext())
    faces = blocks_of_colour(rng, 2)
    np.testing.assert_array_equal(other(faces), faces[:, 0, 0])


@pytest.mark.parametrize(
    ("there", "suits"),
    [
        ({"avx2"}, False),
        ({"avx512bw", "avx512vl", "avx512vnni", "avx2"}, True),
        ({"avx512bw", "avx512vl"}, False),
    ],
)
def test_int8_is_for_processors_with_vnni(monkeypatch, there, suits):
    monkeypatch.setattr(executor, "features", lambda: frozenset(there))
    assert executor.int8_supported() is suits


@with_vnni
def test_an_unreadable_model_of_ones_own_is_named(tmp_path, hopper):
    for file in (model_files.DETECTOR, model_files.EMBEDDER):
        (tmp_path / file.name).write_bytes(model_files.load(file).content)
    (tmp_path / model_files.EMBEDDER.name).write_bytes(b"not a model")
    engine = FaceEngine(models_dir=tmp_path)
    with pytest.raises(WeightsDamaged, match=model_files.EMBEDDER.name):
        engine.read(hopper.read_bytes())
