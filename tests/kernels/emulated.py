"""Run kernels for ARM's processors under qemu-user.

The packages are qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mien.kernels.compiler import compiled
from mien.kernels.instruction_sets import INSTRUCTION_SETS, InstructionSet, available
from mien.kernels.signatures import Argument, Kernel
from tests.support.process import PATIENCE_SECONDS

GCC, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64"
_DRIVER = Path(__file__).with_name("emulated_driver.c")


def emulated_sets() -> list[InstructionSet]:
    """The instruction sets of ARM that this machine can only emulate; none without the tools."""
    there = shutil.which(GCC) and shutil.which(QEMU) and not available()[0].arm
    return [isa for isa in INSTRUCTION_SETS if isa.arm] if there and _can_link() else []


def _can_link() -> bool:
    """Whether the compiler has a C library, which is a package that it only recommends."""
    command = [GCC, "-print-file-name=crt1.o"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    return Path(told.stdout.strip()).is_absolute()


def run_emulated(
    isa: InstructionSet,
    kernel: Kernel,
    arguments: dict[str, Argument],
    *,
    at_end: bool,
    table: str = "",
    further: Sequence[np.ndarray] = (),
) -> None:
    """Run a kernel, with its arrays at the end, or at the beginning, of their memory; arrays are changed in place.

    A `table` among the arguments may have the addresses of `further` arrays, which are only read.
    """
    kernel.bind(arguments)
    values = [arguments[one.name] for one in kernel.parameters]
    content = [np.int64(len(values)).tobytes()]
    for value in values:
        is_array = isinstance(value, np.ndarray)
        content.append(np.array([is_array, value.nbytes if is_array else value], np.int64).tobytes())
        content.append(value.tobytes() if is_array else b"")
    names = [one.name for one in kernel.parameters]
    content.append(np.array([len(further), names.index(table) if table else 0], np.int64).tobytes())
    for array in further:
        content += [np.array([array.ctypes.data, array.nbytes], np.int64).tobytes(), array.tobytes()]
    command = [QEMU, "-cpu", "max", _program(isa, kernel), "1" if at_end else "0"]
    done = subprocess.run(
        command, input=b"".join(content), stdout=subprocess.PIPE, check=True, timeout=PATIENCE_SECONDS
    )
    changed = memoryview(done.stdout)
    for number, value in enumerate(values):
        if isinstance(value, np.ndarray):
            if names[number] != table:
                value[...] = np.frombuffer(changed[: value.nbytes], value.dtype).reshape(value.shape)
            changed = changed[value.nbytes :]


@cache
def _folder() -> TemporaryDirectory[str]:
    """A folder that goes when the process ends."""
    return TemporaryDirectory(prefix="mien-emulated-")


@cache
def _program(isa: InstructionSet, kernel: Kernel) -> Path:
    machine_code = Path(_folder().name) / f"{kernel.name}-{isa.name}.o"
    machine_code.write_bytes(compiled([kernel], isa))
    program = machine_code.with_suffix("")
    command = [GCC, "-O1", "-static", f"-DKERNEL={kernel.name}", "-o", program, _DRIVER, machine_code, "-lm"]
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    return program
