"""Run SFace in int8 on all cores."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from threading import Lock

import numpy as np

from mien.engine.context import EngineContext, Floats, Network, Pixels
from mien.engine.int8.executor import Kernels, kernels
from mien.engine.model_files import UnsupportedModel
from mien.engine.sface.program import KERNELS, MAX_BATCH, Arrays, Program, packed
from mien.engine.sface.quantize import count, read_layers

_Ready = tuple[Arrays, Kernels]


def prepare(content: bytes) -> bytes:
    """Quantise and pack SFace's ONNX model with plain weights; returns the .npz file that `SFace` reads.

    Raises:
        UnsupportedModel: another network, or one of other sizes.
    """
    file = io.BytesIO()
    np.savez(file, **packed(count(read_layers(content))))  # type: ignore[arg-type]
    return file.getvalue()


class SFace:
    """The embedder, thread-safe; no lock is held during inference. It is read and compiled at the first call.

    A call uses all cores while no other call of the engine is running.

    Args:
        read: returns the result of `prepare`.
        otherwise: builds the network to use when `read` raises UnsupportedModel.
        context: cores and running calls.
    """

    def __init__(self, read: Callable[[], bytes], otherwise: Callable[[], Network], context: EngineContext) -> None:
        self._read, self._otherwise, self._context = read, otherwise, context
        self._idle: deque[Program] = deque()
        self._preparing = Lock()
        self._workers = ThreadPoolExecutor(context.threads, "sface")  # starts no thread before it is needed

    def __call__(self, faces: Pixels) -> Floats:
        """Embed n > 0 aligned faces (n, 112, 112, 3), RGB, uint8; returns (n, 128), float32, not normalised."""
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
        with np.load(io.BytesIO(self._read())) as arrays:
            return dict(arrays)

    def _in_parts(self, ready: _Ready, faces: Pixels) -> Floats:
        threads = self._context.threads
        helped = threads > 1 and self._context.is_idle()
        size = min(-(-len(faces) // threads), MAX_BATCH) if helped else MAX_BATCH
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
