"""Quantise YuNet's layers.

Without batch normalisation the model does not tell the range of its activations; `ranges.json` has the ranges that were
measured on photos (`python -m benchmarks.yunet_ranges`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats
from mien.engine.int8.convolutions import COLOURS
from mien.engine.int8.quantize import HALF, Steps, steps, weighed
from mien.engine.yunet.graph import PIXELS, Convolution, Head, Layer, Pool, Sum

Ranges = Mapping[str, tuple[Sequence[float], Sequence[float]]]

RANGES = "ranges.json"
LARGEST_OF_TWO = 127 * 256
"""The largest number of an upper and a lower byte whose upper one cannot overflow."""


@dataclass(frozen=True, slots=True)
class CountedConvolution:
    """int8 weights (n, k, height, width), and the line (2, n) that makes a byte of a sum.

    `zero` is the byte that is nought in each channel, (n,).
    """

    layer: Convolution
    weights: NDArray[np.int8]
    line: Floats
    zero: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CountedSum:
    """By what the bytes of both maps are multiplied, and what is added: (3, n)."""

    layer: Sum
    lines: Floats


@dataclass(frozen=True, slots=True)
class CountedHead:
    """A head, which makes floats: upper and lower bytes of whole weights, (2, 16, k), and their scale, (16,).

    A byte is not enough for them: the answer hangs on them directly.
    """

    layer: Head
    mixing: NDArray[np.int8]
    scale: Floats


Counted: TypeAlias = CountedConvolution | CountedSum | CountedHead | Pool


@cache
def ranges() -> Ranges:
    """The least and largest value of each channel of each map between two layers."""
    found: Ranges = json.loads(files(__package__).joinpath(RANGES).read_text(encoding="ascii"))
    return found


def count(layers: Sequence[Layer], ranges: Ranges) -> list[Counted]:
    """Weights, and what lies between the layers, in whole numbers. KeyError for a map without a range."""
    return list(_counted(layers, ranges))


def _counted(layers: Sequence[Layer], ranges: Ranges) -> Iterator[Counted]:
    between = {PIXELS: Steps(np.ones(COLOURS, np.float32), np.zeros(COLOURS, np.float32))}
    for layer in layers:
        before = between[layer.sources[0]]
        if isinstance(layer, Head):
            yield _head(layer, before)
        elif isinstance(layer, Pool):
            between[layer.target] = before
            yield layer
        else:
            low, high = (np.array(ends, np.float32) for ends in ranges[layer.target])
            after = between[layer.target] = steps(low, high, whole_zero=True)
            if isinstance(layer, Sum):
                factors = [before.step / after.step, between[layer.half].step / after.step]
                yield CountedSum(layer, np.stack([*factors, np.full_like(after.step, HALF)]).astype(np.float32))
            else:
                yield _convolution(layer, before, after)


def _head(layer: Head, before: Steps) -> CountedHead:
    weights = layer.mixing.weights[:, :, 0, 0] * before.step
    scale = np.abs(weights).max(axis=1) / LARGEST_OF_TWO
    whole = np.rint(weights / scale[:, None]).astype(np.int16)
    lower = whole.astype(np.int8)
    return CountedHead(layer, np.stack([((whole - lower) >> 8).astype(np.int8), lower]), scale.astype(np.float32))


def _convolution(layer: Convolution, before: Steps, after: Steps) -> CountedConvolution:
    sums = weighed(layer.weights, before)
    line = np.stack([sums.scale, layer.added - sums.scale * sums.nought]) / after.step
    line[1] += after.zero + HALF
    return CountedConvolution(layer, sums.weights, line.astype(np.float32), after.zero.astype(np.uint8))
