"""Inner products of probes with many vectors: with those chosen, in 8 bits, and of one with all, in 32."""

from __future__ import annotations

from llvmlite import ir

from mien.gallery.nearest.kernels.emit import (
    F32,
    I8,
    I32,
    I64,
    POINTER,
    VOID,
    Builder,
    Value,
    lanes,
    load,
    loop,
    place,
    same,
    store,
    total,
    variable,
)
from mien.gallery.nearest.kernels.lookup import Lookup
from mien.gallery.nearest.kernels.machine import Kernel
from mien.gallery.nearest.kernels.scan import ROOM
from mien.gallery.nearest.tuning import DIMENSIONS

_WIDE = 16
_PARTS = DIMENSIONS // _WIDE
_WHOLE = lanes(F32, DIMENSIONS)
_AHEAD = 12
"""So many vectors early memory is asked for the next: they lie far apart."""
_LINE = 64
_PREFETCH = ir.FunctionType(VOID, [POINTER, I32, I32, I32])


def _narrow(b: Builder, _: Lookup, *arguments: Value) -> None:
    stored, steps, probes, vectors, floors, found, values, counts = arguments
    with loop(b, I64(0), probes) as probe:
        floor = load(b, floors, F32, probe)
        mine, worth = (place(b, some, lanes(I32, ROOM), probe) for some in (found, values))
        parts, count, end = (
            _parts(b, place(b, vectors, _WHOLE, probe)),
            load(b, counts, I64, probe),
            variable(b, I64(0)),
        )
        with loop(b, I64(0), count) as number:
            later = b.add(number, I64(_AHEAD))
            later = b.select(b.icmp_signed("<", later, count), later, number)
            _ask_for(b, stored, b.zext(load(b, mine, I32, later), I64))
            here = load(b, mine, I32, number)
            wide, last = b.zext(here, I64), b.load(end, typ=I64)
            cosine = b.fmul(_dot(b, parts, _bytes(b, stored, wide)), load(b, steps, F32, wide))
            store(b, here, mine, last)
            store(b, cosine, worth, last)
            b.store(b.add(last, b.zext(b.fcmp_ordered(">=", cosine, floor), I64)), end)
        store(b, b.load(end, typ=I64), counts, probe)
    b.ret_void()


def _bytes(b: Builder, stored: Value, number: Value) -> list[Value]:
    vector = place(b, stored, lanes(I8, DIMENSIONS), number)
    whole = (load(b, vector, lanes(I8, _WIDE), part) for part in range(_PARTS))
    return [b.sitofp(some, lanes(F32, _WIDE)) for some in whole]


def _ask_for(b: Builder, stored: Value, number: Value) -> None:
    vector = place(b, stored, lanes(I8, DIMENSIONS), number)
    prefetch = b.module.declare_intrinsic("llvm.prefetch", [POINTER], _PREFETCH)
    for line in range(0, DIMENSIONS, _LINE):
        b.call(prefetch, [place(b, vector, I8, line), I32(0), I32(3), I32(1)])


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


NARROW = Kernel("narrow", VOID, (POINTER, POINTER, I64, *[POINTER] * 5), _narrow)
"""bytes and their steps; how many probes, and of each its vector, floor, places, room for values, and how many places
there are. Of them those stay, in order, that reach the floor."""
COSINES = Kernel("cosines", VOID, (POINTER, I64, POINTER, POINTER), _cosines)
"""vectors and how many; probe; values."""
