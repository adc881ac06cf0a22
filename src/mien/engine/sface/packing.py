"""SFace's layers in whole numbers go in, arrays as its kernels read them come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engine.octets.first import COLOURS
from mien.engine.octets.packing import Whole, chunks, of_channels, of_neighbours, of_pixels, panels
from mien.engine.octets.words import FOUR, WIDE
from mien.engine.sface.block import COLUMNS, DEPTHWISE, TILE
from mien.engine.sface.counted import Counted, CountedLast, CountedLayers
from mien.engine.sface.last import COLUMNS as LAST_COLUMNS
from mien.engine.sface.last import DIMENSIONS
from mien.engine.weights import OtherLayers

Arrays = dict[str, NDArray[Any]]

LAYOUT = "bytes-1"
"""Names all that decides the arrays beside the model: other files are not read."""
SIDE = 112
PANEL = COLUMNS * WIDE


def packed(layers: CountedLayers) -> Arrays:
    """All weights and lines by name. Raises OtherLayers for a network of other sizes than SFace's."""
    first, *others = layers.convolutions
    if not _fits(first, others, layers.last):
        raise OtherLayers("the model's layers have other sizes than SFace's")
    arrays = {
        "first": of_pixels(first.weights, COLUMNS),
        "first_lines": panels(first.lines, COLUMNS),
        "zero_0": first.zero,
        "strides": np.array([depthwise.stride for depthwise in others[::2]]),
        "last": _of_map(layers.last.weights),
        "last_lines": layers.last.lines,
    }
    for number, (depthwise, pointwise) in enumerate(zip(others[::2], others[1::2], strict=True)):
        channels = together(len(depthwise.weights))
        arrays |= {
            f"depthwise_{number}": of_neighbours(depthwise.weights, channels),
            f"depthwise_lines_{number}": chunks(depthwise.lines, channels),
            f"pointwise_{number}": of_channels(pointwise.weights[:, :, 0, 0], COLUMNS),
            f"pointwise_lines_{number}": panels(pointwise.lines, COLUMNS),
            f"zero_{number + 1}": pointwise.zero,
        }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def together(channels: int) -> int:
    """How many of a depthwise layer's channels are computed at a time."""
    return min(channels, max(at_once for _, at_once in DEPTHWISE))


def _fits(first: Counted, others: Sequence[Counted], last: CountedLast) -> bool:
    side, channels = SIDE, PANEL
    fits = first.weights.shape == (PANEL, COLOURS, 3, 3) and first.stride == 1 and len(others) % 2 == 0
    for depthwise, pointwise in zip(others[::2], others[1::2], strict=False):
        side //= depthwise.stride
        fits &= depthwise.weights.shape == (channels, 1, 3, 3) and side % TILE == 0
        fits &= (depthwise.stride, together(channels)) in DEPTHWISE and channels % together(channels) == 0
        fits &= pointwise.weights.shape[1:] == (channels, 1, 1) and pointwise.stride == 1
        channels = len(pointwise.weights)
        fits &= channels % PANEL == 0
    return fits and last.weights.shape == (DIMENSIONS, side * side * channels)


def _of_map(weights: Whole) -> Whole:
    """(128, k) as (panel, k / 4, column, lane, 4)."""
    fours = weights.reshape(-1, LAST_COLUMNS, WIDE, weights.shape[1] // FOUR, FOUR)
    return fours.transpose(0, 3, 1, 2, 4)
