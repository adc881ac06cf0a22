"""A folded ONNX model and batches of pixels go in, arrays come out: the only file that knows OpenVINO.

Each model is compiled twice: wide (one inference on all cores) for a caller that is alone, and narrow (one core
per inference) for callers that come at once. Folded and compiled models are cached on disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

# Without this, importing OpenVINO writes a tracking id into the home folder and reports usage to its makers.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # type: ignore[import-untyped]  # noqa: E402
from openvino.preprocess import PrePostProcessor  # type: ignore[import-untyped]  # noqa: E402

Arrays = list[NDArray[np.float32]]


class Network:
    """A compiled model, safe to call from many threads at once; no lock is held during inference."""

    def __init__(self, wide: ov.CompiledModel, narrow: ov.CompiledModel, callers: deque[None]) -> None:
        self._wide, self._narrow = _Requests(wide), _Requests(narrow)
        self._callers = callers

    def __call__(self, pixels: NDArray[np.uint8]) -> Arrays:
        """Run (n, height, width, 3) bytes through the model; the outputs in the model's own order."""
        return (self._narrow if len(self._callers) > 1 else self._wide).run(pixels)


class _Requests:
    """Idle inference requests of one compiled model; as many come to be as calls ever ran at once."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._model = model
        self._idle: deque[Any] = deque()

    def run(self, pixels: NDArray[np.uint8]) -> Arrays:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        try:
            request.set_input_tensor(ov.Tensor(np.ascontiguousarray(pixels)))
            request.infer()
            return [tensor.data.copy() for tensor in request.output_tensors]
        finally:
            self._idle.append(request)


class Runtime:
    """The processor and the cache folder; makes Networks."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or os.cpu_count() or 1
        self._callers: deque[None] = deque()
        self._core = ov.Core()
        self._cache = _writable(user_cache_path("mien") / "models")
        if self._cache:
            self._core.set_property({"CACHE_DIR": str(self._cache)})
        self._precision = "bf16" if "BF16" in self._capabilities() else "f32"

    @contextmanager
    def caller(self) -> Iterator[None]:
        """Announce work on one photo, so that networks know who is alone."""
        self._callers.append(None)
        try:
            yield
        finally:
            self._callers.pop()

    def network(self, key: str, make: Callable[[], bytes], shape: list[int]) -> Network:
        """Compile the ONNX model that `make` gives; it is made once and kept in the cache under `key`.

        `shape` is (n, height, width, 3), -1 for any size. The model gets its channels as the caller orders them.
        """
        model = _taking_bytes(self._read(key, make), shape)
        wide = self._compile(model, streams=1)
        narrow = self._compile(model, streams=self.threads) if self.threads > 1 else wide
        return Network(wide, narrow, self._callers)

    def _read(self, key: str, make: Callable[[], bytes]) -> ov.Model:
        if not self._cache:
            return self._core.read_model(make())
        path = self._cache / f"{key}.onnx"
        if not path.exists():
            _write(path, make())
        return self._core.read_model(path)

    def _compile(self, model: ov.Model, streams: int) -> ov.CompiledModel:
        hints = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": streams,
        }
        return self._core.compile_model(model, "CPU", hints)

    def _capabilities(self) -> list[str]:
        return list(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _taking_bytes(model: ov.Model, shape: list[int]) -> ov.Model:
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    model = steps.build()
    model.reshape(shape)
    return model


def _writable(folder: Path) -> Path | None:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return None


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).replace(path)
