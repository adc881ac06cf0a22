"""Say in NumPy what the networks compute: the specification, which the kernels follow to the bit.

    convolution   sums[y, x, n] = sum of u8 * s8 over rows, columns and inputs, exactly
    epilogue      byte = clamp(trunc(max(fma(sum, scale, bias), ...)), 0, 255), in float32

Maps are (height, width, channels). Around a map lies a border of one pixel of its channels' zero points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats, Pixels
from mien.engine.networks.sface_layers import PIXEL_ZERO_POINT, QuantizedSFace
from mien.engine.networks.yunet_layers import PIXELS, Pool, QuantizedHead, QuantizedLayer, QuantizedSum

Number = TypeVar("Number", np.uint8, np.float32)
Sums = NDArray[np.float64]
"""Integers, which float64 adds exactly up to 2**53, and several times quicker than NumPy adds integers."""


def fma(left: Floats, right: Floats, addend: Floats) -> Floats:
    """Compute left * right + addend in float32, rounded once.

    In float64 the product is exact. Its sum is rounded to odd, so that rounding it again gives what rounding once gives
    (Boldo, Melquiond: Emulation of FMA and Correctly Rounded Sums, IEEE TC 2008).
    """
    product, addend = np.multiply(left, right, dtype=np.float64), np.asarray(addend, np.float64)
    total = product + addend
    rounded = total - product
    error = (product - (total - rounded)) + (addend - rounded)
    is_even = total.view(np.int64) & 1 == 0
    odd = np.nextafter(total, np.copysign(np.inf, error))
    return np.where((error != 0) & is_even, odd, total).astype(np.float32)


def convolve(source: Pixels, weights: NDArray[np.int8], border: NDArray[np.uint8], stride: int = 1) -> Sums:
    """Convolve a map with weights (n, k, side, side), or (n, 1, side, side) for each channel by itself.

    sums[y, x, n] = sum over row, column and k of
        padded[stride * y + row, stride * x + column, k] * weights[n, k, row, column]
    """
    side = weights.shape[2]
    padded = pad(source, border) if side > 1 else source
    height, width = (length // stride for length in source.shape[:2])
    sums = np.zeros((height, width, len(weights)))
    for row in range(side):
        for column in range(side):
            rows, columns = (slice(first, first + stride * n, stride) for first, n in ((row, height), (column, width)))
            seen = padded[rows, columns].astype(np.float64)
            kernel = weights[:, :, row, column].astype(np.float64)
            sums += seen * kernel[:, 0] if weights.shape[1] == 1 else seen @ kernel.T
    return sums


def pad(source: NDArray[Number], border: NDArray[Number]) -> NDArray[Number]:
    """Surround a map with one pixel of `border`, (channels,)."""
    height, width, _ = source.shape
    padded = np.tile(border.astype(source.dtype), (height + 2, width + 2, 1))
    padded[1:-1, 1:-1] = source
    return padded


def requantize(sums: Sums, epilogue: Floats) -> Pixels:
    """Turn sums to bytes by an epilogue (2 * pairs, n): scale and bias in turn; the larger result counts."""
    values = sums.astype(np.float32)
    pairs = zip(epilogue[::2], epilogue[1::2], strict=True)
    return to_bytes(np.maximum.reduce([fma(values, scale, bias) for scale, bias in pairs]))


def to_bytes(values: Floats) -> Pixels:
    return np.clip(np.trunc(values), 0, 255).astype(np.uint8)


def linear(values: Pixels, weights: NDArray[np.int8], epilogue: Floats) -> Floats:
    """Multiply bytes (k,) with weights (n, k); epilogue (2, n)."""
    sums = weights.astype(np.float64) @ values.astype(np.float64)
    return fma(sums.astype(np.float32), epilogue[0], epilogue[1])


def sface(network: QuantizedSFace, face: Pixels) -> Floats:
    """Embed an aligned face (112, 112, 3); returns (128,), not normalised."""
    values, border = face, PIXEL_ZERO_POINT
    for layer in network.convolutions:
        values = requantize(convolve(values, layer.weights, border, layer.stride), layer.epilogue)
        border = layer.zero_point
    return linear(values.reshape(-1), network.linear.weights, network.linear.epilogue)


def max_pool(source: Pixels) -> Pixels:
    """Take the largest of 2x2 neighbours."""
    largest: Pixels = np.maximum.reduce([source[y::2, x::2] for y in (0, 1) for x in (0, 1)])
    return largest


def upsample_add(source: Pixels, half: Pixels, epilogue: Floats) -> Pixels:
    """Add a map of half the size, enlarged; epilogue (3, n): the factors of both, and a bias."""
    scale, half_scale, bias = epilogue
    enlarged = half.repeat(2, axis=0).repeat(2, axis=1)
    return to_bytes(fma(enlarged.astype(np.float32), half_scale, fma(source.astype(np.float32), scale, bias)))


def head(
    source: Pixels, pointwise: NDArray[np.int8], epilogue: Floats, depthwise: Floats, depthwise_bias: Floats
) -> Floats:
    """Compute the floats (cells, 16) of a head: a pointwise layer with weights of two bytes, and a depthwise one."""
    high_scale, low_scale, bias = epilogue
    zero = np.zeros(source.shape[2], np.uint8)
    high, low = (convolve(source, part[:, :, None, None], zero).astype(np.float32) for part in pointwise)
    mixed = pad(fma(high, high_scale, fma(low, low_scale, bias)), np.zeros(len(bias), np.float32))
    height, width = source.shape[:2]
    values = np.tile(depthwise_bias, (height, width, 1))
    for y in range(3):
        for x in range(3):
            values = fma(mixed[y : y + height, x : x + width], depthwise[3 * y + x], values)
    return values.reshape(-1, len(bias))


def yunet(layers: Sequence[QuantizedLayer], canvas: Pixels) -> Floats:
    """Compute the table (cells, 16) of a canvas (height, width, 3), RGB."""
    maps, borders, tables = {PIXELS: canvas}, {PIXELS: np.zeros(3, np.uint8)}, []
    for layer in layers:
        if isinstance(layer, Pool):
            maps[layer.target] = max_pool(maps[layer.source])
        elif isinstance(layer, QuantizedSum):
            source, half = (maps[name] for name in layer.layer.sources)
            maps[layer.layer.target] = upsample_add(source, half, layer.epilogue)
        elif isinstance(layer, QuantizedHead):
            source = maps[layer.layer.sources[0]]
            tables.append(head(source, layer.pointwise, layer.epilogue, layer.depthwise, layer.depthwise_bias))
        else:
            target, source_name = layer.layer.target, layer.layer.source
            border = borders.get(source_name, np.zeros(maps[source_name].shape[2], np.uint8))
            sums = convolve(maps[source_name], layer.weights, border, layer.stride)
            maps[target], borders[target] = requantize(sums, layer.epilogue), layer.zero_point
    return np.concatenate(tables)
