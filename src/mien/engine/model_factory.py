"""Build the detector and the embedder from their model files, for the processor that runs them.

With AVX-512 VNNI both networks run in int8 by custom JIT kernels; elsewhere OpenVINO runs them in bf16 or fp32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from mien.engine import model_files, sface
from mien.engine.context import EngineContext, Network
from mien.engine.embed import CROP_SIDE
from mien.engine.int8 import int8_supported
from mien.engine.model_files import LoadedModel
from mien.engine.onnx_passes import STRIDES, decompose_prelu, dequantize_weights, fuse_heads
from mien.engine.yunet import YuNet

if TYPE_CHECKING:
    from mien.engine.openvino_backend import OpenVinoBackend

EMBEDDER_BATCH = 4
"""Faces per inference of SFace in OpenVINO; larger batches gain little and leave more faces over."""


class ModelFactory:
    """Builds networks. The custom kernels take any image shape; OpenVINO is quicker with shapes known beforehand.

    Args:
        context: cores and cached models that the networks share.
    """

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._int8_detectors: dict[tuple[int, ...], YuNet] = {}

    def detector(
        self,
        model: LoadedModel,
        strides: tuple[int, ...] = STRIDES,
        static_shapes: Sequence[tuple[int, int]] = (),
    ) -> Network:
        """Build YuNet with the grids of the given strides.

        Args:
            model: the detector's model file.
            strides: a suffix of (8, 16, 32). The fewer grids, the less work, and the larger the smallest face found.
            static_shapes: (height, width) of most canvases, if known. OpenVINO compiles a model for each of them;
                without any, it does so for the shapes that come often.

        Returns:
            Network from canvases (n, height, width, 3), sides multiples of 32, to tables (n, cells, 16): see
            `onnx_passes.fuse_heads`. Int8 networks with the same strides are one object.

        Raises:
            WeightsDamaged: by the first call of the network, when the file is not a readable build of YuNet.
        """
        if int8_supported() and model.sha256 == model_files.DETECTOR.sha256:
            if strides not in self._int8_detectors:
                self._int8_detectors[strides] = YuNet(partial(_fused, model, strides))
            return self._int8_detectors[strides]
        key = "-".join(map(str, (model.sha256, "strides", *strides)))
        return self._openvino.load_model(key, partial(_fused, model, strides), static_shapes, swap_red_and_blue=True)

    def embedder(self, model: LoadedModel) -> Network:
        """Build SFace, or another network that embeds aligned faces.

        Args:
            model: the embedder's model file. Networks other than SFace run in OpenVINO on any processor.

        Returns:
            Network from aligned faces (n, 112, 112, 3) to embeddings (n, 128), not normalised.

        Raises:
            WeightsDamaged: by the first call of the network, when the file cannot be read.
        """
        if not int8_supported():
            return self._openvino_embedder(model)
        key = f"{model.sha256}-{sface.LAYOUT}.npz"
        read = partial(self._context.cached, key, partial(model.transformed, dequantize_weights, sface.prepare))
        return sface.SFace(read, partial(self._openvino_embedder, model), self._context)

    def _openvino_embedder(self, model: LoadedModel) -> Network:
        read = partial(model.transformed, dequantize_weights, decompose_prelu)
        key, shape = f"{model.sha256}-written-out", (CROP_SIDE, CROP_SIDE)
        return self._openvino.load_model(key, read, [shape], batch_size=EMBEDDER_BATCH)

    @cached_property
    def _openvino(self) -> OpenVinoBackend:
        # The import takes a quarter of a second, wasted where int8 is supported.
        from mien.engine.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(self._context)


def _fused(model: LoadedModel, strides: tuple[int, ...]) -> bytes:
    return model.transformed(dequantize_weights, partial(fuse_heads, strides=strides))
