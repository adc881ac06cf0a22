"""Aligned faces go in, unit vectors come out: SFace.

Zhong et al.: SFace, Sigmoid-Constrained Hypersphere Loss, IEEE TIP 2021. Takes RGB 0..255.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.engine.arrays import Floats, Network, Pixels

DIMENSIONS = 128


def embed(network: Network, faces: Sequence[Sequence[Pixels]], *, mirrored: bool) -> Floats:
    """The embeddings (n, 128), float32, unit length, of n faces from their crops (112, 112, 3), in one batch.

    Several crops of a face give the direction of their sum. With `mirrored`, the crops' mirror images count as well:
    steadier, at twice the cost.
    """
    if not faces:
        return np.empty((0, DIMENSIONS), np.float32)
    shots = [[*crops, *(crop[:, ::-1] for crop in crops)] if mirrored else crops for crops in faces]
    vectors = _unit(network(np.stack([crop for crops in shots for crop in crops])))
    starts = np.cumsum([0, *(len(crops) for crops in shots[:-1])])
    return _unit(np.add.reduceat(vectors, starts, axis=0))


def _unit(vectors: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
