"""Layers in whole numbers go in, their weights in the order in which the kernels read them come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engine.sface.counted import Counted, CountedLast, CountedLayers
from mien.engine.sface.depthwise import DEPTHWISE, QUARTERS
from mien.engine.sface.ends import COLOURS, DIMENSIONS, LAST_COLUMNS, OUTPUTS, STEPS
from mien.engine.sface.pointwise import COLUMNS, LINES, PANEL, TILE
from mien.engine.sface.words import FOUR, WIDE
from mien.engine.weights import OtherLayers

Arrays = dict[str, NDArray[Any]]
Whole = NDArray[np.int8]

LAYOUT = "bytes-1"
"""Names all that decides the arrays beside the model: other files are not read."""
SIDE = 112
_PARTS = 4
"""Of 128 bits, in the widest vector."""


def packed(layers: CountedLayers) -> Arrays:
    """All weights and lines by name. Raises OtherLayers for a network of other sizes than SFace's."""
    first, *others = layers.convolutions
    blocks = list(zip(others[::2], others[1::2], strict=False))
    if not _fits(first, others, layers.last):
        raise OtherLayers("the model's layers have other sizes than SFace's")
    arrays = {"first": _of_pixels(first.weights), "first_lines": _panels(first.lines), "zero_0": first.zero}
    for number, (depthwise, pointwise) in enumerate(blocks):
        channels = together(len(depthwise.weights))
        arrays |= {
            f"depthwise_{number}": _of_neighbours(depthwise.weights, channels),
            f"depthwise_lines_{number}": _quartered_lines(depthwise.lines, channels),
            f"pointwise_{number}": _of_channels(pointwise.weights[:, :, 0, 0]),
            f"pointwise_lines_{number}": _panels(pointwise.lines),
            f"zero_{number + 1}": pointwise.zero,
        }
    arrays |= {
        "strides": np.array([depthwise.stride for depthwise, _ in blocks]),
        "last": _of_map(layers.last.weights),
        "last_lines": layers.last.lines,
    }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def together(channels: int) -> int:
    """How many of a depthwise layer's channels are computed at a time."""
    return min(channels, max(at_once for _, at_once in DEPTHWISE))


def _fits(first: Counted, others: Sequence[Counted], last: CountedLast) -> bool:
    side, channels = SIDE, OUTPUTS
    fits = first.weights.shape == (OUTPUTS, COLOURS, 3, 3) and first.stride == 1 and len(others) % 2 == 0
    for depthwise, pointwise in zip(others[::2], others[1::2], strict=False):
        side //= depthwise.stride
        fits &= depthwise.weights.shape == (channels, 1, 3, 3) and side % TILE == 0
        fits &= (depthwise.stride, together(channels)) in DEPTHWISE and channels % together(channels) == 0
        fits &= pointwise.weights.shape[1:] == (channels, 1, 1) and pointwise.stride == 1
        channels = len(pointwise.weights)
        fits &= channels % PANEL == 0
    return fits and last.weights.shape == (DIMENSIONS, side * side * channels)


def _of_pixels(weights: Whole) -> Whole:
    """(n, 3, 3, 3) as (step, column, lane, 4): a step is four bytes of a row of colours, or nothing behind its end."""
    rows = np.zeros((len(weights), 3, STEPS * FOUR), np.int8)
    rows[:, :, : 3 * COLOURS] = weights.transpose(0, 2, 3, 1).reshape(len(weights), 3, -1)
    return _of_channels(rows.reshape(len(weights), -1))


def _of_neighbours(weights: Whole, channels: int) -> Whole:
    """(n, 1, 3, 3) as (chunk, row, quarter, lane, 4): three neighbours, then nothing."""
    fours = np.pad(weights[:, 0], ((0, 0), (0, 0), (0, 1)))
    chunks = fours.reshape(-1, channels, 3, FOUR)
    return chunks[:, _quarters(channels)].transpose(0, 3, 1, 2, 4)


def _quartered_lines(lines: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """(4, n) as (chunk, line, quarter, lane)."""
    return lines.reshape(LINES, -1, channels)[:, :, _quarters(channels)].swapaxes(0, 1)


def _quarters(channels: int) -> NDArray[np.intp]:
    """Which channel a lane of each of the four vectors has that `depthwise` sums up: (4, lanes)."""
    return np.arange(channels).reshape(-1, QUARTERS, 4).transpose(1, 0, 2).reshape(QUARTERS, -1)


def _of_channels(weights: Whole) -> Whole:
    """(n, k) as (panel, k / 4, column, lane, 4)."""
    fours = weights.reshape(len(weights) // PANEL, PANEL, -1, FOUR)
    return fours[:, _columns()].transpose(0, 3, 1, 2, 4)


def _panels(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, n) as (panel, line, column, lane)."""
    return lines.reshape(LINES, -1, PANEL)[:, :, _columns()].swapaxes(0, 1)


def _columns() -> NDArray[np.intp]:
    """Which channel of a panel each lane has, so that packing words puts them in order: (columns, lanes)."""
    return np.arange(PANEL).reshape(_PARTS, COLUMNS, -1).swapaxes(0, 1).reshape(COLUMNS, WIDE)


def _of_map(weights: Whole) -> Whole:
    """(128, k) as (panel, k / 4, column, lane, 4)."""
    fours = weights.reshape(-1, LAST_COLUMNS, WIDE, weights.shape[1] // FOUR, FOUR)
    return fours.transpose(0, 3, 1, 2, 4)
