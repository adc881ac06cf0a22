"""Build the detector and the embedder from their model files."""

from __future__ import annotations

from functools import partial

from mien.engine.context import EngineContext
from mien.engine.model_files import LoadedModel
from mien.engine.networks import sface, yunet
from mien.engine.networks.onnx_passes import STRIDES, dequantize_weights, fuse_heads
from mien.engine.networks.yunet_layers import QuantizedLayer


class ModelFactory:
    """Builds networks.

    Args:
        context: cores and cached models that the networks share.
    """

    def __init__(self, context: EngineContext) -> None:
        self._context = context

    def detector(self, model: LoadedModel, strides: tuple[int, ...] = STRIDES) -> yunet.YuNet:
        """Build YuNet with the grids of the given strides.

        Args:
            model: the detector's model file.
            strides: a suffix of (8, 16, 32). The fewer grids, the less work, and the larger the smallest face found.

        Returns:
            Network from canvases (n, height, width, 3), sides multiples of 32, to tables (n, cells, 16): see
            `onnx_passes.fuse_heads`.

        Raises:
            WeightsDamaged: by the first call of the network, when the file is not a readable build of YuNet.
        """

        def read(content: bytes) -> list[QuantizedLayer]:
            return yunet.read(fuse_heads(dequantize_weights(content), strides))

        return yunet.YuNet(partial(model.read, read))

    def embedder(self, model: LoadedModel) -> sface.SFace:
        """Build SFace.

        Args:
            model: the embedder's model file.

        Returns:
            Network from aligned faces (n, 112, 112, 3) to embeddings (n, 128), not normalised.

        Raises:
            WeightsDamaged: by the first call of the network, when the file is not a readable build of SFace.
        """
        key = f"{model.sha256}-{sface.LAYOUT}.npz"
        make = partial(model.transformed, dequantize_weights, sface.prepare)
        return sface.SFace(partial(self._context.cached, key, make), self._context)
