"""YuNet in int8 gives exactly what NumPy computes in int8, and nearly what floating point gives."""

from __future__ import annotations

import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from mien.engine import model_files
from mien.engine.networks import reference, yunet
from mien.engine.networks.onnx_passes import STRIDES, dequantize_weights, fuse_heads
from mien.engine.networks.yunet import YuNet
from mien.engine.networks.yunet_layers import (
    Convolution,
    Head,
    Pool,
    QuantizedLayer,
    Sum,
    ranges,
    read_layers,
)
from mien.kernels.instruction_sets import InstructionSet

SIZES = [(64, 64), (64, 96), (160, 128), (96, 288)]


def model(strides: tuple[int, ...] = STRIDES) -> bytes:
    return model_files.load(model_files.DETECTOR).transformed(dequantize_weights, partial(fuse_heads, strides=strides))


def canvas(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture of nothing, smooth as photos are."""
    small = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return small.repeat(8, axis=0).repeat(8, axis=1)


def in_floats(pixels: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    blue_first = pixels[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    [[table]] = ReferenceEvaluator(onnx.load_from_string(model(strides))).run(None, {"input": blue_first})
    return table


def layers(strides: tuple[int, ...] = STRIDES) -> list[QuantizedLayer]:
    return yunet.read(model(strides))


@pytest.fixture
def int8_yunet(isa: InstructionSet) -> YuNet:
    return YuNet(layers, isa)


@pytest.mark.parametrize("size", SIZES)
def test_the_table_is_what_the_reference_gives(int8_yunet, rng, size):
    noise = rng.integers(0, 256, (*size, 3), np.uint8)
    for pixels in (canvas(rng, *size), noise, np.full_like(noise, 0), np.full_like(noise, 255)):
        [table] = int8_yunet(pixels[None])
        np.testing.assert_array_equal(table, reference.yunet(layers(), pixels))


@pytest.mark.parametrize("strides", [STRIDES, (32,)])
def test_the_table_is_nearly_what_floating_point_gives(rng, strides):
    pixels = canvas(rng, 96, 128)
    [table] = YuNet(partial(layers, strides))(pixels[None])
    exact = in_floats(pixels, strides)
    assert table.shape == exact.shape
    places = np.abs(table - exact)[:, 2:]
    assert 0 < places.mean() < 0.1
    assert np.corrcoef(table[:, 0], exact[:, 0])[0, 1] > 0.98


def test_sizes_alternate_and_threads_do_not_disturb_each_other(int8_yunet, rng, monkeypatch):
    canvases = [canvas(rng, *size)[None] for size in SIZES]
    alone = [int8_yunet(each) for each in canvases]
    for kept in (yunet.MAX_KEPT_BYTES, 0):
        monkeypatch.setattr(yunet, "MAX_KEPT_BYTES", kept)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(int8_yunet, canvases * 8))
        for number, table in enumerate(together):
            np.testing.assert_array_equal(table, alone[number % len(SIZES)])


def test_threads_that_come_and_go_at_any_moment_find_memory_of_their_size(int8_yunet, rng):
    canvases = [canvas(rng, 32, side)[None] for side in (32, 64, 96)]
    alone = [int8_yunet(each) for each in canvases]
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(int8_yunet, canvases * 700))
    finally:
        sys.setswitchinterval(often)
    assert all((table == alone[number % 3]).all() for number, table in enumerate(together))


def test_no_more_memory_is_kept_than_a_few_sizes_need(rng, monkeypatch):
    def kept_bytes(sizes: int) -> int:
        monkeypatch.setattr(yunet, "MAX_KEPT", sizes)
        small = YuNet(layers)
        small(canvas(rng, 32, 32)[None])
        tracemalloc.start()
        for side in range(64, 32 * 14, 32):
            small(canvas(rng, side, 64)[None])
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    assert kept_bytes(2) < 0.5 * kept_bytes(20)


def test_the_shipped_model_is_read():
    found = read_layers(model())
    kinds = [type(layer) for layer in found]
    assert (kinds.count(Pool), kinds.count(Sum), kinds.count(Head)) == (4, 2, 3)
    between = {layer.target for layer in found if isinstance(layer, Convolution | Sum)}
    assert between == set(ranges())


def test_another_network_is_not_read():
    other = onnx.load_from_string(model())
    other.graph.node[1].op_type = "Sigmoid"
    with pytest.raises(model_files.UnsupportedModel):
        read_layers(other.SerializeToString())
    del other.graph.node[:]
    with pytest.raises(model_files.UnsupportedModel):
        read_layers(other.SerializeToString())
