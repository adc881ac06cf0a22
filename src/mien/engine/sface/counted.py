"""SFace's layers go in, the same in whole numbers come out: every value between two layers is counted in 256 steps.

No photo is needed for it: every convolution ends in a batch normalisation, whose beta and gamma are the mean and the
deviation of each channel. Each channel is counted in steps of its own, which PReLU lets through and the next weights
take back. Nagel et al.: Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mien.engine.sface.layers import Floats, Layer, Layers

# How many deviations to both sides the bytes after each convolution reach. The deeper, the longer are the tails: found
# by descent on the cosine to fp32, with every sixth face of lfw_dev.
REACH = (5, 5, 6, 6, 6, 7, 9, 13, 6, 11, 8, 11, 8, 12, 8, 12, 8, 13, 10, 13, 10, 11, 10, 11, 9, 12, 13)
LARGEST = 255
LARGEST_WEIGHT = 127
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Steps:
    """How each of n channels is counted: its byte is value / step + zero. A step may be negative."""

    step: Floats
    zero: Floats


@dataclass(frozen=True, slots=True)
class Counted:
    """A convolution from bytes to bytes: int8 weights (n, k, height, width), and what becomes of a sum of products.

    The byte is the larger one of two `lines` of the sum, between 0 and 255, without what is behind the point. Lines are
    (4, n): slope and height at nought of the one, then of the other.
    """

    weights: NDArray[np.int8]
    stride: int
    lines: Floats
    zero: NDArray[np.uint8]
    """The byte that is nought in each channel that comes out, or near it."""


@dataclass(frozen=True, slots=True)
class CountedLast:
    """The linear layer: int8 weights (128, k), and the scale and shift (2, 128) of a sum."""

    weights: NDArray[np.int8]
    lines: Floats


@dataclass(frozen=True, slots=True)
class CountedLayers:
    convolutions: tuple[Counted, ...]
    last: CountedLast


def count(layers: Layers, reach: Sequence[float] = REACH) -> CountedLayers:
    """Weights, and what lies between the layers, in whole numbers."""
    convolutions = layers.convolutions
    colours = convolutions[0].weights.shape[1]
    pixels = Steps(np.full(colours, layers.pixel_step, np.float32), np.full(colours, layers.pixel_zero, np.float32))
    before_depthwise = [after.depthwise for after in (*convolutions[1:], convolutions[0])]
    steps = [
        pixels,
        *(
            _steps(layer, far, whole_zero=whole)
            for layer, far, whole in zip(convolutions, reach, before_depthwise, strict=True)
        ),
    ]
    counted = tuple(_counted(layer, *pair) for layer, pair in zip(convolutions, pairwise(steps), strict=True))
    return CountedLayers(counted, _last(layers, steps[-1]))


def _steps(layer: Layer, reach: float, *, whole_zero: bool) -> Steps:
    """Steps for a layer's values after PReLU. With `whole_zero` a byte is nought exactly: the border needs one."""
    low, high = _range(layer, reach)
    turned = layer.slope > 1  # then PReLU is the smaller one of two lines, and its negative the larger one
    low, high = np.where(turned, -high, low), np.where(turned, -low, high)
    step = np.maximum(high - low, TINY) / LARGEST
    zero = -low / step
    return Steps(np.where(turned, -step, step), np.rint(zero) if whole_zero else zero)


def _range(layer: Layer, reach: float) -> tuple[Floats, Floats]:
    """The least and the largest value of each channel after PReLU, between which nought always lies."""
    ends = layer.middle + np.array([[-reach], [reach], [0]], np.float32) * layer.deviation
    ends[2] = 0
    ends = np.where(ends < 0, layer.slope * ends, ends)
    return ends.min(axis=0), ends.max(axis=0)


def _counted(layer: Layer, before: Steps, after: Steps) -> Counted:
    by_channel = (-1, 1, 1, 1) if layer.depthwise else (1, -1, 1, 1)
    whole, scale = _whole(layer.weights * before.step.reshape(by_channel))
    scale = scale * layer.scale
    shift = layer.shift - scale * (whole * before.zero.reshape(by_channel)).sum(axis=(1, 2, 3))
    line = np.stack([scale, shift]) / after.step
    lines = np.concatenate([line, layer.slope * line])
    lines[1::2] += after.zero + np.float32(0.5)
    return Counted(whole.astype(np.int8), layer.stride, lines.astype(np.float32), np.rint(after.zero).astype(np.uint8))


def _last(layers: Layers, before: Steps) -> CountedLast:
    rows = layers.last.reshape(len(layers.last), -1, len(before.step))
    whole, scale = _whole(rows * before.step)
    nought = np.einsum("npc,c->n", whole, before.zero, dtype=np.float64)
    lines = np.stack([scale, layers.last_shift - scale * nought])
    return CountedLast(whole.reshape(layers.last.shape).astype(np.int8), lines.astype(np.float32))


def _whole(kernels: Floats) -> tuple[Floats, Floats]:
    """Whole numbers (n, ...) and a scale for each of the n."""
    rows = kernels.reshape(len(kernels), -1)
    scale = np.maximum(np.abs(rows).max(axis=1), TINY) / LARGEST_WEIGHT
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
