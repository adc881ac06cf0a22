"""Machine code is kept between processes, belongs to its source and processor, and survives threads and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from mien.domain.errors import SetupError
from mien.engine.networks import sface, yunet
from mien.gallery.vector_index import kernels as search
from mien.kernels import compiler, file_cache, instruction_sets
from mien.kernels.code import Code
from mien.kernels.compiler import compiled, llvm_ir, load
from mien.kernels.expressions import Pointer, Value
from mien.kernels.file_cache import FileCache
from mien.kernels.instruction_sets import INSTRUCTION_SETS, InstructionSet, available, current
from mien.kernels.signatures import Array, Kernel, Size
from mien.kernels.types import S64
from tests.support.process import PATIENCE_SECONDS


def _double(code: Code, *, count: Value, values: Pointer) -> None:
    for number in code.range(count):
        values[number] = values[number] * 2


DOUBLE = Kernel("double", (Size("count"), Array("values", S64, extent=Size("count"), written=True)), _double)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder, and a process that has loaded nothing."""
    monkeypatch.setattr(file_cache, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(compiler, "_LIBRARIES", {})
    return tmp_path / "kernels"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    made: list[bytes] = []
    monkeypatch.setattr(compiler, "compiled", lambda *terms: made.append(compiled(*terms)) or made[-1])
    return made


def doubled(isa: InstructionSet) -> list[int]:
    values = np.arange(5)
    load("double", [DOUBLE], isa)["double"](*DOUBLE.bind({"count": 5, "values": values}))
    return values.tolist()


def test_a_second_process_compiles_nothing(cache: Path, compilations: list[bytes], isa: InstructionSet) -> None:
    assert doubled(isa) == [0, 2, 4, 6, 8]
    compiler._LIBRARIES.clear()
    assert doubled(isa) == [0, 2, 4, 6, 8]
    assert len(compilations) == 1
    assert [path.name.startswith(f"double-{isa.name}-") for path in cache.iterdir()] == [True]


def test_other_kernels_of_the_same_name_together_are_compiled_anew(cache: Path, isa: InstructionSet) -> None:
    doubled(isa)
    compiler._LIBRARIES.clear()
    other = Kernel("other", DOUBLE.parameters, _double)
    values = np.arange(3)
    load("double", [other, DOUBLE], isa)["other"](*other.bind({"count": 3, "values": values}))
    assert values.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    "harm",
    ["changed", "cut short", "of another instruction set", "of another version", "read-only folder", "no folder"],
)
def test_a_cache_that_cannot_be_used_is_done_without(
    cache: Path, compilations: list[bytes], isa: InstructionSet, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubled(isa)
    compiler._LIBRARIES.clear()
    [path] = cache.iterdir()
    content = path.read_bytes()
    if harm == "changed":
        path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    elif harm == "cut short":
        path.write_bytes(content[:-1])
    elif harm == "of another instruction set":
        path.rename(path.with_name(path.name.replace(isa.name, "other")))
    elif harm == "of another version":  # which cannot know what this one's kernels are given
        FileCache(path.parent).get_or_make("double-of-another-version.o", lambda: compiled([DOUBLE], isa))
        path.with_name("double-of-another-version.o").replace(path)
    elif harm == "read-only folder":
        path.unlink()
        monkeypatch.setattr("mien.kernels.file_cache.tempfile.mkstemp", _refuse)
    else:
        monkeypatch.setattr(file_cache, "user_cache_path", lambda _: Path("/proc/nowhere"))
    assert doubled(isa) == [0, 2, 4, 6, 8]
    assert len(compilations) == 2


def _refuse(**_: object) -> None:
    raise OSError("read-only file system")


def test_other_source_is_other_code(cache: Path, isa: InstructionSet, monkeypatch: pytest.MonkeyPatch) -> None:
    doubled(isa)
    compiler._LIBRARIES.clear()
    monkeypatch.setattr(compiler, "_source_digest", lambda: "changed")
    doubled(isa)
    assert len(list(cache.iterdir())) == 2


def test_kernels_are_compiled_once_for_all_threads(cache: Path, compilations: list[bytes], isa: InstructionSet) -> None:
    threads = [threading.Thread(target=doubled, args=(isa,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compilations) == 1


def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    script = (
        "from mien.engine.networks import yunet; from mien.kernels import instruction_sets as isa;"
        "yunet.kernel_set(isa.current())"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(2)]
    assert [process.wait(PATIENCE_SECONDS) for process in both] == [0, 0]
    assert [path.suffix for path in (tmp_path / "mien/kernels").iterdir()] == [".o"]


def test_a_child_forked_during_a_compilation_can_compile(cache: Path, isa: InstructionSet) -> None:
    begun = threading.Event()

    def slow(*terms: object) -> bytes:
        begun.set()
        return compiled(*terms)

    compiler.compiled, original = slow, compiler.compiled
    try:
        thread = threading.Thread(target=load, args=("yunet", [yunet.STEM, *yunet.POINTWISE.values()], isa))
        thread.start()
        assert begun.wait(PATIENCE_SECONDS)
        child = os.fork()
        if not child:
            os._exit(0 if doubled(isa) == [0, 2, 4, 6, 8] else 1)
        assert os.waitpid(child, 0)[1] == 0
        thread.join()
    finally:
        compiler.compiled = original


@pytest.mark.parametrize(
    ("name", "instructions"),
    [
        ("avx512vnni", ["vpdpbusd", "%zmm"]),
        ("avxvnni", ["{vex}\tvpdpbusd", "%ymm"]),
        ("avx2", ["vpmaddubsw", "%ymm"]),
        ("neon-i8mm", ["usdot"]),
        ("neon-dotprod", ["sdot"]),
        ("neon", ["mul\tv"]),
    ],
)
def test_kernels_compile_for_each_instruction_set(name: str, instructions: list[str]) -> None:
    [isa] = [one for one in INSTRUCTION_SETS if one.name == name]
    machine = compiler._target_machine(isa)
    module = llvm.parse_assembly(llvm_ir([sface.POINTWISE, search.SEARCH], isa))
    module.triple = machine.triple
    text = machine.emit_assembly(module)
    missing = [one for one in instructions if one not in text]
    assert not missing


def test_the_setting_pretends_a_lesser_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    current.cache_clear()
    try:
        assert current() == available()[0]
        current.cache_clear()
        monkeypatch.setenv("MIEN_CPU", "")  # as in a file of settings, or from a container's parent
        assert current() == available()[0]
        for isa in available():
            current.cache_clear()
            monkeypatch.setenv("MIEN_CPU", isa.name)
            assert current() == isa
    finally:
        current.cache_clear()


@pytest.mark.parametrize(
    ("there", "wanted", "message"),
    [([], "auto", "AVX2 and FMA"), (available()[-1:], "neon", "MIEN_CPU is 'neon', but this processor has")],
)
def test_a_processor_that_lacks_what_is_needed_is_told_so(
    monkeypatch: pytest.MonkeyPatch, there: list[InstructionSet], wanted: str, message: str
) -> None:
    current.cache_clear()
    monkeypatch.setattr(instruction_sets, "available", lambda: there)
    monkeypatch.setenv("MIEN_CPU", wanted)
    try:
        with pytest.raises(SetupError, match=message):
            current()
    finally:
        current.cache_clear()
