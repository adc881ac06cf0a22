"""Weights in whole numbers, and lines, go in; they come out in the order in which the kernels read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.engine.arrays import Floats
from mien.engine.octets.depthwise import QUARTERS
from mien.engine.octets.first import COLOURS, SIDE, STEPS
from mien.engine.octets.words import FOUR, WIDE

Whole = NDArray[np.int8]

_PARTS = 4
"""Of 128 bits, in the widest vector."""


def of_pixels(weights: Whole, columns: int) -> Whole:
    """For `first`: (n, 3, 3, 3) as (step, column, lane, 4); a step is four bytes of a row of colours, or nothing."""
    rows = np.zeros((len(weights), SIDE, STEPS * FOUR), np.int8)
    rows[:, :, : SIDE * COLOURS] = weights.transpose(0, 2, 3, 1).reshape(len(weights), SIDE, -1)
    return of_channels(rows.reshape(len(weights), -1), columns)


def of_channels(weights: Whole, columns: int) -> Whole:
    """For `pointwise`: (n, k) as (panel, k / 4, column, lane, 4)."""
    fours = weights.reshape(-1, columns * WIDE, weights.shape[1] // FOUR, FOUR)
    return fours[:, _columns(columns)].transpose(0, 3, 1, 2, 4)


def panels(lines: Floats, columns: int) -> Floats:
    """For both: lines (m, n) as (panel, number, column, lane)."""
    return lines.reshape(len(lines), -1, columns * WIDE)[:, :, _columns(columns)].swapaxes(0, 1)


def of_neighbours(weights: Whole, channels: int) -> Whole:
    """For `depthwise`: (n, 1, 3, 3) as (chunk, row, quarter, lane, 4): three neighbours, then nothing."""
    fours = np.pad(weights[:, 0], ((0, 0), (0, 0), (0, FOUR - SIDE)))
    return fours.reshape(-1, channels, SIDE, FOUR)[:, _quarters(channels)].transpose(0, 3, 1, 2, 4)


def chunks(lines: Floats, channels: int) -> Floats:
    """For `depthwise`: lines (m, n) as (chunk, number, quarter, lane)."""
    return lines.reshape(len(lines), -1, channels)[:, :, _quarters(channels)].swapaxes(0, 1)


def _columns(columns: int) -> NDArray[np.intp]:
    """Which channel of a panel each lane has, so that packing words puts them in order: (columns, lanes)."""
    parts = _PARTS if columns > 1 else 1
    return np.arange(columns * WIDE).reshape(parts, columns, -1).swapaxes(0, 1).reshape(columns, WIDE)


def _quarters(channels: int) -> NDArray[np.intp]:
    """Which channel a lane of each of the four vectors has that `depthwise` sums up: (4, lanes)."""
    return np.arange(channels).reshape(-1, QUARTERS, 4).transpose(1, 0, 2).reshape(QUARTERS, -1)
