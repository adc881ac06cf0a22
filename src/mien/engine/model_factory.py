"""Model files go in, networks come out, each computed in the way that is quickest on this processor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from mien.engine import model_files, sface
from mien.engine.align import SIDE
from mien.engine.arrays import Network
from mien.engine.context import EngineContext
from mien.engine.model_files import Weights
from mien.engine.octets import suits_processor
from mien.engine.onnx_passes import decompose_prelu, dequantize_weights, fuse_heads
from mien.engine.yunet import YuNet

if TYPE_CHECKING:
    from mien.engine.openvino_backend import OpenVinoRuntime

AT_ONCE = 4  # faces through the embedder; more gain little, and fewer are left over


class ModelFactory:
    """In whole numbers, by loops of our own, where the processor suits them, and in floating point elsewhere."""

    def __init__(self, machine: EngineContext) -> None:
        self._machine = machine

    def detector(self, model: Weights, strides: Sequence[int], usual: Sequence[tuple[int, int]] = ()) -> Network:
        """YuNet with the grids of some strides; `usual` are the (height, width) of most inputs, if known beforehand."""
        read = partial(model.prepared, dequantize_weights, partial(fuse_heads, strides=strides))
        if suits_processor() and model.sha256 == model_files.DETECTOR.sha256:
            return YuNet(read)
        key = "-".join(map(str, (model.sha256, "strides", *strides)))
        return self._in_floats.network(key, read, usual, reverse=True)

    def embedder(self, model: Weights) -> Network:
        """SFace, or another network that makes vectors of crops."""
        if not suits_processor():
            return self._embedder_in_floats(model)
        key = f"{model.sha256}-{sface.LAYOUT}.npz"
        read = partial(self._machine.kept, key, partial(model.prepared, dequantize_weights, sface.prepare))
        return sface.SFace(read, partial(self._embedder_in_floats, model), self._machine)

    def _embedder_in_floats(self, model: Weights) -> Network:
        read = partial(model.prepared, dequantize_weights, decompose_prelu)
        return self._in_floats.network(f"{model.sha256}-written-out", read, [(SIDE, SIDE)], at_once=AT_ONCE)

    @cached_property
    def _in_floats(self) -> OpenVinoRuntime:
        from mien.engine.openvino_backend import (
            OpenVinoRuntime,  # takes a quarter of a second, for nothing where it is not needed
        )

        return OpenVinoRuntime(self._machine)
