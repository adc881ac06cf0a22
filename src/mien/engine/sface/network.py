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

from mien.engine.arrays import Floats, Network, Pixels
from mien.engine.machine import Machine
from mien.engine.octets.follow import Kernels, kernels
from mien.engine.sface.counted import count
from mien.engine.sface.last import AT_ONCE
from mien.engine.sface.layers import read_layers
from mien.engine.sface.packing import Arrays, packed
from mien.engine.sface.program import KERNELS, Program
from mien.engine.weights import OtherLayers

_Ready = tuple[Arrays, Kernels]


def prepare(content: bytes) -> bytes:
    """SFace's ONNX model, with plain weights, as `SFace` takes it. Raises OtherLayers."""
    file = io.BytesIO()
    np.savez(file, **packed(count(read_layers(content))))  # type: ignore[arg-type]
    return file.getvalue()


class SFace:
    """The network; safe to call from many threads, and no lock is held meanwhile.

    `read` gives what `prepare` gave, or the file with it. Nothing is read or compiled before the first call; when
    `read` raises OtherLayers then, the network that `otherwise` gives is called instead. A call that is alone takes all
    cores of the machine.
    """

    def __init__(self, read: Callable[[], bytes | Path], otherwise: Callable[[], Network], machine: Machine) -> None:
        self._read, self._otherwise, self._machine = read, otherwise, machine
        self._idle: deque[Program] = deque()
        self._preparing = Lock()

    def __call__(self, faces: Pixels) -> Floats:
        """The vectors (n, 128) of faces (n, 112, 112, 3), RGB, for n > 0."""
        with self._preparing:
            network = self._network
        return network(faces)

    @cached_property
    def _network(self) -> Network:
        try:
            content = self._read()
        except OtherLayers:
            return self._otherwise()
        with np.load(io.BytesIO(content) if isinstance(content, bytes) else content) as arrays:
            ready = {name: arrays[name] for name in arrays}, kernels(KERNELS)
        return partial(self._in_parts, ready)

    def _in_parts(self, ready: _Ready, faces: Pixels) -> Floats:
        threads = self._machine.threads
        helped = threads > 1 and self._machine.alone()
        size = min(-(-len(faces) // threads), AT_ONCE) if helped else AT_ONCE
        parts = [faces[first : first + size] for first in range(0, len(faces), size)]
        each = self._workers.map if helped and len(parts) > 1 else map
        return np.concatenate(list(each(partial(self._run, ready), parts)))

    def _run(self, ready: _Ready, faces: Pixels) -> Floats:
        try:
            program = self._idle.pop()
        except IndexError:
            program = Program(*ready)
        try:
            return program.run(faces)
        finally:
            self._idle.append(program)

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._machine.threads, "sface")
