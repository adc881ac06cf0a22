"""Quantise weights per channel, and choose scales and zero points of activations.

Activations are u8, weights s8. Where AVX2 adds the products of several weights in 16 bits (see
`kernels.instruction_sets`), these weights are kept small enough together: that takes up to a bit of the largest ones,
and nothing measurable of SFace's accuracy. The weights of YuNet's pointwise layers are not bounded, which makes its
landmarks more exact; these kernels add in 32 bits. Every processor computes the same sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats
from mien.kernels.convolutions import COLOURS, QUAD, QUADS_AT_ONCE, SIDE
from mien.kernels.instruction_sets import MAX_WEIGHT_SUM

QMAX = 255
LARGEST_WEIGHT = 127
ROUNDING_BIAS = np.float32(0.5)
"""Added to the bias of an epilogue, so that truncation rounds to the nearest integer."""
_TINY = 1e-12

Groups = NDArray[np.intp]
"""Places in a channel's flattened weights (sets, n) that are added in 16 bits together; its last place is no weight."""


@dataclass(frozen=True, slots=True)
class QuantParams:
    """Affine quantisation of n channels: q = value / scale + zero_point. A scale may be negative."""

    scale: Floats
    zero_point: Floats


@dataclass(frozen=True, slots=True)
class QuantizedWeights:
    """A convolution's weights (n, k, height, width) for quantised activations.

    The sum of products by the values is, but for rounding, `scale` * (that by the bytes - `zero_sum`), (n,) each.
    """

    weights: NDArray[np.int8]
    scale: Floats
    zero_sum: Floats


def choose_qparams(low: Floats, high: Floats, *, integral_zero_point: bool) -> QuantParams:
    """Choose parameters for values between `low` and `high`, (n,), and zero; the zero point is an integer if asked."""
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = np.maximum(high - low, _TINY) / QMAX
    zero_point = -low / scale
    return QuantParams(scale, np.rint(zero_point) if integral_zero_point else zero_point)


def quantize_weights(weights: Floats, source: QuantParams, groups: Groups) -> QuantizedWeights:
    """Quantise weights (n, k, height, width).

    Args:
        weights: of a convolution of activations with `source`.
        source: of each of the k channels, or of n if the convolution is depthwise.
        groups: which weights are added in 16 bits together.
    """
    by_channel = (1, -1, 1, 1) if weights.shape[1] == len(source.scale) else (-1, 1, 1, 1)
    integers, scale = quantize_per_channel(weights * source.scale.reshape(by_channel), groups)
    zero_sum = (integers * source.zero_point.reshape(by_channel)).sum(axis=(1, 2, 3), dtype=np.float64)
    return QuantizedWeights(integers.astype(np.int8), scale, zero_sum)


def quantize_per_channel(weights: Floats, groups: Groups) -> tuple[Floats, Floats]:
    """Return integers (n, ...) and a scale for each of the n."""
    rows = weights.reshape(len(weights), -1)
    # Rounding changes a weight by less than one, so the sum of a group, an integer, stays below limit + size.
    limit = min(MAX_WEIGHT_SUM + 1 - groups.shape[1], LARGEST_WEIGHT)
    scale = np.maximum(largest_sums(rows, groups), _TINY) / limit
    return round_with_error_compensation(rows / scale[:, None]).reshape(weights.shape), scale


def largest_sums(rows: Floats, groups: Groups) -> Floats:
    """Return the largest sum of positive weights, or of negative ones without the sign, of a group: (n,)."""
    members = np.pad(rows, ((0, 0), (0, 1)))[:, groups]
    sums: Floats = np.maximum(np.maximum(members, 0).sum(2), np.maximum(-members, 0).sum(2)).max(1)
    return sums


def round_with_error_compensation(rows: Floats) -> Floats:
    """Round each row to integers so that its errors add up to a half at most.

    Pixels are like their neighbours, so errors of one sign would add up, too.
    """
    integers = np.rint(rows)
    error = integers - rows
    surplus = np.rint(error.sum(axis=1, keepdims=True))
    rank = np.argsort(np.argsort(-error * np.sign(surplus), axis=1), axis=1)
    result: Floats = integers - np.sign(surplus) * (rank < np.abs(surplus))
    return result


def single_groups(size: int) -> Groups:
    """Put each of so many weights into a group of its own, for kernels that take any weights: (size, 1)."""
    return np.arange(size).reshape(-1, 1)


def pointwise_groups(inputs: int) -> Groups:
    """Group the weights of `inputs` channels, as pointwise and linear kernels add them: (inputs / 4, 4)."""
    places = np.arange(inputs).reshape(-1, QUADS_AT_ONCE, QUAD // 2, 2)
    return places.swapaxes(1, 2).reshape(-1, 2 * QUADS_AT_ONCE)


def depthwise_groups() -> Groups:
    """Group the nine weights of a channel (3, 3) as the depthwise kernel adds them: two of a row."""
    return np.pad(np.arange(SIDE * SIDE).reshape(SIDE, SIDE), ((0, 0), (0, 1)), constant_values=-1).reshape(-1, 2)


def stem_groups() -> Groups:
    """Group the weights of a channel (3, 3, 3) as the stem adds them: two colours of a row that are neighbours."""
    places = np.arange(COLOURS * SIDE * SIDE).reshape(COLOURS, SIDE, SIDE).transpose(1, 2, 0).reshape(SIDE, -1)
    return np.pad(places, ((0, 0), (0, 1)), constant_values=-1).reshape(-1, 2)
