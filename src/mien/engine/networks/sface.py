"""Run SFace in int8: pack its layers, order the kernel calls of an inference, and use all cores.

A depthwise layer and the pointwise one after it are computed together, some rows at a time, so that what lies between
them stays in the core's L1 cache. Deep layers, whose weights are larger than their maps, are computed for all faces of
a batch before the next one.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from itertools import accumulate
from operator import mul
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.domain.faces import EMBEDDING_DIMENSION as DIMENSIONS
from mien.domain.waiting import reset_in_forks
from mien.engine.context import EngineContext, Floats, Pixels
from mien.engine.model_files import UnsupportedModel
from mien.engine.networks import pack
from mien.engine.networks.feature_maps import FeatureMap, allocate, in_sequence
from mien.engine.networks.sface_layers import PIXEL_ZERO_POINT, QuantizedConv, QuantizedSFace, quantize, read_layers
from mien.kernels.convolutions import COLOURS, MAX_LINEAR_BATCH, linear, pointwise, stem
from mien.kernels.depthwise import channels_at_once, depthwise, depthwise_widths
from mien.kernels.instruction_sets import InstructionSet, current
from mien.kernels.program import KernelSet, Operation, Program

Arrays: TypeAlias = dict[str, NDArray[Any]]

LAYOUT = "int8-2"
"""Names all that decides the arrays beside the model: other files are not read."""
SIDE = 112
PANEL = 32
PAIRS = 2
"""Of an epilogue: a PReLU."""
MAX_BATCH = MAX_LINEAR_BATCH
DEEP_SIDE = 14
"""Height and width of the maps from which on a layer is computed for all faces in turn."""
SCRATCH = 32 * 1024
"""Bytes between a depthwise and a pointwise layer at most, unless a row takes more."""

STEM, POINTWISE = stem(1, PANEL, PAIRS), pointwise(PANEL, PAIRS, bounded=True)
LINEAR = {images: linear(images, DIMENSIONS) for images in range(1, MAX_BATCH + 1)}


@cache
def kernel_set(isa: InstructionSet) -> KernelSet:
    """Compile SFace's kernels, or load them."""
    layers = [depthwise(stride, width, PAIRS) for stride in (1, 2) for width in depthwise_widths(isa)]
    return KernelSet("sface", [STEM, POINTWISE, *layers, *LINEAR.values()], isa)


def prepare(content: bytes) -> bytes:
    """Quantise and pack SFace's ONNX model with plain weights; returns the .npz file that `SFace` reads.

    Raises:
        UnsupportedModel: another network, or one of other sizes.
    """
    return saved(quantize(read_layers(content)))


def saved(network: QuantizedSFace) -> bytes:
    """Pack a quantised network to a .npz file. Raises UnsupportedModel for one of other sizes."""
    file = io.BytesIO()
    np.savez(file, **packed(network))  # type: ignore[arg-type]
    return file.getvalue()


def packed(network: QuantizedSFace) -> Arrays:
    """Return all weights and epilogues by name, as they are the same for every instruction set."""
    first, *others = network.convolutions
    if not _fits(first, others, len(network.linear.weights[0])):
        raise UnsupportedModel("the model's layers have other sizes than SFace's")
    arrays: Arrays = {
        "strides": np.array([layer.stride for layer in others[::2]]),
        "stem": pack.pack_stem(first.weights),
        "stem_epilogue": pack.pack_epilogue(first.epilogue, PANEL),
        "zero_0": first.zero_point,
        "linear": pack.pack_linear(network.linear.weights),
        "linear_epilogue": network.linear.epilogue,
    }
    for number, (depthwise_layer, pointwise_layer) in enumerate(zip(others[::2], others[1::2], strict=True)):
        arrays |= {
            f"depthwise_{number}": depthwise_layer.weights,
            f"depthwise_epilogue_{number}": depthwise_layer.epilogue,
            f"pointwise_{number}": pack.pack_pointwise(pointwise_layer.weights[:, :, 0, 0], PANEL),
            f"pointwise_epilogue_{number}": pack.pack_epilogue(pointwise_layer.epilogue, PANEL),
            f"zero_{number + 1}": pointwise_layer.zero_point,
        }
    return arrays


def _fits(first: QuantizedConv, others: Sequence[QuantizedConv], linear_inputs: int) -> bool:
    """Test whether the layers are a stem, pairs of a depthwise and a pointwise one, and a linear one."""
    side, channels = SIDE, PANEL
    fits = first.weights.shape == (PANEL, COLOURS, 3, 3) and first.stride == 1 and len(others) % 2 == 0
    for depthwise_layer, pointwise_layer in zip(others[::2], others[1::2], strict=False):
        fits &= side % depthwise_layer.stride == 0
        side //= depthwise_layer.stride
        fits &= depthwise_layer.weights.shape == (channels, 1, 3, 3)
        fits &= pointwise_layer.weights.shape[1:] == (channels, 1, 1) and pointwise_layer.stride == 1
        channels = len(pointwise_layer.weights)
        fits &= channels % PANEL == 0
    return fits and linear_inputs == side * side * channels


class InferencePlan:
    """The network for one thread: its memory, and the kernel calls for each number of faces.

    Args:
        arrays: the result of `packed`.
        isa: the instruction set.
    """

    def __init__(self, arrays: Arrays, isa: InstructionSet) -> None:
        self._arrays, self._isa = arrays, isa
        self._images, self._maps = _feature_maps(arrays)
        self._memory = allocate(self._maps[-1][-1].end)
        self._scratch = allocate(SCRATCH + max(one.row for one in self._maps[0]))
        self._embeddings = np.empty((MAX_BATCH, DIMENSIONS), np.float32)
        for maps in self._maps:
            for number, one in enumerate(maps):
                one.pixels(self._memory)[:] = arrays[f"zero_{number}"]
        for one in self._images:
            one.pixels(self._memory)[:] = PIXEL_ZERO_POINT
        kernels = kernel_set(isa)
        self._programs = [Program(kernels, self._operations(count)) for count in range(1, MAX_BATCH + 1)]

    def run(self, faces: Pixels) -> Floats:
        """Embed up to MAX_BATCH faces (n, 112, 112, 3); returns (n, 128)."""
        for image, face in zip(self._images, faces, strict=False):
            image.interior(self._memory)[:] = face
        self._programs[len(faces) - 1].run()
        return self._embeddings[: len(faces)].copy()

    def _operations(self, images: int) -> Iterator[Operation]:
        blocks = len(self._maps[0]) - 1
        first_deep = next(number for number in range(blocks) if self._maps[0][number].height <= DEEP_SIDE)
        for image, maps in zip(self._images[:images], self._maps, strict=False):
            yield self._stem(image, maps[0])
            for number in range(first_deep):
                yield from self._separable_block(number, maps[number], maps[number + 1])
        for number in range(first_deep, blocks):
            for maps in self._maps[:images]:
                yield from self._separable_block(number, maps[number], maps[number + 1])
        first, second = (maps[-1] for maps in self._maps[:2])
        yield Operation(
            LINEAR[images],
            {
                "inputs": first.size,
                "image_stride": second.start - first.start,
                "source": self._memory[first.start :],
                "weights": self._arrays["linear"],
                "epilogue": self._arrays["linear_epilogue"],
                "target": self._embeddings,
            },
        )

    def _stem(self, image: FeatureMap, target: FeatureMap) -> Operation:
        return Operation(
            STEM,
            {
                "height": SIDE,
                "width": SIDE,
                "source_row": image.row,
                "target_row": target.row,
                "source": image.bytes(self._memory),
                "weights": self._arrays["stem"],
                "epilogue": self._arrays["stem_epilogue"],
                "target": target.from_interior(self._memory),
            },
        )

    def _separable_block(self, number: int, source: FeatureMap, target: FeatureMap) -> Iterator[Operation]:
        """A depthwise and a pointwise layer, some rows at a time."""
        stride, at_once = source.height // target.height, channels_at_once(source.channels, self._isa)
        weights = pack.pack_depthwise(self._arrays[f"depthwise_{number}"], at_once)
        epilogue = pack.pack_depthwise_epilogue(self._arrays[f"depthwise_epilogue_{number}"], at_once)
        rows = max(SCRATCH // (target.width * source.channels), 1)
        for first in range(0, target.height, rows):
            size = {"height": min(rows, target.height - first), "width": target.width}
            yield Operation(
                depthwise(stride, at_once, PAIRS),
                {
                    **size,
                    "source_row": source.row,
                    "channels": source.channels,
                    "source": source.bytes(self._memory)[first * stride * source.row :],
                    "weights": weights,
                    "epilogue": epilogue,
                    "target": self._scratch,
                },
            )
            yield Operation(
                POINTWISE,
                {
                    **size,
                    "inputs": source.channels,
                    "outputs": target.channels,
                    "target_row": target.row,
                    "source": self._scratch,
                    "weights": self._arrays[f"pointwise_{number}"],
                    "epilogue": self._arrays[f"pointwise_epilogue_{number}"],
                    "target": target.from_interior(self._memory)[first * target.row :],
                },
            )


def _feature_maps(arrays: Arrays) -> tuple[list[FeatureMap], list[list[FeatureMap]]]:
    """Lay out the pixels of each image, and for each image the maps between the layers; large ones are shared.

    Between the last maps of all images lie equal distances.
    """
    strides = [1, *arrays["strides"].tolist()]
    sides = [SIDE // side for side in accumulate(strides, mul)]
    shapes = [(side, side, len(arrays[f"zero_{number}"])) for number, side in enumerate(sides)]
    images = in_sequence([(SIDE, SIDE, COLOURS)] * MAX_BATCH)
    shared = in_sequence([shape for shape in shapes if shape[0] > DEEP_SIDE], images[-1].end)
    maps, end = [], shared[-1].end
    for _ in range(MAX_BATCH):
        deep = in_sequence(shapes[len(shared) : -1], end)
        deep += in_sequence(shapes[-1:], deep[-1].end, border=0)
        end = deep[-1].end
        maps.append([*shared, *deep])
    return images, maps


class SFace:
    """The embedder, thread-safe; no lock is held during inference. It is read and compiled at the first call.

    A call uses all cores while no other call of the engine is running.

    Args:
        read: returns the result of `prepare`.
        context: cores and running calls.
        isa: the instruction set; None for this processor's.
    """

    def __init__(self, read: Callable[[], bytes], context: EngineContext, isa: InstructionSet | None = None) -> None:
        self._read, self._context, self._isa = read, context, isa
        self._idle: deque[InferencePlan] = deque()
        self._reset()
        reset_in_forks(self._reset)

    def _reset(self) -> None:
        self._preparing = Lock()
        self._workers = ThreadPoolExecutor(self._context.threads, "sface")  # starts no thread before it is needed

    def __call__(self, faces: Pixels) -> Floats:
        """Embed n > 0 aligned faces (n, 112, 112, 3), RGB, uint8; returns (n, 128), float32, not normalised."""
        with self._preparing:
            arrays = self._arrays
        threads = self._context.threads
        in_parallel = threads > 1 and self._context.is_idle()
        size = min(-(-len(faces) // threads), MAX_BATCH) if in_parallel else MAX_BATCH
        parts = [faces[first : first + size] for first in range(0, len(faces), size)]
        if len(parts) == 1 or not in_parallel:
            return np.concatenate([self._run(arrays, part) for part in parts])
        return np.concatenate(list(self._workers.map(self._run, [arrays] * len(parts), parts)))

    @cached_property
    def _arrays(self) -> Arrays:
        with np.load(io.BytesIO(self._read())) as arrays:
            return dict(arrays)

    def _run(self, arrays: Arrays, faces: Pixels) -> Floats:
        try:
            plan = self._idle.pop()
        except IndexError:
            plan = InferencePlan(arrays, self._isa or current())
        try:
            return plan.run(faces)
        finally:
            self._idle.append(plan)
