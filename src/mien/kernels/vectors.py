"""Compute with embeddings: cosines, PQ4 codes, and the look-up tables of probes.

PQ4 splits a vector into pairs of coordinates, each of which has sixteen centroids (x and y apart). Float32 sums are
added in the same order on every processor, so that they are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

from mien.kernels.code import Code
from mien.kernels.expressions import Pointer, Value
from mien.kernels.signatures import Array, Kernel, Size
from mien.kernels.types import F32, U8, U16

DIMENSIONS = 128
"""Coordinates of a vector."""
GROUPS = DIMENSIONS // 2
"""Codes of a vector, one for each pair of coordinates."""
ENTRIES = 16
"""Centroids of a pair, and entries of its look-up table."""
MAX_ENTRY = 31
"""The largest entry of a look-up table."""
PART = 16
"""Coordinates that are multiplied at once."""
_MIN_RANGE = 1e-30
"""Instead of zero, the range of a probe that is zero."""

COUNT = Size("count")
_CENTROIDS = Size.number(GROUPS * ENTRIES)


def vector_parts(vector: Pointer) -> list[Value]:
    return [vector.load(first, PART) for first in range(0, DIMENSIONS, PART)]


def inner_product(left: Sequence[Value], right: Sequence[Value]) -> Value:
    """Add the products of all parts, then the lanes by halves."""
    sums = left[0].code.constant(F32, 0.0, PART)
    for one, other in zip(left, right, strict=True):
        sums = sums + one * other
    return sums.reduce(lambda low, high: low + high)


def _cosines(code: Code, *, count: Value, vectors: Pointer, probe: Pointer, target: Pointer) -> None:
    parts = vector_parts(probe)
    for number in code.range(count):
        target[number] = inner_product(parts, vector_parts(vectors + number * DIMENSIONS))


COSINES = Kernel(
    "cosines",
    (
        COUNT,
        Array("vectors", F32, extent=COUNT * DIMENSIONS),
        Array("probe", F32, extent=Size.number(DIMENSIONS)),
        Array("target", F32, extent=COUNT, written=True),
    ),
    _cosines,
)
"""The inner products of one probe with vectors."""


def _encode(
    code: Code,
    *,
    count: Value,
    vectors: Pointer,
    centroid_x: Pointer,
    centroid_y: Pointer,
    half_norms: Pointer,
    codes: Pointer,
) -> None:
    for number in code.range(count):
        vector = vectors + number * DIMENSIONS
        for group in code.range(GROUPS):
            half_norm = half_norms.load(group * ENTRIES, ENTRIES)
            nearness = _centroid_products(vector, centroid_x, centroid_y, group) - half_norm
            best = nearness.equals(nearness.reduce(Value.max).splat(ENTRIES)).view(U16)
            codes[number * GROUPS + group] = code.trailing_zeros(best).to(U8)


def _centroid_products(vector: Pointer, centroid_x: Pointer, centroid_y: Pointer, group: Value) -> Value:
    """Multiply a vector's pair of coordinates with the sixteen centroids of that pair."""
    x, y = (vector[group * 2 + axis].splat(ENTRIES) for axis in (0, 1))
    return centroid_x.load(group * ENTRIES, ENTRIES) * x + centroid_y.load(group * ENTRIES, ENTRIES) * y


ENCODE = Kernel(
    "encode",
    (
        COUNT,
        Array("vectors", F32, extent=COUNT * DIMENSIONS),
        Array("centroid_x", F32, extent=_CENTROIDS),
        Array("centroid_y", F32, extent=_CENTROIDS),
        Array("half_norms", F32, extent=_CENTROIDS),
        Array("codes", U8, extent=COUNT * GROUPS, written=True),
    ),
    _encode,
)
"""Encode vectors: for each pair of coordinates its nearest centroid. `half_norms` are half their squared lengths."""


def _lookup_tables(
    code: Code,
    *,
    count: Value,
    probes: Pointer,
    centroid_x: Pointer,
    centroid_y: Pointer,
    entries: Pointer,
    offsets: Pointer,
    scales: Pointer,
) -> None:
    for number in code.range(count):
        probe, table = probes + number * DIMENSIONS, entries + number * (GROUPS * ENTRIES)
        offset, widest = code.variable(code.constant(F32, 0.0)), code.variable(code.constant(F32, _MIN_RANGE))
        for group in code.range(GROUPS):
            products = _centroid_products(probe, centroid_x, centroid_y, group)
            least = products.reduce(Value.min)
            offset.value = offset.value + least
            widest.value = (products.reduce(Value.max) - least).max(widest.value)
        scale = widest.value / MAX_ENTRY
        for group in code.range(GROUPS):
            products = _centroid_products(probe, centroid_x, centroid_y, group)
            above = products - products.reduce(Value.min).splat(ENTRIES)
            table.store((above / scale.splat(ENTRIES) + 0.5).to(U8), group * ENTRIES)
        offsets[number] = offset.value
        scales[number] = scale


LOOKUP_TABLES = Kernel(
    "lookup_tables",
    (
        COUNT,
        Array("probes", F32, extent=COUNT * DIMENSIONS),
        Array("centroid_x", F32, extent=_CENTROIDS),
        Array("centroid_y", F32, extent=_CENTROIDS),
        Array("entries", U8, extent=COUNT * (GROUPS * ENTRIES), written=True),
        Array("offsets", F32, extent=COUNT, written=True),
        Array("scales", F32, extent=COUNT, written=True),
    ),
    _lookup_tables,
)
"""Compute what each centroid adds to the scores of probes, as integers: score = offset + scale * sum of entries."""
