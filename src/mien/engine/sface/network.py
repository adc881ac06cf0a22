"""Aligned faces go in, their vectors come out, on all cores: SFace in whole numbers."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from threading import Lock

import numpy as np

from mien.engine.decode import Pixels
from mien.engine.sface.counted import count
from mien.engine.sface.ends import AT_ONCE
from mien.engine.sface.layers import read_layers
from mien.engine.sface.packing import packed
from mien.engine.sface.program import Floats, Memory, Program
from mien.engine.sface.whole import KERNELS
from mien.engine.weights import OtherLayers
from mien.native.machine import compiled, features

Network = Callable[[Pixels], Floats]

_NEEDED = {"avx512bw", "avx512vnni"}
_BETTER = "amx-int8"


def suits_processor() -> bool:
    """Whether this processor has the kernels' instructions, and no quicker ones that OpenVINO uses."""
    there = features()
    return there >= _NEEDED and _BETTER not in there


def prepare(content: bytes) -> bytes:
    """SFace's ONNX model, with plain weights, as `SFace` takes it. Raises OtherLayers."""
    file = io.BytesIO()
    np.savez(file, **packed(count(read_layers(content))))  # type: ignore[arg-type]
    return file.getvalue()


class SFace:
    """The network; safe to call from many threads, and no lock is held meanwhile.

    `read` gives what `prepare` gave, or the file with it. Nothing is read or compiled before the first call; when
    `read` raises OtherLayers then, `otherwise` is called instead. `alone` says whether no other call is to be expected:
    one call takes all `threads` then.
    """

    def __init__(
        self, read: Callable[[], bytes | Path], otherwise: Network, threads: int, alone: Callable[[], bool]
    ) -> None:
        self._read, self._otherwise, self._threads, self._alone = read, otherwise, threads, alone
        self._idle: deque[Memory] = deque()
        self._preparing = Lock()

    def __call__(self, faces: Pixels) -> Floats:
        """The vectors (n, 128) of faces (n, 112, 112, 3), RGB, for n > 0."""
        with self._preparing:
            program = self._program
        if not program:
            return self._otherwise(faces)
        helped = self._threads > 1 and self._alone()
        size = min(-(-len(faces) // self._threads), AT_ONCE) if helped else AT_ONCE
        parts = [faces[first : first + size] for first in range(0, len(faces), size)]
        each = self._workers.map if helped and len(parts) > 1 else map
        return np.concatenate(list(each(partial(self._run, program), parts)))

    def _run(self, program: Program, faces: Pixels) -> Floats:
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = program.memory()
        try:
            return program.run(faces, memory)
        finally:
            self._idle.append(memory)

    @cached_property
    def _program(self) -> Program | None:
        try:
            content = self._read()
        except OtherLayers:
            return None
        with np.load(io.BytesIO(content) if isinstance(content, bytes) else content) as arrays:
            return Program({name: arrays[name] for name in arrays}, compiled(KERNELS))

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, "sface")
