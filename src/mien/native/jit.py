"""Emit LLVM IR and compile it to functions that run without the interpreter's lock.

Loops, vectors and memory access go beyond llvmlite's builder. Variables live in memory here; LLVM's first pass puts
them into registers. https://llvm.org/docs/LangRef.html
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import llvmlite.binding as llvm
from llvmlite import ir

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32 = ir.FloatType()
POINTER = ir.PointerType()
VOID = ir.VoidType()
_PREFETCH = ir.FunctionType(VOID, [POINTER, I32, I32, I32])

Builder: TypeAlias = Any  # llvmlite has no types
Value: TypeAlias = Any
Type: TypeAlias = Any


def lanes(kind: Type, count: int) -> Type:
    return ir.VectorType(kind, count)


def array(kind: Type, count: int) -> Type:
    return ir.ArrayType(kind, count)


def same(kind: Type, count: int, value: float) -> Value:
    """A constant vector of one value."""
    return ir.Constant(lanes(kind, count), [value] * count)


def spread(b: Builder, value: Value, count: int) -> Value:
    """A vector whose every lane is `value`."""
    kind = lanes(value.type, count)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
    return pick(b, one, one, [0] * count)


def pick(b: Builder, left: Value, right: Value, numbers: Sequence[int]) -> Value:
    """The numbered lanes of two vectors laid end to end."""
    return b.shuffle_vector(left, right, ir.Constant(lanes(I32, len(numbers)), list(numbers)))


def intrinsic(b: Builder, name: str, returns: Type, takes: Sequence[Type]) -> Value:
    """An instruction that LLVM's language has no word for, as a function."""
    known = b.module.globals.get(name)
    return known or ir.Function(b.module, ir.FunctionType(returns, takes), name)


def place(b: Builder, start: Value, kind: Type, number: Value | int) -> Value:
    """The address of the element `number` of an array of `kind`."""
    return b.gep(start, [I64(number) if isinstance(number, int) else number], source_etype=kind)


def load(b: Builder, start: Value, kind: Type, number: Value | int = 0) -> Value:
    """An element of an array that may lie at any address."""
    return b.load(place(b, start, kind, number), typ=kind, align=1)


def store(b: Builder, value: Value, start: Value, number: Value | int = 0) -> None:
    b.store(value, place(b, start, value.type, number), align=1)


def prefetch(b: Builder, start: Value, offsets: Iterable[int]) -> None:
    """Prefetch the cache lines of bytes at these offsets, which need not be mapped."""
    function = b.module.declare_intrinsic("llvm.prefetch", [POINTER], _PREFETCH)
    for offset in offsets:
        b.call(function, [place(b, start, I8, offset), I32(0), I32(3), I32(1)])


def variable(b: Builder, value: Value) -> Value:
    """Memory for a value that changes."""
    with b.goto_entry_block():
        kept = b.alloca(value.type)
    b.store(value, kept)
    return kept


@contextmanager
def loop(b: Builder, start: Value, stop: Value, step: int = 1) -> Iterator[Value]:
    """Repeat for start, start + step ... below `stop`."""
    number = variable(b, start)
    test, body, after = (b.append_basic_block(name) for name in ("test", "body", "after"))
    b.branch(test)
    b.position_at_end(test)
    now = b.load(number, typ=I64)
    b.cbranch(b.icmp_signed("<", now, stop), body, after)
    b.position_at_end(body)
    yield now
    b.store(b.add(now, I64(step)), number)
    b.branch(test)
    b.position_at_end(after)


@contextmanager
def each_taken(b: Builder, taken: Value, stop: Value, step: int, full: Value) -> Iterator[Value]:
    """Repeat for numbers that are a `step` apart, below `stop`, which no other thread has taken from the counter.

    Until the variable `full` is true.
    """
    test, take, body, after = (b.append_basic_block(name) for name in ("test", "take", "body", "after"))
    b.branch(test)
    b.position_at_end(test)
    b.cbranch(b.load(full, typ=I1), after, take)
    b.position_at_end(take)
    now = b.atomic_rmw("add", taken, I64(step), "monotonic")
    b.cbranch(b.icmp_signed("<", now, stop), body, after)
    b.position_at_end(body)
    yield now
    b.branch(test)
    b.position_at_end(after)


@contextmanager
def each_bit(b: Builder, mask: Value) -> Iterator[Value]:
    """Repeat for the number of each bit that is set in 64, from the lowest."""
    left = variable(b, mask)
    test, body, after = (b.append_basic_block(name) for name in ("test", "body", "after"))
    b.branch(test)
    b.position_at_end(test)
    now = b.load(left, typ=I64)
    b.cbranch(b.icmp_unsigned("!=", now, I64(0)), body, after)
    b.position_at_end(body)
    yield b.cttz(now, I1(1))
    b.store(b.and_(now, b.sub(now, I64(1))), left)
    b.branch(test)
    b.position_at_end(after)


def highest(b: Builder, vector: Value) -> Value:
    """The largest lane."""
    while (count := vector.type.count) > 1:
        low, high = _halves(b, vector, count)
        vector = b.select(b.fcmp_ordered(">", low, high), low, high)
    return b.extract_element(vector, I32(0))


def total(b: Builder, vector: Value) -> Value:
    """The sum of all lanes, by halves: the same order everywhere, so that the sum is the same to the last bit."""
    while (count := vector.type.count) > 1:
        vector = b.fadd(*_halves(b, vector, count))
    return b.extract_element(vector, I32(0))


def _halves(b: Builder, vector: Value, count: int) -> list[Value]:
    return [pick(b, vector, vector, range(first, first + count // 2)) for first in (0, count // 2)]


_IN_C = {POINTER: ctypes.c_void_p, I64: ctypes.c_int64, F32: ctypes.c_float, VOID: None}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function: its name, what it returns and takes, and who writes its body with a builder.

    `write` gets the builder, what `compiled` was given for all kernels, and the function's arguments. A kernel may call
    those before it.
    """

    name: str
    returns: Type
    takes: tuple[Type, ...]
    write: Callable[..., None]


@dataclass(frozen=True, slots=True)
class Code:
    """Compiled functions by name; they live as long as their engine."""

    functions: Mapping[str, Callable[..., Any]]
    engine: Any


def features() -> frozenset[str]:
    """What this processor has, by LLVM's names."""
    found = {name for name, there in llvm.get_host_cpu_features().items() if there}
    if llvm.get_default_triple().startswith(("aarch64", "arm64")):
        found.add("neon")  # each has it, but not every system says so
    return frozenset(found)


def compiled(kernels: Sequence[Kernel], *given: Any, unroll: bool = True) -> Code:
    """Takes some tenths of a second. `unroll`: whether LLVM may repeat what loops do, which takes more registers."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )
    module = llvm.parse_assembly(str(module_of(kernels, *given)))
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.loop_unrolling = unroll
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return Code(
        {kernel.name: _function(engine.get_function_address(kernel.name), kernel) for kernel in kernels}, engine
    )


def module_of(kernels: Sequence[Kernel], *given: Any) -> ir.Module:
    """The kernels in LLVM's language."""
    module = ir.Module()
    for kernel in kernels:
        function = ir.Function(module, ir.FunctionType(kernel.returns, kernel.takes), kernel.name)
        function.attributes.add("noinline")  # into all that call it, which takes long to compile and gains nothing
        kernel.write(ir.IRBuilder(function.append_basic_block()), *given, *function.args)
    return module


def _function(address: int, kernel: Kernel) -> Callable[..., Any]:
    kinds: list[Any] = [_IN_C[kind] for kind in (kernel.returns, *kernel.takes)]
    return ctypes.CFUNCTYPE(*kinds)(address)
