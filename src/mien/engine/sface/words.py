"""What the kernels say again and again: products of bytes, and from their sums to bytes.

x86's VNNI multiplies four unsigned by four signed bytes in each of sixteen lanes and adds all of them to a sum.
Intel, Architecture Instruction Set Extensions Programming Reference, VPDPBUSD.
"""

from __future__ import annotations

from collections.abc import Sequence

from mien.native.emit import (
    F32,
    I8,
    I16,
    I32,
    I64,
    Builder,
    Value,
    intrinsic,
    lanes,
    load,
    loop,
    same,
    spread,
    variable,
)

WIDE = 16
FOUR = 4
"""Bytes in a lane."""
FEATURE = "avx512vnni"


def sums(count: int = WIDE) -> Value:
    """Where sums begin."""
    return same(I32, count, 0)


def add_products(b: Builder, added: Value, unsigned: Value, signed: Value) -> Value:
    """Sums (lanes of 32 bits) and the products of four bytes in each lane."""
    kind = added.type
    function = intrinsic(b, f"llvm.x86.avx512.vpdpbusd.{kind.count * 32}", kind, [kind] * 3)
    return b.call(function, [added, unsigned, signed])


def products(b: Builder, rows: Sequence[Value], weights: Value, steps: Value, columns: int) -> list[list[Value]]:
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


def add_to(b: Builder, kept: Sequence[Value], four: Value, weights: Sequence[Value]) -> None:
    """The products of four bytes of a row by the weights of several columns, added to variables."""
    for one, weight in zip(kept, weights, strict=True):
        b.store(add_products(b, b.load(one, typ=four.type), four, weight), one)


def counted(b: Builder, added: Value, lines: Sequence[Value]) -> Value:
    """The larger one of two lines of each sum, without what is behind the point."""
    values = b.sitofp(added, lanes(F32, added.type.count))
    one, other = fused(b, values, *lines[:2]), fused(b, values, *lines[2:])
    return b.fptosi(b.select(b.fcmp_ordered(">", one, other), one, other), added.type)


def fused(b: Builder, values: Value, factor: Value, term: Value) -> Value:
    """values * factor + term, rounded once."""
    kind = values.type
    function = intrinsic(b, f"llvm.fma.v{kind.count}f32", kind, [kind] * 3)
    return b.call(function, [values, factor, term])


def words(b: Builder, left: Value, right: Value) -> Value:
    """In each 128 bits four numbers of each vector, cut off to 16 bits."""
    kind, count = left.type, left.type.count
    name = {16: "llvm.x86.avx512.packssdw.512", 8: "llvm.x86.avx2.packssdw"}[count]
    return b.call(intrinsic(b, name, lanes(I16, 2 * count), [kind, kind]), [left, right])


def octets(b: Builder, left: Value, right: Value) -> Value:
    """In each 128 bits eight words of each vector, cut off to 0..255."""
    kind, count = left.type, left.type.count
    name = {32: "llvm.x86.avx512.packuswb.512", 16: "llvm.x86.avx2.packuswb"}[count]
    return b.call(intrinsic(b, name, lanes(I8, 2 * count), [kind, kind]), [left, right])


def cut_off(b: Builder, numbers: Value) -> Value:
    """Words in their order as bytes, cut off to 0..255."""
    count = numbers.type.count
    nought, most = same(I16, count, 0), same(I16, count, 255)
    numbers = b.select(b.icmp_signed(">", numbers, nought), numbers, nought)
    numbers = b.select(b.icmp_unsigned("<", numbers, most), numbers, most)
    return b.trunc(numbers, lanes(I8, count))
