"""Compile kernels to machine code with LLVM, and keep the code in the user's cache folder for other processes.

The name of a kept file has the digest of everything that decides its content: this package's source, the kernels' names
in their order, the instruction set, the processor and LLVM's version. Without a usable cache each process compiles for
itself, which takes a second.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from threading import Lock
from typing import Protocol

import llvmlite
import llvmlite.binding as llvm

from mien.kernels.code import Code
from mien.kernels.file_cache import open_user_cache
from mien.kernels.instruction_sets import InstructionSet, available
from mien.kernels.signatures import Kernel

_LIBRARIES: dict[tuple[str, str], Library] = {}
_LOADING = Lock()
# A child that is forked while another thread compiles would wait for LLVM's own lock for ever.
os.register_at_fork(before=_LOADING.acquire, after_in_parent=_LOADING.release, after_in_child=_LOADING.release)


class Library:
    """Compiled kernels; they live as long as this object. Calls release the interpreter's lock."""

    def __init__(self, machine_code: bytes, isa: InstructionSet, kernels: Sequence[Kernel]) -> None:
        empty = llvm.parse_assembly("")
        self._engine = llvm.create_mcjit_compiler(empty, _target_machine(isa))
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
        self._engine.finalize_object()
        self._functions = {kernel.name: self._function(kernel) for kernel in kernels}

    def __getitem__(self, name: str) -> Callable[..., int]:
        """Return a kernel as a function of numbers and addresses, in the order of its parameters, unchecked."""
        return self._functions[name]

    def _function(self, kernel: Kernel) -> Callable[..., int]:
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(kernel.parameters))
        return kind(self._engine.get_function_address(kernel.name))


def load(name: str, kernels: Sequence[Kernel], isa: InstructionSet, *, unroll: bool = False) -> Library:
    """Load kernels from the cache, or compile them; once in a process.

    Args:
        name: of the kernels together.
        kernels: the same for each call with this name.
        isa: the instruction set; this processor must have it.
        unroll: whether LLVM may repeat what loops do, which takes more registers.
    """
    if library := _LIBRARIES.get((name, isa.name)):  # a search does not wait while the networks are compiled
        return library
    with _LOADING:
        if (name, isa.name) not in _LIBRARIES:
            machine_code = _cached(f"{name}-{isa.name}-{_digest(kernels)}.o", partial(compiled, kernels, isa, unroll))
            _LIBRARIES[name, isa.name] = Library(machine_code, isa, kernels)
        return _LIBRARIES[name, isa.name]


def _cached(key: str, make: Callable[[], bytes]) -> bytes:
    cache = open_user_cache("kernels")
    return cache.get_or_make(key, make) if cache else make()


def compiled(kernels: Sequence[Kernel], isa: InstructionSet, unroll: bool = False) -> bytes:
    """Compile kernels to an object file."""
    machine = _target_machine(isa)
    module = llvm.parse_assembly(llvm_ir(kernels, isa))
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.loop_unrolling = unroll
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    return machine.emit_object(module)


def llvm_ir(kernels: Sequence[Kernel], isa: InstructionSet) -> str:
    """Write the kernels in LLVM's language."""
    codes = [Code(isa) for _ in kernels]
    functions = [kernel.text(code) for kernel, code in zip(kernels, codes, strict=True)]
    declarations = {line for code in codes for line in code.declarations.values()}
    # Inlined into the function that calls them all, kernels would take long to compile, and gain nothing.
    attributes = f'attributes #0 = {{ noinline nounwind "min-legal-vector-width"="{8 * isa.vector_bytes}" }}'
    return "\n\n".join([*sorted(declarations), *functions, attributes])


class _TargetMachine(Protocol):
    """What is used of llvmlite's, which has no types."""

    triple: str
    target_data: object

    def emit_object(self, module: object) -> bytes: ...


def _target_machine(isa: InstructionSet) -> _TargetMachine:
    """Return a new one each time: an engine frees its own."""
    cpu, features = isa.target
    if llvm.get_default_triple().startswith(("aarch64", "arm64") if isa.arm else "x86_64"):
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        triple = llvm.get_default_triple()
        if isa in available()[:1]:  # with all that the processor has beside: the scan is quicker by a tenth
            cpu, features = llvm.get_host_cpu_name(), f"{llvm.get_host_cpu_features().flatten()},{features}"
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        triple = "aarch64-unknown-linux-gnu" if isa.arm else "x86_64-unknown-linux-gnu"
    target = llvm.Target.from_triple(triple)
    machine: _TargetMachine = target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)
    return machine


def _digest(kernels: Sequence[Kernel]) -> str:
    names = ",".join(kernel.name for kernel in kernels)
    return hashlib.sha256(f"{_source_digest()} {names}".encode()).hexdigest()[:16]


@cache
def _source_digest() -> str:
    processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    digest = hashlib.sha256(repr((llvmlite.__version__, llvm.llvm_version_info, processor)).encode())
    for file in sorted(files(__package__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()
