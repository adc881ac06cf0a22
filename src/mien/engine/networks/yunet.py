"""Run YuNet in int8: pack its layers, place the feature maps of a canvas size in memory, and order the kernel calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from threading import Lock
from typing import TypeAlias

import numpy as np

from mien.domain.waiting import reset_in_forks
from mien.engine.context import Floats, Pixels
from mien.engine.networks import pack
from mien.engine.networks.feature_maps import FeatureMap, allocate
from mien.engine.networks.yunet_layers import (
    PIXELS,
    Convolution,
    Head,
    Layer,
    Pool,
    QuantizedConvolution,
    QuantizedHead,
    QuantizedLayer,
    QuantizedSum,
    Sum,
    quantize,
    ranges,
    read_layers,
)
from mien.kernels.convolutions import COLOURS, pointwise, stem
from mien.kernels.depthwise import channels_at_once, depthwise, depthwise_narrow, depthwise_widths, pixels_at_once
from mien.kernels.instruction_sets import InstructionSet, current
from mien.kernels.layers import CELL, HEAD_DEPTHWISE, HEAD_POINTWISE, MAX_POOL, PAD, UPSAMPLE_ADD
from mien.kernels.program import KernelSet, Operation, Program
from mien.kernels.signatures import Argument, Kernel
from mien.kernels.types import F32

PAIRS = 1
"""Of an epilogue: one scale and bias. ReLU is the byte's lower end."""
STEM_CHANNELS = 16
PANELS = (32, 16)
"""Channels of a pointwise layer's panel, the widest first."""
CELL_BYTES = CELL * F32.bytes

STEM = stem(2, STEM_CHANNELS, PAIRS)
POINTWISE = {panel: pointwise(panel, PAIRS, bounded=False) for panel in PANELS}

Maps: TypeAlias = Mapping[str, FeatureMap]
Arguments: TypeAlias = dict[str, Argument]


def read(content: bytes) -> list[QuantizedLayer]:
    """Read and quantise an ONNX model with fused heads and plain weights. Raises UnsupportedModel."""
    return quantize(read_layers(content), ranges())


@cache
def kernel_set(isa: InstructionSet) -> KernelSet:
    """Compile YuNet's kernels, or load them."""
    widths = depthwise_widths(isa)
    layers = [*POINTWISE.values(), *(depthwise(1, width, PAIRS) for width in widths)]
    layers += [_depthwise(width, isa) for width in widths if pixels_at_once(width, isa) > 1]
    return KernelSet("yunet", [STEM, *layers, PAD, MAX_POOL, UPSAMPLE_ADD, HEAD_POINTWISE, HEAD_DEPTHWISE], isa)


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer, and its constant arrays by the names of its kernels' parameters.

    Attributes:
        layer: in floats.
        arrays: of its kernel; of a head, of its pointwise one.
        others: of the kernel that follows: `pad`, or a head's depthwise one.
    """

    layer: Layer
    arrays: Arguments
    others: Arguments


def packed(layer: QuantizedLayer, isa: InstructionSet) -> PackedLayer:
    if isinstance(layer, Pool):
        return PackedLayer(layer, {}, {})
    if isinstance(layer, QuantizedSum):
        return PackedLayer(layer.layer, {"epilogue": layer.epilogue}, {})
    if isinstance(layer, QuantizedHead):
        weights = np.stack([pack.pack_pointwise(part, CELL) for part in layer.pointwise])
        others: Arguments = {"weights": layer.depthwise, "bias": layer.depthwise_bias}
        return PackedLayer(layer.layer, {"weights": weights, "epilogue": layer.epilogue}, others)
    return PackedLayer(layer.layer, _convolution_arrays(layer, isa), {"zero": layer.zero_point})


def _convolution_arrays(layer: QuantizedConvolution, isa: InstructionSet) -> Arguments:
    channels = len(layer.weights)
    if layer.layer.depthwise:
        weights, epilogue = pack.repeated_for_pixels(layer.weights, layer.epilogue, pixels_at_once(channels, isa))
        at_once = channels_at_once(len(weights), isa)
        return {
            "weights": pack.pack_depthwise(weights, at_once),
            "epilogue": pack.pack_depthwise_epilogue(epilogue, at_once),
        }
    if layer.layer.stem:
        return {
            "weights": pack.pack_stem(layer.weights),
            "epilogue": pack.pack_epilogue(layer.epilogue, STEM_CHANNELS),
        }
    panel = _panel(channels)
    return {
        "weights": pack.pack_pointwise(layer.weights[:, :, 0, 0], panel),
        "epilogue": pack.pack_epilogue(layer.epilogue, panel),
    }


def _depthwise(channels: int, isa: InstructionSet) -> Kernel:
    pixels = pixels_at_once(channels, isa)
    return (
        depthwise(1, channels_at_once(channels, isa), PAIRS)
        if pixels == 1
        else depthwise_narrow(channels, pixels, PAIRS)
    )


def _panel(channels: int) -> int:
    return next(panel for panel in PANELS if channels % panel == 0)


class InferencePlan:
    """The network for one thread and one canvas size: its memory, and the kernel calls.

    Args:
        layers: packed for the instruction set.
        isa: the instruction set.
        height: of the canvas, a multiple of 32.
        width: likewise.
    """

    def __init__(self, layers: Sequence[PackedLayer], isa: InstructionSet, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._isa = isa
        self._maps = _placed_maps([each.layer for each in layers], height, width)
        self._memory = allocate(max(one.end for one in self._maps.values()))
        heads = [self._maps[each.layer.target] for each in layers if isinstance(each.layer, Head)]
        cells = [head.height * head.width for head in heads]
        self._starts = iter(np.cumsum([0, *cells]).tolist())
        self._table = np.empty((sum(cells), CELL), np.float32)
        self._program = Program(kernel_set(isa), (one for each in layers for one in self._operations(each)))

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self._memory.nbytes

    def run(self, canvas: Pixels) -> Floats:
        """Return the table (cells, 16) of a canvas (height, width, 3), RGB."""
        self._maps[PIXELS].interior(self._memory)[:] = canvas
        self._program.run()
        return self._table.copy()

    def _operations(self, each: PackedLayer) -> Iterator[Operation]:
        layer = each.layer
        source, target = self._maps[layer.sources[0]], self._maps[layer.target]
        size: Arguments = {"height": target.height, "width": target.width}
        if isinstance(layer, Head):
            yield from self._head(each, source, target, size)
        elif isinstance(layer, Convolution):
            yield from self._convolution(each, source, target, size)
        else:
            maps = {"source": source.bytes(self._memory), "target": target.bytes(self._memory)}
            half = {"half": self._maps[layer.half].bytes(self._memory)} if isinstance(layer, Sum) else {}
            arguments = {**size, **maps, **half, **each.arrays, "channels": target.channels}
            yield Operation(UPSAMPLE_ADD if half else MAX_POOL, arguments)

    def _convolution(
        self, each: PackedLayer, source: FeatureMap, target: FeatureMap, size: Arguments
    ) -> Iterator[Operation]:
        layer, arguments = each.layer, {**size, **each.arrays, "source": source.bytes(self._memory)}
        if isinstance(layer, Convolution) and layer.depthwise:
            kernel = _depthwise(source.channels, self._isa)
            arguments |= {"source_row": source.row, "target": target.bytes(self._memory)}
            if pixels_at_once(source.channels, self._isa) == 1:
                arguments["channels"] = source.channels
            yield Operation(kernel, arguments)
            return
        arguments |= {"target_row": target.row, "target": target.from_interior(self._memory)}
        if source is self._maps[PIXELS]:
            yield Operation(STEM, {**arguments, "source_row": source.row})
        else:
            channels = {"inputs": source.channels, "outputs": target.channels}
            yield Operation(POINTWISE[_panel(target.channels)], {**arguments, **channels})
        if target.border:
            yield self._pad(target, each.others["zero"])

    def _head(self, each: PackedLayer, source: FeatureMap, target: FeatureMap, size: Arguments) -> Iterator[Operation]:
        """Its two kernels count the floats between them, not bytes."""
        row = target.row // F32.bytes
        yield Operation(
            HEAD_POINTWISE,
            {
                **size,
                **each.arrays,
                "inputs": source.channels,
                "target_row": row,
                "source": source.bytes(self._memory),
                "target": target.from_interior(self._memory).view(np.float32),
            },
        )
        yield self._pad(target, np.zeros(CELL_BYTES, np.uint8))
        table = self._table[next(self._starts) :]
        floats = target.bytes(self._memory).view(np.float32)
        yield Operation(HEAD_DEPTHWISE, {**size, **each.others, "source_row": row, "source": floats, "target": table})

    def _pad(self, target: FeatureMap, zero: Argument) -> Operation:
        size = {"height": target.height, "width": target.width, "channels": target.channels}
        return Operation(PAD, {**size, "zero": zero, "target": target.bytes(self._memory)})


def _placed_maps(layers: Sequence[Layer], height: int, width: int) -> Maps:
    """Place each map in memory that no other needs at the same time; that of the pixels has its own."""
    last_use = {name: number for number, layer in enumerate(layers) for name in layer.sources}
    maps = {PIXELS: FeatureMap(0, height, width, COLOURS)}
    last_use[PIXELS] = len(layers)
    for number, layer in enumerate(layers):
        last_use.setdefault(layer.target, number)
        busy = [one for name, one in maps.items() if last_use[name] >= number]
        maps[layer.target] = _in_first_gap(_feature_map(layer, maps[layer.sources[0]]), busy)
    return maps


def _feature_map(layer: Layer, source: FeatureMap) -> FeatureMap:
    if isinstance(layer, Head):
        return FeatureMap(0, source.height, source.width, CELL_BYTES)
    halves = isinstance(layer, Pool) or (isinstance(layer, Convolution) and layer.stem)
    channels = len(layer.weights) if isinstance(layer, Convolution) else source.channels
    border = isinstance(layer, Convolution) and not layer.stem and not layer.depthwise
    return FeatureMap(0, source.height >> halves, source.width >> halves, channels, int(border))


def _in_first_gap(one: FeatureMap, busy: Sequence[FeatureMap]) -> FeatureMap:
    start = 0
    for other in sorted(busy, key=lambda other: other.start):
        if start + one.end <= other.start:
            break
        start = max(start, other.end)
    return replace(one, start=start)


MAX_KEPT = 16
MAX_KEPT_BYTES = 8 * 1024 * 1024
"""Bytes of the largest plan that is kept for the next canvas of its size."""


class YuNet:
    """The detector, thread-safe; no lock is held during inference. It is read and compiled at the first call.

    Args:
        read: returns the quantised layers.
        isa: the instruction set; None for this processor's.
    """

    def __init__(self, read: Callable[[], Sequence[QuantizedLayer]], isa: InstructionSet | None = None) -> None:
        self._read, self._given_isa = read, isa
        self._idle: deque[InferencePlan] = deque(maxlen=MAX_KEPT)
        self._reset()
        reset_in_forks(self._reset)

    def _reset(self) -> None:
        self._lock = Lock()

    def __call__(self, canvases: Pixels) -> Floats:
        """Run n canvases (n, height, width, 3), RGB, uint8, sides multiples of 32; returns tables (n, cells, 16)."""
        return np.stack([self._run(canvas) for canvas in canvases])

    def _run(self, canvas: Pixels) -> Floats:
        plan = self._taken(*canvas.shape[:2])
        try:
            return plan.run(canvas)
        finally:
            if plan.size <= MAX_KEPT_BYTES:
                with self._lock:
                    self._idle.append(plan)

    def _taken(self, height: int, width: int) -> InferencePlan:
        with self._lock:
            layers = self._layers
            for plan in self._idle:
                if (plan.height, plan.width) == (height, width):
                    self._idle.remove(plan)
                    return plan
        return InferencePlan(layers, self._isa, height, width)

    @cached_property
    def _isa(self) -> InstructionSet:
        return self._given_isa or current()

    @cached_property
    def _layers(self) -> list[PackedLayer]:
        return [packed(layer, self._isa) for layer in self._read()]
