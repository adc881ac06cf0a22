"""Compile ONNX models with OpenVINO and run them on batches of images. No other module knows OpenVINO.

Each model is compiled twice, in OpenVINO's terms for latency (one inference on all cores), used while one call is
running, and for throughput (one core per inference), used while several are. A model compiled for a static shape is
faster than one for any shape, all the more when shapes alternate, so common shapes have their own. Compilation is
lazy. Transformed models are cached on disk; compiled ones are not, as OpenVINO verifies none that it reads back, and
compiling takes a quarter of a second more than reading.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from mien.engine.context import EngineContext, Floats, Pixels

# Without this, importing OpenVINO writes a tracking id into the home folder and reports usage to its makers.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # type: ignore[import-untyped]  # noqa: E402
from openvino.preprocess import PrePostProcessor  # type: ignore[import-untyped]  # noqa: E402

Shape = tuple[int, ...]
Compile = Callable[[Shape, int], ov.CompiledModel]

HOT_SHAPE_COUNT = 32
"""Calls with one (height, width) after which a model is compiled for it."""

MAX_STATIC_SHAPES = 8
"""Static shapes per model at most; each takes some megabytes."""

_DYNAMIC = (-1, -1)
_COMPILING = Lock()
"""Compilation sets the process's locale and restores it afterwards: two at once would leave it at "C"."""


class OpenVinoBackend:
    """Compiles models for the CPU, in bf16 where the processor supports it and in fp32 elsewhere.

    Args:
        context: cores and cached models.
    """

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._core = ov.Core()
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._precision = "bf16" if "BF16" in capabilities else "f32"

    def load_model(
        self,
        key: str,
        make: Callable[[], bytes],
        static_shapes: Sequence[Shape],
        *,
        batch_size: int = 1,
        swap_red_and_blue: bool = False,
    ) -> OpenVinoModel:
        """Prepare a model; it is read and compiled at the first call.

        Args:
            key: name of the transformed model in the cache, without suffix.
            make: returns the transformed ONNX model, whose one input is (n, 3, height, width).
            static_shapes: (height, width) of most inputs; empty to learn them from use.
            batch_size: images per inference.
            swap_red_and_blue: whether the model takes BGR.
        """

        @cache
        def dynamic_model() -> ov.Model:
            model = self._core.read_model(self._context.cached(f"{key}.onnx", make))
            return _with_pixel_input(model, swap_red_and_blue=swap_red_and_blue)

        def compile_for(shape: Shape, streams: int) -> ov.CompiledModel:
            model = dynamic_model().clone()  # the clone shares the weights
            model.reshape([*shape, 3])
            return self._compile(model, streams)

        return OpenVinoModel(compile_for, self._context, static_shapes, batch_size)

    def _compile(self, model: ov.Model, streams: int) -> ov.CompiledModel:
        hints = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "INFERENCE_NUM_THREADS": self._context.threads,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # pinned, two processes of one thread each took the same core
        }
        return self._core.compile_model(model, "CPU", hints)


class OpenVinoModel:
    """A `Network`, compiled for each of its static shapes and once for any other shape. Thread-safe without locks.

    Images are run in batches of `batch_size`, the remainder one by one, so that batch sizes are static too.
    """

    def __init__(
        self, compile_for: Compile, context: EngineContext, static_shapes: Sequence[Shape], batch_size: int
    ) -> None:
        self._context, self._batch_size = context, batch_size
        self._latency, self._throughput = (_CompiledVariants(compile_for, streams) for streams in (1, context.threads))
        self._static_shapes, self._learns_shapes = set(static_shapes), not static_shapes
        self._shape_counts = Counter[Shape]()

    def __call__(self, pixels: Pixels) -> Floats:
        """Run the model on n images of one size (n, height, width, 3); returns its one output (n, ...)."""
        variants = self._latency if self._context.is_idle() else self._throughput
        size = pixels.shape[1:3] if self._is_static(pixels.shape[1:3]) else _DYNAMIC
        parts = [variants.run((len(batch), *size), batch) for batch in self._batches(pixels)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _batches(self, pixels: Pixels) -> Iterator[Pixels]:
        in_batches = len(pixels) - len(pixels) % self._batch_size
        for start in range(0, in_batches, self._batch_size):
            yield pixels[start : start + self._batch_size]
        for start in range(in_batches, len(pixels)):
            yield pixels[start : start + 1]

    def _is_static(self, size: Shape) -> bool:
        if self._learns_shapes and size not in self._static_shapes and len(self._static_shapes) < MAX_STATIC_SHAPES:
            self._shape_counts[size] += 1
            if self._shape_counts[size] == HOT_SHAPE_COUNT:
                self._static_shapes.add(size)
        return size in self._static_shapes


class _CompiledVariants:
    """One model compiled for several shapes (images, height, width), each at its first use."""

    def __init__(self, compile_for: Compile, streams: int) -> None:
        self._compile_for, self._streams = compile_for, streams
        self._compiled: dict[Shape, _RequestPool] = {}

    def run(self, shape: Shape, pixels: Pixels) -> Floats:
        requests = self._compiled.get(shape) or self._compile(shape)
        return requests.run(pixels)

    def _compile(self, shape: Shape) -> _RequestPool:
        with _COMPILING:
            if shape not in self._compiled:
                self._compiled[shape] = _RequestPool(self._compile_for(shape, self._streams))
            return self._compiled[shape]


class _RequestPool:
    """Idle inference requests of one compiled model; grows to the number of calls that ever ran at once."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._model = model
        self._idle: deque[Any] = deque()

    def run(self, pixels: Pixels) -> Floats:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        # The tensor shares the array's memory without keeping it alive, so the array needs a name until `infer` ends.
        values = pixels.astype(np.float32)
        try:
            request.set_input_tensor(ov.Tensor(values, shared_memory=True))
            result: Floats = request.infer()[0]  # a copy
            return result
        finally:
            self._idle.append(request)


def _with_pixel_input(model: ov.Model, *, swap_red_and_blue: bool) -> ov.Model:
    """Change the input's layout to channels-last fp32; NumPy converts bytes in a third of OpenVINO's time."""
    steps = PrePostProcessor(model)
    steps.input().tensor().set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    if swap_red_and_blue:
        steps.input().preprocess().reverse_channels()  # free: OpenVINO merges it into the first convolution
    return steps.build()
