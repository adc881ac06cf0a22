"""Many probes at once: the 8-bit products of all of them with every row, by the processor's matrix instructions.

A scan of the 4-bit codes costs each probe the same however many there are. The products of 64 probes cost
half of 64 scans, and their error has a proven bound, so that nothing is missed at all.
"""

from __future__ import annotations

import numkong
import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.codec import Bytes, byte_error, to_bytes
from mien.gallery.nearest.truth import Rows, Vectors

_BLOCK = 4096
"""Rows at a time: they and their products with 64 probes stay in the cache of a core."""
_STRIPES = 16
_MOST = 2.0**30
_NONE = np.empty(0, np.int64)

Products = NDArray[np.int32]


def reaching(stored: Bytes, steps: Vectors, probes: Vectors, floors: Vectors, error: float) -> list[Rows]:
    """For each probe (m, 128) the places, ascending, of all rows whose cosine may reach its floor (m,).

    The rows are given as bytes (n, 128) and steps (n,) that are off by at most `error`.
    """
    narrow, step = to_bytes(probes)
    lost = byte_error(probes, narrow, step)
    least = (floors - (error * (1 + lost) + lost)) / step
    packed = numkong.dots_pack(narrow)
    found = [(_NONE, _NONE)]
    products = numkong.empty((_BLOCK, len(probes)), dtype="int32")
    starts = np.arange(0, len(stored), _BLOCK)
    for start, bar in zip(starts.tolist(), _bars(least, steps, starts), strict=True):
        part = stored[start : start + _BLOCK]
        block = np.asarray(numkong.dots_packed(part, packed, out=products if len(part) == _BLOCK else None))
        rows, numbers = _reached(block, bar)
        found.append((rows + start, numbers))
    rows, numbers = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(numbers, kind="stable")
    return np.split(rows[order], np.searchsorted(numbers[order], np.arange(1, len(probes))))


def _bars(least: Vectors, steps: Vectors, starts: Rows) -> Products:
    """The least product that counts in each block, for each probe.

    The rows of a block mostly share their step; where they do not, the bar is the lower one.
    """
    coarse, fine = np.maximum.reduceat(steps, starts), np.minimum.reduceat(steps, starts)
    bars = np.minimum(least / coarse[:, np.newaxis], least / fine[:, np.newaxis])
    whole: Products = np.floor(np.clip(bars, -_MOST, _MOST)).astype(np.int32)
    return whole


def _reached(products: Products, bar: Products) -> tuple[Rows, Rows]:
    """Where the products (n, m) reach the bar (m,): rows and columns.

    Few do. So the largest of each sixteen are compared first, a quarter of the work of comparing all.
    """
    if len(products) % _STRIPES:
        return np.divmod(np.flatnonzero(products >= bar), len(bar))
    striped = products.reshape(_STRIPES, -1, len(bar))
    highest = products.reshape(_STRIPES, -1).max(0).reshape(-1, len(bar))
    groups = np.flatnonzero(highest >= bar)
    if not len(groups):
        return _NONE, _NONE
    rows, columns = np.divmod(groups, len(bar))
    stripes, which = np.nonzero(striped[:, rows, columns] >= bar[columns])
    return stripes * striped.shape[1] + rows[which], columns[which]
