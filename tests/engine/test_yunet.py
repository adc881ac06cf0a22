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
from mien.engine.networks.onnx_passes import STRIDES, dequantize_weights, fuse_heads
from mien.engine.yunet import YuNet
from mien.engine.yunet import program as module
from mien.engine.yunet.quantize import (
    PIXELS,
    Convolution,
    CountedConvolution,
    CountedHead,
    CountedSum,
    Head,
    Pool,
    Sum,
    count,
    ranges,
    read_layers,
)
from tests.engine.processor import with_vnni

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


def in_numpy(pixels: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    maps, tables = {PIXELS: pixels[:, :, ::-1].astype(np.int64)}, []
    borders = {PIXELS: np.zeros(3)}
    for each in count(read_layers(model(strides)), ranges()):
        if isinstance(each, Pool):
            parts = [maps[each.source][y::2, x::2] for y in (0, 1) for x in (0, 1)]
            maps[each.target] = np.maximum.reduce(parts)
        elif isinstance(each, CountedSum):
            whole, half = maps[each.layer.source], maps[each.layer.half].repeat(2, axis=0).repeat(2, axis=1)
            one, other, term = each.lines.astype(np.float64)
            maps[each.layer.target] = as_bytes(whole * one + half * other + term)
        elif isinstance(each, CountedHead):
            upper, lower = each.mixing.astype(np.int64)
            mixed = maps[each.layer.mixing.source] @ (256 * upper + lower).T * each.scale + each.layer.mixing.added
            seeing = each.layer.seeing
            tables.append((convolved(mixed, seeing.weights, np.zeros(16)) + seeing.added).reshape(-1, 16))
        else:
            assert isinstance(each, CountedConvolution)
            layer = each.layer
            added = convolved(maps[layer.source], each.weights.astype(np.int64), borders.get(layer.source))
            scale, term = each.line.astype(np.float64)
            maps[layer.target] = as_bytes((added[::2, ::2] if layer.first else added) * scale + term)
            borders[layer.target] = each.zero
    return np.concatenate(tables)


def as_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values), 0, 255).astype(np.int64)


def convolved(values: np.ndarray, kernel: np.ndarray, border: np.ndarray | None) -> np.ndarray:
    height, width, _ = values.shape
    side = kernel.shape[2]
    edge = side // 2
    padded = np.zeros((height + 2 * edge, width + 2 * edge, values.shape[2]), values.dtype) + (border if edge else 0)
    padded[edge : edge + height, edge : edge + width] = values
    parts = [(padded[y : y + height, x : x + width], kernel[:, :, y, x]) for y in range(side) for x in range(side)]
    return sum(seen * part[:, 0] if kernel.shape[1] == 1 else seen @ part.T for seen, part in parts)


@pytest.fixture(scope="module")
def int8_yunet() -> YuNet:
    return YuNet(model)


@with_vnni
@pytest.mark.parametrize("size", SIZES)
def test_the_table_is_what_numpy_gives(int8_yunet, rng, size):
    pixels = canvas(rng, *size)
    [table] = int8_yunet(pixels[None])
    exact = in_numpy(pixels, STRIDES)
    assert table.shape == exact.shape
    # a sum that lies on the edge between two bytes may fall to either side
    assert np.abs(table - exact).mean() < 0.03 * np.abs(exact).mean()


@with_vnni
@pytest.mark.parametrize("strides", [STRIDES, (32,)])
def test_the_table_is_nearly_what_floating_point_gives(rng, strides):
    pixels = canvas(rng, 96, 128)
    [table] = YuNet(partial(model, strides))(pixels[None])
    exact = in_floats(pixels, strides)
    assert table.shape == exact.shape
    places = np.abs(table - exact)[:, 2:]
    assert 0 < places.mean() < 0.1
    assert np.corrcoef(table[:, 0], exact[:, 0])[0, 1] > 0.98


@with_vnni
def test_sizes_alternate_and_threads_do_not_disturb_each_other(int8_yunet, rng, monkeypatch):
    canvases = [canvas(rng, *size)[None] for size in SIZES]
    alone = [int8_yunet(each) for each in canvases]
    for kept in (module.MAX_KEPT_BYTES, 0):
        monkeypatch.setattr(module, "MAX_KEPT_BYTES", kept)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(int8_yunet, canvases * 8))
        for number, table in enumerate(together):
            np.testing.assert_array_equal(table, alone[number % len(SIZES)])


@with_vnni
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


@with_vnni
def test_no_more_memory_is_kept_than_a_few_sizes_need(rng, monkeypatch):
    def kept_bytes(sizes: int) -> int:
        monkeypatch.setattr(module, "MAX_KEPT", sizes)
        yunet = YuNet(model)
        yunet(canvas(rng, 32, 32)[None])
        tracemalloc.start()
        for side in range(64, 32 * 14, 32):
            yunet(canvas(rng, side, 64)[None])
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    assert kept_bytes(2) < 0.5 * kept_bytes(20)


def test_the_shipped_model_is_read():
    layers = read_layers(model())
    kinds = [type(layer) for layer in layers]
    assert (kinds.count(Pool), kinds.count(Sum), kinds.count(Head)) == (4, 2, 3)
    between = {layer.target for layer in layers if isinstance(layer, Convolution | Sum)}
    assert between == set(ranges())


def test_another_network_is_not_read():
    other = onnx.load_from_string(model())
    other.graph.node[1].op_type = "Sigmoid"
    with pytest.raises(model_files.UnsupportedModel):
        read_layers(other.SerializeToString())
    del other.graph.node[:]
    with pytest.raises(model_files.UnsupportedModel):
        read_layers(other.SerializeToString())
