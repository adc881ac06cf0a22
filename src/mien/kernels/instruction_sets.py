"""Know the instruction sets: which processor has which, and the three operations that each does in its own way.

These are the dot product of four bytes, narrowing with saturation, and the look-up in a table of sixteen bytes. All
give the same integers everywhere, under one condition: two neighbouring weights of a dot product add up to 128 at most,
since AVX2 adds the products of two bytes in 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mien.kernels.expressions import Value
from mien.kernels.types import S8, S16, S32, U8

MAX_WEIGHT_PAIR = 128
"""|w0 + w1| of two weights that are multiplied side by side, and |w| of one: 255 * 128 fits into 16 bits."""

TABLE = 16
"""Entries of a look-up table."""

_BLOCK = 16
"""Bytes of a vector that most instructions keep together."""


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Vectors and instructions of a kind of processor.

    Attributes:
        name: as in MIEN_CPU.
        needs: features that a processor must have, by LLVM's names.
        target: LLVM's processor and further features that code is compiled for.
        vector_bytes: width of a vector.
        tile: pixels whose accumulators a convolution keeps in registers, for 32 channels each.
        arm: whether it is one of ARM's.
    """

    name: str
    needs: frozenset[str]
    target: tuple[str, str]
    vector_bytes: int
    tile: int
    arm: bool = False

    @property
    def lanes(self) -> int:
        """Numbers of 32 bits in a vector."""
        return self.vector_bytes // 4

    def dot(self, sums: Value, unsigned: Value, signed: Value) -> Value:
        """Add to each lane of `sums` (S32) the products of its four bytes: u8 by s8."""
        lanes, code = sums.lanes, sums.code
        if self.name in ("avx512vnni", "avxvnni"):
            words = (unsigned.view(S32), signed.view(S32))
            return code.intrinsic(f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums, sums, *words)
        if self.name == "avx2":
            pairs = code.constant(S16, 0, 2 * lanes)
            pairs = code.intrinsic(_AVX2_PRODUCTS[lanes], pairs, unsigned, signed)
            return sums + code.intrinsic(_AVX2_PAIRS[lanes], sums, pairs, code.constant(S16, 1, 2 * lanes))
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
    InstructionSet("avx512vnni", _AVX512, ("x86-64-v4", "+avx512vnni,-prefer-256-bit"), 64, 7),
    InstructionSet("avxvnni", _X86_64_V3 | {"avxvnni"}, ("x86-64-v3", "+avxvnni"), 32, 2),
    InstructionSet("avx2", _X86_64_V3, ("x86-64-v3", ""), 32, 2),
    InstructionSet("neon-i8mm", frozenset({"neon", "i8mm"}), ("generic", "+neon,+dotprod,+i8mm"), 16, 2, arm=True),
    InstructionSet("neon-dotprod", frozenset({"neon", "dotprod"}), ("generic", "+neon,+dotprod"), 16, 2, arm=True),
    InstructionSet("neon", frozenset({"neon"}), ("generic", "+neon"), 16, 2, arm=True),
)
"""The best first."""


