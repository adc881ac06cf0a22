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

from mien.engine.arrays import Floats
from mien.engine.octets.quantize import HALF, Steps, steps, weighed
from mien.engine.sface.layers import Layer, Layers

# How many deviations to both sides the bytes after each convolution reach. The deeper, the longer are the tails: found
# by descent on the cosine to fp32, with every sixth face of lfw_dev.
REACH = (5, 5, 6, 6, 6, 7, 9, 13, 6, 11, 8, 11, 8, 12, 8, 12, 8, 13, 10, 13, 10, 11, 10, 11, 9, 12, 13)


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
    each = zip(convolutions, reach, before_depthwise, strict=True)
    between = [pixels, *(_steps(layer, far, whole_zero=whole) for layer, far, whole in each)]
    counted = tuple(_counted(layer, *pair) for layer, pair in zip(convolutions, pairwise(between), strict=True))
    return CountedLayers(counted, _last(layers, between[-1]))


def _steps(layer: Layer, reach: float, *, whole_zero: bool) -> Steps:
    """Steps for a layer's values after PReLU. With `whole_zero` a byte is nought exactly: the border needs one."""
    ends = layer.middle + np.array([[-reach], [reach], [0]], np.float32) * layer.deviation
    ends = np.where(ends < 0, layer.slope * ends, ends)
    low, high = ends.min(axis=0), ends.max(axis=0)
    turned = layer.slope > 1  # then PReLU is the smaller one of two lines, and its negative the larger one
    found = steps(np.where(turned, -high, low), np.where(turned, -low, high), whole_zero=whole_zero)
    return Steps(np.where(turned, -found.step, found.step), found.zero)


def _counted(layer: Layer, before: Steps, after: Steps) -> Counted:
    sums = weighed(layer.weights, before)
    scale = sums.scale * layer.scale
    line = np.stack([scale, layer.shift - scale * sums.nought]) / after.step
    lines = np.concatenate([line, layer.slope * line])
    lines[1::2] += after.zero + HALF
    return Counted(sums.weights, layer.stride, lines.astype(np.float32), np.rint(after.zero).astype(np.uint8))


def _last(layers: Layers, before: Steps) -> CountedLast:
    rows = layers.last.reshape(len(layers.last), -1, len(before.step)).swapaxes(1, 2)
    sums = weighed(rows[..., None], before)
    lines = np.stack([sums.scale, layers.last_shift - sums.scale * sums.nought])
    return CountedLast(sums.weights.swapaxes(1, 2).reshape(layers.last.shape), lines.astype(np.float32))
