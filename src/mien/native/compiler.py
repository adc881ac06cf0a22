"""Compile kernels from LLVM IR to functions that run without the interpreter's lock."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from mien.native.emit import F32, I64, POINTER, VOID, Type

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
