"""Canvases go in, their tables come out: YuNet in whole numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property
from threading import Lock

import numpy as np

from mien.engine.arrays import Floats, Pixels
from mien.engine.octets.follow import Kernels, kernels
from mien.engine.yunet.counted import count, ranges
from mien.engine.yunet.graph import read_layers
from mien.engine.yunet.kernels import KERNELS
from mien.engine.yunet.program import Packed, Program, packed

MOST_KEPT = 8
LARGEST_KEPT = 8 * 1024 * 1024
"""Bytes of a program that is kept for the next canvas of its size."""


class YuNet:
    """The network; safe to call from many threads, and no lock is held while it is computed.

    `read` gives the ONNX model with joined heads. Nothing is read or compiled before the first call.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._idle: deque[Program] = deque(maxlen=MOST_KEPT)
        self._lock = Lock()

    def __call__(self, canvases: Pixels) -> Floats:
        """The tables (n, cells, 16) of canvases (n, height, width, 3), RGB; both sides are multiples of 32."""
        return np.stack([self._run(canvas) for canvas in canvases])

    def _run(self, canvas: Pixels) -> Floats:
        program = self._taken(*canvas.shape[:2])
        try:
            return program.run(canvas)
        finally:
            if program.size <= LARGEST_KEPT:
                with self._lock:
                    self._idle.append(program)

    def _taken(self, height: int, width: int) -> Program:
        with self._lock:
            ready = self._ready
            for program in self._idle:
                if (program.height, program.width) == (height, width):
                    self._idle.remove(program)
                    return program
        return Program(*ready, height, width)

    @cached_property
    def _ready(self) -> tuple[list[Packed], Kernels]:
        return [packed(layer) for layer in count(read_layers(self._read()), ranges())], kernels(KERNELS)
