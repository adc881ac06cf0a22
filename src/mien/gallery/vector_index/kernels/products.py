"""Inner products of probes with many vectors: with those chosen, in 8 bits, and of one with all, in 32."""

from __future__ import annotations

from typing import Protocol

from mien.gallery.vector_index.kernels.lookup import Lookup
from mien.gallery.vector_index.source import DIMENSIONS
from mien.native.compiler import Kernel
from mien.native.emit import (
    F32,
    I8,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    array,
    lanes,
    load,
    loop,
    place,
    prefetch,
    same,
    store,
    total,
)

_WIDE = 16
_PARTS = DIMENSIONS // _WIDE
_WHOLE = array(F32, DIMENSIONS)
_AHEAD = 12
"""So many vectors early memory is asked for the next: they lie far apart."""
_LINE = 64


class Held(Protocol):
    """Bytes, the lengths of their steps, row numbers."""

    stored: Value
    steps: Value
    rows: Value

    def alive(self, b: Builder, number: Value) -> Value: ...


class Notes(Protocol):
    def note(self, b: Builder, row: Value, cosine: Value, counts: Value) -> None: ...


def narrow(b: Builder, held: Held, probe: Value, floor: Value, places: Value, count: Value, found: Notes) -> None:
    """Of the faces at some places note those whose cosine with the probe reaches the floor and that are not deleted."""
    parts = _parts(b, probe)
    with loop(b, I64(0), count) as number:
        later = b.add(number, I64(_AHEAD))
        later = b.select(b.icmp_signed("<", later, count), later, number)
        next_but_some = place(b, held.stored, array(I8, DIMENSIONS), b.zext(load(b, places, I32, later), I64))
        prefetch(b, next_but_some, range(0, DIMENSIONS, _LINE))
        here = b.zext(load(b, places, I32, number), I64)
        cosine = b.fmul(_dot(b, parts, _bytes(b, held.stored, here)), load(b, held.steps, F32, here))
        found.note(
            b, load(b, held.rows, I64, here), cosine, b.and_(b.fcmp_ordered(">=", cosine, floor), held.alive(b, here))
        )


def _bytes(b: Builder, stored: Value, number: Value) -> list[Value]:
    vector = place(b, stored, array(I8, DIMENSIONS), number)
    whole = (load(b, vector, lanes(I8, _WIDE), part) for part in range(_PARTS))
    return [b.sitofp(some, lanes(F32, _WIDE)) for some in whole]


def _cosines(b: Builder, _: Lookup, *arguments: Value) -> None:
    vectors, count, probe, values = arguments
    parts = _parts(b, probe)
    with loop(b, I64(0), count) as number:
        store(b, _dot(b, parts, _parts(b, place(b, vectors, _WHOLE, number))), values, number)
    b.ret_void()


def _parts(b: Builder, vector: Value) -> list[Value]:
    return [load(b, vector, lanes(F32, _WIDE), part) for part in range(_PARTS)]


def _dot(b: Builder, left: list[Value], right: list[Value]) -> Value:
    added = same(F32, _WIDE, 0.0)
    for one, other in zip(left, right, strict=True):
        added = b.fadd(added, b.fmul(one, other))
    return total(b, added)


COSINES = Kernel("cosines", VOID, (POINTER, I64, POINTER, POINTER), _cosines)
"""vectors and how many; probe; values."""
