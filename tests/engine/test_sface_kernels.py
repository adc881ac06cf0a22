"""The compiled layers give what NumPy gives."""

from __future__ import annotations

import numpy as np
import pytest

from mien.engine.int8 import int8_supported
from mien.engine.int8.executor import Kernels, kernels
from mien.engine.model_files import UnsupportedModel
from mien.engine.sface.program import KERNELS, Program, packed
from mien.engine.sface.quantize import Counted, CountedLast, CountedLayers

if not int8_supported():
    pytest.skip("needs a processor with AVX-512 VNNI", allow_module_level=True)

SIDE = 112


def layer(rng: np.random.Generator, outputs: int, inputs: int, side: int, stride: int = 1) -> Counted:
    """Random weights, and lines that spread random sums over the bytes."""
    spread = 127 * 127 * (inputs * side * side) ** 0.5
    slopes = rng.uniform(60, 120, (2, outputs)) / spread * rng.choice([-1, 1], (2, outputs))
    lines = np.stack([slopes[0], rng.uniform(40, 200, outputs), slopes[1], rng.uniform(40, 200, outputs)])
    weights = rng.integers(-127, 128, (outputs, inputs, side, side)).astype(np.int8)
    return Counted(weights, stride, lines.astype(np.float32), rng.integers(0, 256, outputs).astype(np.uint8))


def network(rng: np.random.Generator, *blocks: tuple[int, int]) -> CountedLayers:
    """A first layer, then for each (channels, stride) a block."""
    layers, channels, side = [layer(rng, 32, 3, 3)], 32, SIDE
    for outputs, stride in blocks:
        layers += [layer(rng, channels, 1, 3, stride), layer(rng, outputs, channels, 1)]
        channels, side = outputs, side // stride
    weights = rng.integers(-127, 128, (128, side * side * channels)).astype(np.int8)
    return CountedLayers(tuple(layers), CountedLast(weights, rng.normal(0, 1e-6, (2, 128)).astype(np.float32)))


def in_numpy(layers: CountedLayers, image: np.ndarray) -> np.ndarray:
    values, border = image, np.full(3, 128)
    for each in layers.convolutions:
        values, border = layer_in_numpy(each, values, border), each.zero
    scale, shift = layers.last.lines
    return layers.last.weights.astype(np.int64) @ values.reshape(-1).astype(np.int64) * scale + shift


def layer_in_numpy(each: Counted, values: np.ndarray, border: np.ndarray) -> np.ndarray:
    _, inputs, side, _ = each.weights.shape
    edge = side // 2
    padded = np.tile(border, (len(values) + 2 * edge, len(values) + 2 * edge, 1)).astype(np.int64)
    padded[edge : len(values) + edge, edge : len(values) + edge] = values
    sums = 0
    for y in range(side):
        for x in range(side):
            seen = padded[y : y + len(values) : each.stride, x : x + len(values) : each.stride]
            kernel = each.weights[:, :, y, x].astype(np.int64)
            sums = sums + (seen * kernel[:, 0] if inputs == 1 else seen @ kernel.T)
    slope, height, other_slope, other_height = each.lines.astype(np.float64)
    return np.clip(np.maximum(sums * slope + height, sums * other_slope + other_height), 0, 255).astype(np.int64)


@pytest.fixture
def faces(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def code() -> Kernels:
    return kernels(KERNELS)


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([(32, 1)], id="narrow maps"),
        pytest.param([(64, 2), (64, 2), (64, 2), (64, 2)], id="down to an odd width"),
        pytest.param([(64, 2), (128, 2), (192, 2), (64, 1), (256, 2), (64, 1)], id="many widths"),
    ],
)
def test_the_whole_network_gives_what_numpy_gives(code, faces, rng, blocks):
    layers = network(rng, *blocks)
    program = Program(packed(layers), code)
    exact = np.stack([in_numpy(layers, face) for face in faces[:4]])
    for count in (1, 2, 3, 4):
        vectors = program.run(faces[:count])
        np.testing.assert_allclose(vectors, exact[:count], atol=np.abs(exact).max() * 1e-3)


def test_memory_that_was_used_gives_the_same(code, faces, rng):
    program = Program(packed(network(rng, (64, 2), (64, 2), (64, 2), (64, 2))), code)
    first = program.run(faces[:4])
    program.run(faces[1:])
    np.testing.assert_array_equal(program.run(faces[:4]), first)
    assert len(np.unique(first)) > 400


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([(48, 1)], id="no whole panel"),
        pytest.param([(96, 1), (64, 1)], id="no whole chunk"),
        pytest.param([(64, 2)] * 5, id="a width that is no multiple of seven"),
    ],
)
def test_a_network_of_other_sizes_is_refused(rng, blocks):
    with pytest.raises(UnsupportedModel):
        packed(network(rng, *blocks))
