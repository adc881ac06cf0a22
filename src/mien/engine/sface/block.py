"""A depthwise layer and the pointwise one after it: what lies between them stays in the core's nearest memory."""

from __future__ import annotations

from functools import partial

from mien.engine.octets.depthwise import depthwise
from mien.engine.octets.pointwise import pointwise
from mien.native.compiler import Kernel
from mien.native.emit import I8, I64, POINTER, VOID, Builder, Value, loop, place

TILE = 7
"""All of SFace's maps are a multiple of seven pixels wide."""
COLUMNS = 2
LINES = 4

POINTWISE = pointwise(TILE, COLUMNS, LINES)
DEPTHWISE = {(stride, channels): depthwise(stride, channels, LINES) for stride in (1, 2) for channels in (32, 64)}
"""By stride, and how many channels are computed at once."""


def _block(stride: int, layer: Kernel, b: Builder, *arguments: Value) -> None:
    source, row, inputs, side, rows, weights, lines, between, next_weights, outputs, next_lines, target, step = (
        arguments
    )
    with loop(b, I64(0), b.udiv(side, rows)) as part:
        y = b.mul(part, rows)
        above = place(b, source, I8, b.mul(b.mul(y, I64(stride)), row))
        b.call(b.module.get_global(layer.name), [above, row, inputs, side, rows, weights, lines, between])
        below = place(b, target, I8, b.mul(y, step))
        taken = [between, inputs, side, rows, next_weights, outputs, next_lines, below, step]
        b.call(b.module.get_global(POINTWISE.name), taken)
    b.ret_void()


_TAKES = (POINTER, *[I64] * 4, *[POINTER] * 4, I64, POINTER, POINTER, I64)
BLOCKS = {
    (stride, channels): Kernel(f"block_{stride}_{channels}", VOID, _TAKES, partial(_block, stride, layer))
    for (stride, channels), layer in DEPTHWISE.items()
}
"""The map, one pixel above and left of the first, the bytes of a row, channels; the side of what comes out, how many
rows at once, a divisor; weights, lines, room between the layers; the next weights, channels that come out, lines; the
first pixel of the next map, the bytes of one of its rows."""
