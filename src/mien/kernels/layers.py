"""Compute the layers of a detector other than convolutions: borders, pooling, upsampling with addition, and heads.

Maps lie in memory as in `convolutions`. Sixteen channels are computed at once.
"""

from __future__ import annotations

from mien.kernels.code import Code
from mien.kernels.convolutions import (
    CHANNELS,
    HEIGHT,
    INPUTS,
    QUAD,
    SIDE,
    SOURCE_ROW,
    TARGET_ROW,
    WIDTH,
    matrix_product,
    tiles,
)
from mien.kernels.expressions import Pointer, Value
from mien.kernels.signatures import Array, Kernel, Size
from mien.kernels.types import F32, S8, S32, U8

CELL = 16
"""Floats of a head for each cell of its grid."""
HEAD_BASE = 128
"""Weights of a head are high * HEAD_BASE + low: one byte would not be enough, since the result depends on them
directly."""
_AT_ONCE = 16
_BOTH = (0, 1)


def _pad(code: Code, *, height: Value, width: Value, channels: Value, zero: Pointer, target: Pointer) -> None:
    row = (width + 2) * channels
    for channel in code.range(0, channels, _AT_ONCE):
        value = zero.load(channel, _AT_ONCE)
        for x in code.range(width + 2):
            target.store(value, x * channels + channel)
            target.store(value, (height + 1) * row + x * channels + channel)
        for y in code.range(1, height + 1):
            target.store(value, y * row + channel)
            target.store(value, y * row + (width + 1) * channels + channel)


PAD = Kernel(
    "pad",
    (
        *(HEIGHT, WIDTH, CHANNELS),
        Array("zero", U8, extent=CHANNELS),
        Array("target", U8, extent=(HEIGHT + 2) * (WIDTH + 2) * CHANNELS, written=True),
    ),
    _pad,
)
"""Fill the border of one pixel around a map of height x width with each channel's zero point."""


def _max_pool(code: Code, *, height: Value, width: Value, channels: Value, source: Pointer, target: Pointer) -> None:
    for y in code.range(height):
        for x in code.range(width):
            for channel in code.range(0, channels, _AT_ONCE):
                corners = [
                    source.load(((2 * y + down) * (2 * width) + 2 * x + right) * channels + channel, _AT_ONCE)
                    for down in _BOTH
                    for right in _BOTH
                ]
                largest = corners[0].max(corners[1]).max(corners[2]).max(corners[3])
                target.store(largest, (y * width + x) * channels + channel)


MAX_POOL = Kernel(
    "max_pool",
    (
        *(HEIGHT, WIDTH, CHANNELS),
        Array("source", U8, extent=HEIGHT * WIDTH * CHANNELS * 4),
        Array("target", U8, extent=HEIGHT * WIDTH * CHANNELS, written=True),
    ),
    _max_pool,
)
"""The largest of 2x2 neighbours, to a map of height x width."""


def _upsample_add(
    code: Code,
    *,
    height: Value,
    width: Value,
    channels: Value,
    source: Pointer,
    half: Pointer,
    epilogue: Pointer,
    target: Pointer,
) -> None:
    for channel in code.range(0, channels, _AT_ONCE):
        scale, half_scale, bias = (epilogue.load(channels * number + channel, _AT_ONCE) for number in range(3))
        for y in code.range(height):
            for x in code.range(width):
                here = (y * width + x) * channels + channel
                there = (y // 2 * (width // 2) + x // 2) * channels + channel
                value = code.fma(source.load(here, _AT_ONCE).to(F32), scale, bias)
                value = code.fma(half.load(there, _AT_ONCE).to(F32), half_scale, value)
                target.store(value.to(S32).max(0).min(255).to(U8), here)


UPSAMPLE_ADD = Kernel(
    "upsample_add",
    (
        *(Size("height", multiple_of=2), Size("width", multiple_of=2), CHANNELS),
        Array("source", U8, extent=HEIGHT * WIDTH * CHANNELS),
        Array("half", U8, extent=HEIGHT * WIDTH * CHANNELS // 4),
        Array("epilogue", F32, extent=CHANNELS * 3),
        Array("target", U8, extent=HEIGHT * WIDTH * CHANNELS, written=True),
    ),
    _upsample_add,
)
"""A map, plus one of half its size enlarged to it. The epilogue has the factors of both and a bias (3, channels)."""


def _head_pointwise(
    code: Code,
    *,
    height: Value,
    width: Value,
    inputs: Value,
    target_row: Value,
    source: Pointer,
    weights: Pointer,
    epilogue: Pointer,
    target: Pointer,
) -> None:
    lanes = code.isa.lanes
    for column in range(0, CELL, lanes):
        high_scale, low_scale, bias = (epilogue.load(CELL * number + column, lanes) for number in range(3))
        for y in code.range(height):
            for x, pixels in tiles(code, width):
                rows = [source + (y * width + x + pixel) * inputs for pixel in pixels]
                high, low = (
                    matrix_product(code, rows, weights + (inputs * at + column * QUAD), inputs, CELL, lanes, 1)
                    for at in (0, CELL)
                )
                for pixel, [of_high], [of_low] in zip(pixels, high, low, strict=True):
                    value = code.fma(of_low.value.to(F32), low_scale, bias)
                    value = code.fma(of_high.value.to(F32), high_scale, value)
                    target.store(value, y * target_row + (x + pixel) * CELL + column)


HEAD_POINTWISE = Kernel(
    "head_pointwise",
    (
        *(HEIGHT, WIDTH, INPUTS, TARGET_ROW),
        Array("source", U8, extent=HEIGHT * WIDTH * INPUTS),
        Array("weights", S8, extent=INPUTS * (2 * CELL)),
        Array("epilogue", F32, extent=Size.number(3 * CELL)),
        Array("target", F32, extent=(HEIGHT - 1) * TARGET_ROW + WIDTH * CELL, written=True),
    ),
    _head_pointwise,
)
"""The first half of a head, 1x1 to floats. Weights are packed high, then low (2, inputs / 4, 16, 4); the epilogue has
the scales of both sums and a bias (3, 16); a row of the target is counted in floats."""


def _head_depthwise(
    code: Code,
    *,
    height: Value,
    width: Value,
    source_row: Value,
    source: Pointer,
    weights: Pointer,
    bias: Pointer,
    target: Pointer,
) -> None:
    lanes = code.isa.lanes
    for column in range(0, CELL, lanes):
        matrix = [weights.load(CELL * number + column, lanes) for number in range(SIDE * SIDE)]
        start = bias.load(column, lanes)
        for y in code.range(height):
            for x in code.range(width):
                value = start
                for number, weight in enumerate(matrix):
                    down, right = divmod(number, SIDE)
                    seen = source.load((y + down) * source_row + (x + right) * CELL + column, lanes)
                    value = code.fma(seen, weight, value)
                target.store(value, (y * width + x) * CELL + column)


HEAD_DEPTHWISE = Kernel(
    "head_depthwise",
    (
        *(HEIGHT, WIDTH, SOURCE_ROW),
        Array("source", F32, extent=(HEIGHT + 1) * SOURCE_ROW + (WIDTH + 2) * CELL),
        Array("weights", F32, extent=Size.number(SIDE * SIDE * CELL)),
        Array("bias", F32, extent=Size.number(CELL)),
        Array("target", F32, extent=HEIGHT * WIDTH * CELL, written=True),
    ),
    _head_depthwise,
)
"""The second half of a head, 3x3 for each of its 16 floats. The source has a border of one cell, above and left of
which it begins; its row is counted in floats; weights are (9, 16)."""
