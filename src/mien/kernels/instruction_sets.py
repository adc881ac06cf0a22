"""Know the instruction sets: which processor has which, and the three operations that each does in its own way.

These are the dot product of bytes, narrowing with saturation, and the look-up in a table of sixteen bytes. All give the
same integers everywhere, on a condition: AVX2 adds the products of a few bytes in 16 bits before it adds in 32. They
must fit, so the weights that are added there may reach MAX_WEIGHT_SUM together, and no more; or they are any, and AVX2
takes longer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm

from mien.domain.errors import SetupError
from mien.kernels.expressions import Value
from mien.kernels.types import S8, S16, S32, U8, U16

MAX_WEIGHT_SUM = 128
"""Of the positive weights that are added in 16 bits, and of the negative ones: 255 * 128 fits."""

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Vectors and instructions of a kind of processor.

    Attributes:
        name: as in MIEN_CPU.
        needs: features that a processor must have, by LLVM's names.
        target: LLVM's processor and further features that code is compiled for, at least.
        vector_bytes: width of a vector.
        tile: pixels whose accumulators a convolution keeps in registers.
        columns: channels of each of these pixels.
        arm: whether it is one of ARM's.
    """

    name: str
    needs: frozenset[str]
    target: tuple[str, str]
    vector_bytes: int
    tile: int
    columns: int
    arm: bool = False

    @property
    def lanes(self) -> int:
        """Numbers of 32 bits in a vector."""
        return self.vector_bytes // 4

    def dot(self, sums: Value, quads: Sequence[tuple[Value, Value]], *, bounded: bool) -> Value:
        """Add the products of four bytes (u8) and four weights (s8) in each lane to `sums` (S32), for each pair given.

        If the weights are bounded, 0 and 1 of all quads are added in 16 bits, and so are 2 and 3: see MAX_WEIGHT_SUM.
        """
        if self.name == "avx2":
            return _dot_in_16_bits(sums, quads) if bounded else _dot_of_words(sums, quads)
        for unsigned, signed in quads:
            sums = self._dot(sums, unsigned, signed)
        return sums

    def _dot(self, sums: Value, unsigned: Value, signed: Value) -> Value:
        lanes, code = sums.lanes, sums.code
        if not self.arm:
            words = (unsigned.view(S32), signed.view(S32))
            return code.intrinsic(f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums, sums, *words)
        if self.name == "neon-i8mm":
            return code.intrinsic(f"llvm.aarch64.neon.usdot.v{lanes}i32.v{4 * lanes}i8", sums, sums, unsigned, signed)
        if self.name == "neon-dotprod":
            return _signed_dot(sums, unsigned, signed)
        return _widened_dot(sums, unsigned, signed)

    def pack(self, quarters: Sequence[Value]) -> Value:
        """Narrow four vectors of S32 to one of U8 with saturation: in each 16 bytes, four of each vector in turn."""
        lanes, code = quarters[0].lanes, quarters[0].code
        if self.arm:
            return _saturated(_joined(quarters))
        words = [
            code.intrinsic(_X86_WORDS[lanes], code.constant(S16, 0, 2 * lanes), *quarters[first : first + 2])
            for first in (0, 2)
        ]
        return code.intrinsic(_X86_BYTES[lanes], code.constant(U8, 0, 4 * lanes), *words)

    def narrow(self, parts: Sequence[Value]) -> Value:
        """Narrow vectors of S32 to one of U8 with saturation, in their order; at most four at a time."""
        if len(parts) == 4 and not self.arm:
            words = self.pack(parts).view(S32)
            return words.shuffle(_unpacked(parts[0].lanes)).view(U8)
        return _saturated(_joined(parts))

    def look_up(self, table: Value, numbers: Value) -> Value:
        """Look up bytes by their numbers, 0 to 15, in a table of sixteen that is repeated in each 16 bytes."""
        if self.arm:
            return table.code.intrinsic("llvm.aarch64.neon.tbl1.v16i8", numbers, table, numbers)
        return table.code.intrinsic(_X86_LOOK_UP[numbers.lanes], numbers, table, numbers)


_AVX2_PRODUCTS = {8: "llvm.x86.avx2.pmadd.ub.sw", 4: "llvm.x86.ssse3.pmadd.ub.sw.128"}
_AVX2_PAIRS = {8: "llvm.x86.avx2.pmadd.wd", 4: "llvm.x86.sse2.pmadd.wd"}
_X86_WORDS = {16: "llvm.x86.avx512.packssdw.512", 8: "llvm.x86.avx2.packssdw", 4: "llvm.x86.sse2.packssdw.128"}
_X86_BYTES = {16: "llvm.x86.avx512.packuswb.512", 8: "llvm.x86.avx2.packuswb", 4: "llvm.x86.sse2.packuswb.128"}
_X86_LOOK_UP = {64: "llvm.x86.avx512.pshuf.b.512", 32: "llvm.x86.avx2.pshuf.b", 16: "llvm.x86.ssse3.pshuf.b.128"}


def _dot_in_16_bits(sums: Value, quads: Sequence[tuple[Value, Value]]) -> Value:
    code, lanes = sums.code, sums.lanes
    like = code.constant(S16, 0, 2 * lanes)
    first, *others = (code.intrinsic(_AVX2_PRODUCTS[lanes], like, *quad) for quad in quads)
    for other in others:
        first = first + other
    return sums + code.intrinsic(_AVX2_PAIRS[lanes], sums, first, code.constant(S16, 1, 2 * lanes))


def _dot_of_words(sums: Value, quads: Sequence[tuple[Value, Value]]) -> Value:
    """Multiply the even and the odd bytes as words of 16 bits, whose products are added in 32."""
    name = _AVX2_PAIRS[sums.lanes]
    for unsigned, signed in quads:
        words, weights = unsigned.view(U16), signed.view(S16)
        even = (words & 255).view(S16), (signed.view(U16) << 8).view(S16) >> 8
        odd = (words >> 8).view(S16), weights >> 8
        for factors in (even, odd):
            sums = sums + sums.code.intrinsic(name, sums, *factors)
    return sums


def _signed_dot(sums: Value, unsigned: Value, signed: Value) -> Value:
    """a * w = (a - 128) * w + 2 * 64 * w, for processors that multiply signed bytes by signed ones only."""
    code, lanes = sums.code, sums.lanes
    name = f"llvm.aarch64.neon.sdot.v{lanes}i32.v{4 * lanes}i8"
    half = code.constant(S8, 64, 4 * lanes)
    for factor in ((unsigned ^ 128).to(S8), half, half):
        sums = code.intrinsic(name, sums, sums, factor, signed)
    return sums


def _widened_dot(sums: Value, unsigned: Value, signed: Value) -> Value:
    products = unsigned.to(S16) * signed.to(S16)
    even, odd = (products.shuffle(range(first, products.lanes, 2)).to(S32) for first in (0, 1))
    pairs = even + odd
    return sums + pairs.shuffle(range(0, pairs.lanes, 2)) + pairs.shuffle(range(1, pairs.lanes, 2))


def _joined(parts: Sequence[Value]) -> Value:
    whole = list(parts)
    while len(whole) > 1:
        lanes = range(2 * whole[0].lanes)
        whole = [low.shuffle(lanes, high) for low, high in zip(whole[::2], whole[1::2], strict=True)]
    return whole[0]


def _saturated(values: Value) -> Value:
    return values.max(0).min(255).to(U8)


def _unpacked(lanes: int) -> list[int]:
    """Where `pack` put each word of four bytes: the order of the four vectors laid end to end."""
    blocks = lanes // 4
    return [block * 4 + quarter for quarter in range(4) for block in range(blocks)]


_X86_64_V3 = frozenset({"avx2", "fma", "bmi", "bmi2", "f16c"})
_AVX512 = _X86_64_V3 | {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512vnni"}

INSTRUCTION_SETS = (
    # Without -prefer-256-bit LLVM would split the vectors of 512 bits.
    InstructionSet("avx512vnni", _AVX512, ("x86-64-v4", "+avx512vnni,-prefer-256-bit"), 64, 7, 32),
    InstructionSet("avxvnni", _X86_64_V3 | {"avxvnni"}, ("x86-64-v3", "+avxvnni"), 32, 4, 16),
    InstructionSet("avx2", _X86_64_V3, ("x86-64-v3", ""), 32, 4, 16),
    InstructionSet("neon-i8mm", frozenset({"neon", "i8mm"}), ("generic", "+neon,+dotprod,+i8mm"), 16, 4, 16, arm=True),
    InstructionSet("neon-dotprod", frozenset({"neon", "dotprod"}), ("generic", "+neon,+dotprod"), 16, 4, 16, arm=True),
    InstructionSet("neon", frozenset({"neon"}), ("generic", "+neon"), 16, 4, 16, arm=True),
)
"""The best first."""


def available() -> list[InstructionSet]:
    """Return the instruction sets that this processor has, the best first."""
    features = {name for name, there in llvm.get_host_cpu_features().items() if there}
    if llvm.get_default_triple().startswith(("aarch64", "arm64")):
        features.add("neon")  # each has it, but not every system says so
    return [one for one in INSTRUCTION_SETS if one.needs <= features]


@cache
def current() -> InstructionSet:
    """Return the instruction set to use: the best, or the lesser one that MIEN_CPU names.

    Raises:
        SetupError: this processor has none, or not the one that was named.
    """
    there, wanted = available(), os.environ.get("MIEN_CPU") or AUTO
    names = [one.name for one in there]
    if not there:
        raise SetupError(
            "This processor is not supported: Mien needs AVX2 and FMA (x86-64-v3, from about 2013 on) or ARM's NEON."
        )
    if wanted == AUTO:
        return there[0]
    if wanted not in names:
        raise SetupError(f"MIEN_CPU is {wanted!r}, but this processor has {', '.join(names)} only.")
    return there[names.index(wanted)]
