"""Lay out weights and epilogues as the kernels of `mien.kernels.convolutions` read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats
from mien.kernels.convolutions import COLOURS, LINEAR_PANEL, QUAD, SIDE, STEM_QUADS

Weights = NDArray[np.int8]

_QUARTERS = 4


def pack_stem(weights: Weights) -> Weights:
    """For `stem`: (n, 3, 3, 3) as (row, quad, n, 4)."""
    rows = np.zeros((len(weights), SIDE, STEM_QUADS * QUAD), np.int8)
    rows[:, :, : SIDE * COLOURS] = weights.transpose(0, 2, 3, 1).reshape(len(weights), SIDE, -1)
    return pack_pointwise(rows.reshape(len(weights), -1), len(weights))


def pack_pointwise(weights: Weights, panel: int) -> Weights:
    """For `pointwise`: (n, k) as (n / panel, k / 4, panel, 4)."""
    quads = weights.reshape(-1, panel, weights.shape[1] // QUAD, QUAD)
    return np.ascontiguousarray(quads.swapaxes(1, 2))


def pack_linear(weights: Weights) -> Weights:
    """For `linear`: (n, k) as (n / 64, k / 4, 64, 4)."""
    return pack_pointwise(weights, LINEAR_PANEL)


def pack_depthwise(weights: Weights, at_once: int) -> Weights:
    """For `depthwise`: (n, 1, 3, 3) as (n / at_once, row, quarter, lane, 4): three neighbours, then a zero."""
    quads = np.pad(weights[:, 0], ((0, 0), (0, 0), (0, QUAD - SIDE)))
    chunks = quads.reshape(-1, at_once, SIDE, QUAD)[:, _lanes_of_quarters(at_once)]
    return np.ascontiguousarray(chunks.transpose(0, 3, 1, 2, 4))


def repeated_for_pixels(weights: Weights, epilogue: Floats, pixels: int) -> tuple[Weights, Floats]:
    """For `depthwise_narrow`, before the weights (n, 1, 3, 3) and the epilogue (m, n) are packed."""
    return np.tile(weights, (pixels, 1, 1, 1)), np.tile(epilogue, (1, pixels))


def pack_epilogue(epilogue: Floats, panel: int) -> Floats:
    """For `stem` and `pointwise`: (m, n) as (n / panel, m, panel)."""
    return np.ascontiguousarray(epilogue.reshape(len(epilogue), -1, panel).swapaxes(0, 1), np.float32)


def pack_depthwise_epilogue(epilogue: Floats, at_once: int) -> Floats:
    """For `depthwise`: (m, n) as (n / at_once, m, quarter, lane)."""
    chunks = epilogue.reshape(len(epilogue), -1, at_once)[:, :, _lanes_of_quarters(at_once)]
    return np.ascontiguousarray(chunks.swapaxes(0, 1), np.float32)


def _lanes_of_quarters(channels: int) -> NDArray[np.intp]:
    """Which channel a lane of each of the four vectors has in which the kernel adds: (4, lanes)."""
    return np.arange(channels).reshape(-1, _QUARTERS, 4).transpose(1, 0, 2).reshape(_QUARTERS, -1)
