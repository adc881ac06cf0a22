"""Aligned faces go in, their vectors come out, on all cores: SFace in whole numbers."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np

from mien.engine.arrays import Floats, Network, Pixels
from mien.engine.context import EngineContext
from mien.engine.model_files import UnsupportedModel
from mien.engine.octets.executor import Kernels, kernels
from mien.engine.sface.layers import read_layers
from mien.engine.sface.program import AT_ONCE, KERNELS, Arrays, Program, packed
from mien.engine.sface.quantize import count

_Ready = tuple[Arrays, Kernels]
_DAMAGED = (BadZipFile, EOFError, ValueError)
"""What reading a file makes of one that was cut short or changed; each of its arrays has a checksum."""


def prepare(content: bytes) -> bytes:
    """SFace's ONNX model, with plain weights, as `SFace` takes it. Raises OtherLayers."""
    file = io.BytesIO()
    np.savez(file, **packed(count(read_layers(content))))  # type: ignore[arg-type]
    return file.getvalue()


def _opened(file: BinaryIO | Path) -> Arrays:
    with np.load(file) as arrays:
        return dict(arrays)


class SFace:
    """The network; safe to call from many threads, and no lock is held while it is computed.

    `read` gives what `prepare` gave, or the file with it. Nothing is read or compiled before the first call; when
    `read` raises OtherLayers then, the network that `otherwise` gives is called instead. A call that is alone takes all
    cores of the machine.
    """

    def __init__(
        self, read: Callable[[], bytes | Path], otherwise: Callable[[], Network], machine: EngineContext
    ) -> None:
        self._read, self._otherwise, self._machine = read, otherwise, machine
        self._idle: deque[Program] = deque()
        self._preparing = Lock()
        self._workers = ThreadPoolExecutor(machine.threads, "sface")  # starts no thread before it is needed

    def __call__(self, faces: Pixels) -> Floats:
        """The vectors (n, 128) of faces (n, 112, 112, 3), RGB, for n > 0."""
        with self._preparing:
            network = self._network
        return network(faces)

    @cached_property
    def _network(self) -> Network:
        try:
            arrays = self._arrays()
        except UnsupportedModel:
            return self._otherwise()
        return partial(self._in_parts, (arrays, kernels(KERNELS)))

    def _arrays(self) -> Arrays:
        content = self._read()
        if isinstance(content, bytes):
            return _opened(io.BytesIO(content))
        try:
            return _opened(content)
        except _DAMAGED:
            content.unlink(missing_ok=True)
            return self._arrays()

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
