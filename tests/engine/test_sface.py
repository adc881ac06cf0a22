"""SFace in int8 gives what its reference gives, to the bit, and what it gives in floating point, but for rounding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import pytest

from mien.domain.errors import WeightsDamaged
from mien.engine import FaceEngine, model_files
from mien.engine.context import EngineContext
from mien.engine.networks import reference, sface
from mien.engine.networks.onnx_passes import dequantize_weights
from mien.engine.networks.quantize import round_with_error_compensation
from mien.engine.networks.sface import MAX_BATCH, InferencePlan, packed
from mien.engine.networks.sface_layers import (
    CLIP_SIGMAS,
    Layer,
    Layers,
    QuantizedConv,
    QuantizedLinear,
    QuantizedSFace,
    quantize,
    read_layers,
)
from mien.kernels.instruction_sets import MAX_WEIGHT_SUM, InstructionSet

SIDE = 8
COLOURS = 3
STEP = 1 / 128
MAX_WEIGHT = MAX_WEIGHT_SUM // 4
"""So that four weights may be added in 16 bits, whatever they are."""


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
    convolutions = (layer(rng, 8, COLOURS, 3), layer(rng, 8, 1, 3), layer(rng, 16, 8, 1))
    last, shift = rng.normal(0, 1, (128, SIDE * SIDE * 16)), rng.normal(0, 1, 128)
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
    values = (image - layers.pixel_zero) * layers.pixel_scale
    for each in layers.convolutions:
        values = convolved(values, each.weights, np.zeros(values.shape[2])) * each.scale + each.bias
        values = np.where(values < 0, each.slope * values, values)
    return layers.linear @ values.reshape(-1) + layers.linear_bias


def in_int8(layers: Layers, image: np.ndarray, sigmas: tuple[float, ...]) -> np.ndarray:
    return reference.sface(quantize(layers, sigmas), image.astype(np.uint8))


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
    bent = replace(first, slope=np.full(8, slope, np.float32))
    each, *_ = quantize(replace(layers, convolutions=(bent, *others)), (4, 4, 4)).convolutions
    scale, bias, other_scale, other_bias = each.epilogue.astype(np.float64)
    where_both_meet = scale * (other_bias - bias) / (scale - other_scale) + bias
    np.testing.assert_allclose(where_both_meet, each.zero_point + 0.5, atol=0.01)


def test_rounding_errors_cancel_out(rng):
    kernels = rng.uniform(-127, 127, (200, 9)).astype(np.float32)
    whole = round_with_error_compensation(kernels)
    np.testing.assert_array_equal(whole, np.rint(whole))
    assert np.abs(whole - kernels).max() < 1
    plain_errors = np.abs((np.rint(kernels) - kernels).sum(axis=1)).max()
    assert np.abs((whole - kernels).sum(axis=1)).max() <= 0.5001 < plain_errors


@pytest.fixture(scope="module")
def model() -> bytes:
    return model_files.load(model_files.EMBEDDER).transformed(dequantize_weights)


def test_the_shipped_model_is_read(model):
    found = read_layers(model)
    assert len(found.convolutions) == len(CLIP_SIGMAS)
    assert [each.depthwise for each in found.convolutions[1:]] == [True, False] * 13
    assert found.linear.shape == (128, 7 * 7 * 1024)


def test_another_network_is_not_read(model):
    other = onnx.load_from_string(model)
    del other.graph.node[-1]
    with pytest.raises(model_files.UnsupportedModel):
        read_layers(other.SerializeToString())


@pytest.fixture(scope="module")
def context() -> EngineContext:
    return EngineContext(2)


@pytest.fixture(scope="module")
def prepared(model: bytes) -> bytes:
    return sface.prepare(model)


@pytest.fixture
def int8_sface(prepared: bytes, context: EngineContext, isa: InstructionSet) -> sface.SFace:
    return sface.SFace(lambda: prepared, context, isa)


def blocks_of_colour(rng: np.random.Generator, count: int) -> np.ndarray:
    """Pictures (count, 112, 112, 3) of nothing, smooth as photos are."""
    small = rng.integers(0, 256, (count, 8, 8, COLOURS), np.uint8)
    return small.repeat(14, axis=1).repeat(14, axis=2)


def test_the_shipped_network_gives_what_the_reference_gives(int8_sface, model, rng):
    """On something like photos, on noise, and on the largest and least values."""
    noise = rng.integers(0, 256, (1, 112, 112, COLOURS), np.uint8)
    ends = np.stack([np.full_like(noise[0], 0), np.full_like(noise[0], 255)])
    faces = np.concatenate([blocks_of_colour(rng, 1), noise, ends])
    network = quantize(read_layers(model))
    np.testing.assert_array_equal(int8_sface(faces), np.stack([reference.sface(network, face) for face in faces]))


def test_a_face_gets_the_same_vector_alone_and_among_others(int8_sface, context, rng):
    faces = blocks_of_colour(rng, 2 * MAX_BATCH + 3)
    alone = np.concatenate([int8_sface(face[None]) for face in faces])
    np.testing.assert_array_equal(int8_sface(faces), alone)
    with context.track_call(), context.track_call():
        np.testing.assert_array_equal(int8_sface(faces), alone)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(int8_sface, [faces] * 8))
    assert all((vectors == alone).all() for vectors in together)


def network_of(rng: np.random.Generator, *blocks: tuple[int, int]) -> QuantizedSFace:
    """A stem, then for each (channels, stride) a block, with random weights and epilogues."""
    convolutions, channels, side = [convolution(rng, 32, COLOURS, 3)], 32, 112
    for outputs, stride in blocks:
        convolutions += [convolution(rng, channels, 1, 3, stride), convolution(rng, outputs, channels, 1)]
        channels, side = outputs, side // stride
    linear = rng.integers(-MAX_WEIGHT, MAX_WEIGHT, (128, side * side * channels), np.int8)
    epilogue = rng.normal(0, 1e-6, (2, 128)).astype(np.float32)
    return QuantizedSFace(tuple(convolutions), QuantizedLinear(linear, epilogue))


def convolution(rng: np.random.Generator, outputs: int, inputs: int, side: int, stride: int = 1) -> QuantizedConv:
    spread = 20 * 127 * (inputs * side * side) ** 0.5
    scales = rng.uniform(60, 120, (2, outputs)) / spread * rng.choice([-1, 1], (2, outputs))
    epilogue = np.stack([scales[0], rng.uniform(40, 200, outputs), scales[1], rng.uniform(40, 200, outputs)])
    matrix = rng.integers(-MAX_WEIGHT, MAX_WEIGHT, (outputs, inputs, side, side), np.int8)
    return QuantizedConv(matrix, stride, epilogue.astype(np.float32), rng.integers(0, 256, outputs, np.uint8))


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([(64, 2), (64, 2), (64, 2), (64, 2)], id="down to an odd width"),
        pytest.param([(64, 2), (96, 2), (192, 2), (64, 1), (256, 2), (64, 1)], id="many widths"),
    ],
)
def test_a_network_of_other_sizes_gives_what_the_reference_gives(isa, rng, blocks):
    network = network_of(rng, *blocks)
    plan = InferencePlan(packed(network), isa)
    faces = rng.integers(0, 256, (MAX_BATCH, 112, 112, 3), np.uint8)
    exact = np.stack([reference.sface(network, face) for face in faces])
    for count in range(1, MAX_BATCH + 1):
        np.testing.assert_array_equal(plan.run(faces[:count]), exact[:count])
    assert len(np.unique(exact)) > 400


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([(48, 1)], id="no whole panel"),
        pytest.param([(64, 2)] * 5, id="a width that cannot be halved"),
    ],
)
def test_a_network_of_sizes_that_the_kernels_lack_is_refused(rng, blocks):
    with pytest.raises(model_files.UnsupportedModel):
        packed(network_of(rng, *blocks))


def test_an_unreadable_model_of_ones_own_is_named(tmp_path, hopper):
    for file in (model_files.DETECTOR, model_files.EMBEDDER):
        (tmp_path / file.name).write_bytes(model_files.load(file).content)
    (tmp_path / model_files.EMBEDDER.name).write_bytes(b"not a model")
    engine = FaceEngine(models_dir=tmp_path)
    with pytest.raises(WeightsDamaged, match=model_files.EMBEDDER.name):
        engine.read(hopper.read_bytes())
