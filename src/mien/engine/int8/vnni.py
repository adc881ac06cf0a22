"""Emit the building blocks of the kernels: u8 x s8 dot products into s32 accumulators, and requantisation to u8.

VNNI multiplies four unsigned by four signed bytes in each of sixteen lanes and adds the products to an accumulator.
Intel, Architecture Instruction Set Extensions Programming Reference, VPDPBUSD.
"""

from __future__ import annotations

from collections.abc import Sequence

from mien.native.jit import F32, I8, I16, I32, I64, Builder, Value, intrinsic, lanes, load, loop, same, spread, variable

WIDE = 16
FOUR = 4
"""Bytes in a lane."""
NEEDED = frozenset({"avx512bw", "avx512vl", "avx512vnni"})
"""The features of a processor that has these instructions."""

_WORDS = {16: "llvm.x86.avx512.packssdw.512", 8: "llvm.x86.avx2.packssdw", 4: "llvm.x86.sse2.packssdw.128"}
_OCTETS = {32: "llvm.x86.avx512.packuswb.512", 16: "llvm.x86.avx2.packuswb", 8: "llvm.x86.sse2.packuswb.128"}

Values = Sequence[Value]


def sums(count: int = WIDE) -> Value:
    """Where sums begin."""
    return same(I32, count, 0)


def add_products(b: Builder, added: Value, unsigned: Value, signed: Value) -> Value:
    """Sums (lanes of 32 bits) and the products of four bytes in each lane."""
    kind = added.type
    function = intrinsic(b, f"llvm.x86.avx512.vpdpbusd.{kind.count * 32}", kind, [kind] * 3)
    return b.call(function, [added, unsigned, signed])


def products(b: Builder, rows: Values, weights: Value, steps: Value, columns: int) -> list[list[Value]]:
    """Each row of bytes by each of `columns` * 16 columns of weights: sums for each row and sixteen columns.

    `steps` times four bytes of a row follow one another; in memory lie the weights of the first four bytes for all
    columns, then those of the next four.
    """
    kept = [[variable(b, sums()) for _ in range(columns)] for _ in rows]
    with loop(b, I64(0), steps) as step:
        first = b.mul(step, I64(columns))
        at_once = [load(b, weights, sums().type, b.add(first, I64(column))) for column in range(columns)]
        for row, of_row in zip(rows, kept, strict=True):
            add_to(b, of_row, spread(b, load(b, row, I32, step), WIDE), at_once)
    return [[b.load(one, typ=sums().type) for one in of_row] for of_row in kept]


def add_to(b: Builder, kept: Values, four: Value, weights: Values) -> None:
    """The products of four bytes of a row by the weights of several columns, added to variables."""
    for one, weight in zip(kept, weights, strict=True):
        b.store(add_products(b, b.load(one, typ=four.type), four, weight), one)


def counted(b: Builder, added: Value, lines: Values) -> Value:
    """A line of each sum, or the larger one of two, without what is behind the point."""
    values = b.sitofp(added, lanes(F32, added.type.count))
    first, *others = (fused(b, values, *line) for line in zip(lines[::2], lines[1::2], strict=True))
    for other in others:
        first = b.select(b.fcmp_ordered(">", first, other), first, other)
    return b.fptosi(first, added.type)


def counted_sum(b: Builder, bytes_: Values, factors: Values) -> Value:
    """The bytes of two maps by a factor each, and a term: as bytes."""
    term = factors[-1]
    for one, factor in zip(bytes_, factors, strict=False):
        wide = b.zext(one, lanes(I32, one.type.count))
        term = fused(b, b.sitofp(wide, factor.type), factor, term)
    return cut_off(b, b.fptosi(term, lanes(I32, term.type.count)))


def fused(b: Builder, values: Value, factor: Value, term: Value) -> Value:
    """values * factor + term, rounded once."""
    kind = values.type
    function = intrinsic(b, f"llvm.fma.v{kind.count}f32", kind, [kind] * 3)
    return b.call(function, [values, factor, term])


def words(b: Builder, left: Value, right: Value) -> Value:
    """In each 128 bits four numbers of each vector, cut off to 16 bits."""
    kind, count = left.type, left.type.count
    return b.call(intrinsic(b, _WORDS[count], lanes(I16, 2 * count), [kind, kind]), [left, right])


def octets(b: Builder, left: Value, right: Value) -> Value:
    """In each 128 bits eight words of each vector, cut off to 0..255."""
    kind, count = left.type, left.type.count
    return b.call(intrinsic(b, _OCTETS[count], lanes(I8, 2 * count), [kind, kind]), [left, right])


def cut_off(b: Builder, numbers: Value) -> Value:
    """Numbers as bytes in their order, cut off to 0..255."""
    kind, count = numbers.type.element, numbers.type.count
    nought, most = same(kind, count, 0), same(kind, count, 255)
    numbers = b.select(b.icmp_signed(">", numbers, nought), numbers, nought)
    numbers = b.select(b.icmp_unsigned("<", numbers, most), numbers, most)
    return b.trunc(numbers, lanes(I8, count))
