"""Name the element types of kernels, and write constants of them as LLVM does."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DType:
    """An element type.

    Attributes:
        name: as in NumPy; signed and unsigned integers differ, though LLVM has one type for both.
        llvm: LLVM's type.
        bits: width.
    """

    name: str
    llvm: str
    bits: int

    @property
    def floating(self) -> bool:
        return self.name.startswith("float")

    @property
    def signed(self) -> bool:
        """Whether comparisons, shifts and conversions take the sign into account."""
        return not self.name.startswith(("uint", "bool"))

    @property
    def bytes(self) -> int:
        return self.bits // 8

    def literal(self, value: float) -> str:
        """Write a number as a constant; floats by their bits, so that they are exact."""
        if self.floating:
            [single] = struct.unpack("<f", struct.pack("<f", value))
            return f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"
        return str(int(value))

    def vector(self, lanes: int) -> str:
        """Return LLVM's type of so many lanes; one lane is a scalar."""
        return f"<{lanes} x {self.llvm}>" if lanes > 1 else self.llvm


BOOL = DType("bool", "i1", 1)
U8, S8 = DType("uint8", "i8", 8), DType("int8", "i8", 8)
U16, S16 = DType("uint16", "i16", 16), DType("int16", "i16", 16)
U32, S32 = DType("uint32", "i32", 32), DType("int32", "i32", 32)
U64, S64 = DType("uint64", "i64", 64), DType("int64", "i64", 64)
F32 = DType("float32", "float", 32)
