"""Quantise weights per channel, choose scales and zero points, and pack weights in the order of the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats
from mien.engine.int8.convolutions import COLOURS, QUARTERS, SIDE, STEPS
from mien.engine.int8.vnni import FOUR, WIDE

LARGEST = 255
HALF = np.float32(0.5)
"""In the height of a line, so that what is behind the point may be left off."""
_LARGEST_WEIGHT = 127
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Steps:
    """How each of n channels is counted: its byte is value / step + zero. A step may be negative."""

    step: Floats
    zero: Floats


@dataclass(frozen=True, slots=True)
class Weighed:
    """A convolution's weights (n, k, height, width) for bytes that are counted in steps.

    The sum of products by the values is, but for rounding, `scale` * (that by the bytes - `nought`), (n,) each.
    """

    weights: NDArray[np.int8]
    scale: Floats
    nought: Floats


def steps(low: Floats, high: Floats, *, whole_zero: bool) -> Steps:
    """Steps for values between `low` and `high`, (n,), and nought. With `whole_zero` a byte is nought exactly."""
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    step = np.maximum(high - low, _TINY) / LARGEST
    zero = -low / step
    return Steps(step, np.rint(zero) if whole_zero else zero)


def weighed(weights: Floats, before: Steps) -> Weighed:
    """Weights (n, k, height, width) for bytes in steps of each of their k channels, or of n, if they are depthwise."""
    by_channel = (1, -1, 1, 1) if weights.shape[1] == len(before.step) else (-1, 1, 1, 1)
    whole, scale = whole_numbers(weights * before.step.reshape(by_channel))
    nought = (whole * before.zero.reshape(by_channel)).sum(axis=(1, 2, 3), dtype=np.float64)
    return Weighed(whole.astype(np.int8), scale, nought)


def whole_numbers(kernels: Floats) -> tuple[Floats, Floats]:
    """Whole numbers (n, ...) and a scale for each of the n."""
    rows = kernels.reshape(len(kernels), -1)
    scale = np.maximum(np.abs(rows).max(axis=1), _TINY) / _LARGEST_WEIGHT
    return cancelling(rows / scale[:, None]).reshape(kernels.shape), scale


def cancelling(kernels: Floats) -> Floats:
    """Each row rounded to whole numbers so that its errors add up to a half at most.

    Pixels are like their neighbours, so errors of one sign would add up, too.
    """
    whole = np.rint(kernels)
    error = whole - kernels
    surplus = np.rint(error.sum(axis=1, keepdims=True))
    rank = np.argsort(np.argsort(-error * np.sign(surplus), axis=1), axis=1)
    result: Floats = whole - np.sign(surplus) * (rank < np.abs(surplus))
    return result


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
