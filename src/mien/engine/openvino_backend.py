"""An ONNX model and batches of pixels go in, an array comes out: the only file that knows OpenVINO.

Each model is compiled twice: wide (one inference on all cores) for a caller that is alone, and narrow (one core
per inference) for callers that come at once. A model compiled for one shape is faster than one for any, all the more
when shapes alternate, so usual ones have their own. Nothing is compiled before it is needed; folded and
compiled models are cached on disk.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engine.arrays import Floats
from mien.engine.context import EngineContext

# Without this, importing OpenVINO writes a tracking id into the home folder and reports usage to its makers.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # type: ignore[import-untyped]  # noqa: E402
from openvino.preprocess import PrePostProcessor  # type: ignore[import-untyped]  # noqa: E402

Size = tuple[int, ...]
Compile = Callable[[Size, int], ov.CompiledModel]

ANY_SIZE = (-1, -1)
COMPILING = Lock()  # OpenVINO sets the process's locale meanwhile and restores what it found: two at once leave "C"
OFTEN = 32
MOST_SIZES = 8  # each takes some megabytes


class FloatNetwork:
    """A model for (n, height, width, 3) bytes, safe to call from many threads; no lock is held during inference.

    It is compiled for each (height, width) of `usual`, or if there is none, for those that prove to be so. Images go
    through it `at_once` together, those that are left over one by one: both shapes are known beforehand.
    """

    def __init__(self, compile_for: Compile, machine: EngineContext, usual: Sequence[Size], at_once: int) -> None:
        self._wide, self._narrow = (_Variants(compile_for, streams) for streams in (1, machine.threads))
        self._usual, self._learns = set(usual), not usual
        self._met, self._at_once, self._alone = Counter[Size](), at_once, machine.alone

    def __call__(self, pixels: NDArray[np.uint8]) -> Floats:
        """Run n images through the model; its one output, with n as its first dimension."""
        model = self._wide if self._alone() else self._narrow
        size = pixels.shape[1:3] if self._is_usual(pixels.shape[1:3]) else ANY_SIZE
        parts = [model.run((len(part), *size), part) for part in self._parts(pixels)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _parts(self, pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        together = len(pixels) - len(pixels) % self._at_once
        for first in range(0, together, self._at_once):
            yield pixels[first : first + self._at_once]
        for first in range(together, len(pixels)):
            yield pixels[first : first + 1]

    def _is_usual(self, size: Size) -> bool:
        if self._learns and size not in self._usual and len(self._usual) < MOST_SIZES:
            self._met[size] += 1
            if self._met[size] == OFTEN:
                self._usual.add(size)
        return size in self._usual


class _Variants:
    """One model compiled for several (images, height, width), each at its first use."""

    def __init__(self, compile_for: Compile, streams: int) -> None:
        self._compile_for, self._streams = compile_for, streams
        self._compiled: dict[Size, _Requests] = {}

    def run(self, shape: Size, pixels: NDArray[np.uint8]) -> Floats:
        requests = self._compiled.get(shape) or self._compile(shape)
        return requests.run(pixels)

    def _compile(self, shape: Size) -> _Requests:
        with COMPILING:
            if shape not in self._compiled:
                self._compiled[shape] = _Requests(self._compile_for(shape, self._streams))
            return self._compiled[shape]


class _Requests:
    """Idle inference requests of one compiled model; as many come to be as calls ever ran at once."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._model = model
        self._idle: deque[Any] = deque()

    def run(self, pixels: NDArray[np.uint8]) -> Floats:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        values = pixels.astype(np.float32)  # a name for it, since a tensor does not keep alive what it shares
        try:
            request.set_input_tensor(ov.Tensor(values, shared_memory=True))
            result: Floats = request.infer()[0]  # a copy
            return result
        finally:
            self._idle.append(request)


class OpenVinoRuntime:
    """The processor as OpenVINO sees it; makes networks."""

    def __init__(self, machine: EngineContext) -> None:
        self._machine = machine
        self._core = ov.Core()
        if machine.cache:
            self._core.set_property({"CACHE_DIR": str(machine.cache)})
        self._precision = "bf16" if "BF16" in self._capabilities() else "f32"

    def network(
        self, key: str, make: Callable[[], bytes], usual: Sequence[Size], *, at_once: int = 1, reverse: bool = False
    ) -> FloatNetwork:
        """The network of the ONNX model that `make` gives; it is made once and kept in the cache under `key`.

        `usual` are the (height, width) of most inputs, none if only use will tell. `at_once` images run as one batch,
        or one where that gains nothing. Pixels are RGB; `reverse` turns them to BGR for the model.
        """

        @cache
        def whole() -> ov.Model:
            return _taking_pixels(self._core.read_model(self._machine.kept(f"{key}.onnx", make)), reverse=reverse)

        def compile_for(shape: Size, streams: int) -> ov.CompiledModel:
            model = whole().clone()  # shares the weights, which are read once
            model.reshape([*shape, 3])
            return self._compile(model, streams)

        return FloatNetwork(compile_for, self._machine, usual, at_once)

    def _compile(self, model: ov.Model, streams: int) -> ov.CompiledModel:
        hints = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "INFERENCE_NUM_THREADS": self._machine.threads,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # pinned, two processes of one thread each took the same core
        }
        return self._core.compile_model(model, "CPU", hints)

    def _capabilities(self) -> list[str]:
        return list(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _taking_pixels(model: ov.Model, *, reverse: bool) -> ov.Model:
    """The model with colours as its last dimension, as fp32: OpenVINO takes thrice NumPy's time to convert bytes."""
    steps = PrePostProcessor(model)
    steps.input().tensor().set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    if reverse:
        steps.input().preprocess().reverse_channels()  # OpenVINO merges it into the first weights: it costs nothing
    return steps.build()
