"""Embed aligned faces with SFace.

Zhong et al.: SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition, IEEE TIP 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.engine.context import Floats, Network, Pixels


def embed(network: Network, faces: Sequence[Sequence[Pixels]], *, mirrored: bool) -> Floats:
    """Embed n faces in one batch.

    Args:
        network: SFace.
        faces: for each face one or more aligned crops (112, 112, 3), RGB, uint8. The embedding of several crops is the
            normalised sum of theirs.
        mirrored: whether the crops' mirror images count too: more stable, at twice the cost.

    Returns:
        (n, 128), float32, unit length.
    """
    if not faces:
        return np.empty((0, EMBEDDING_DIMENSION), np.float32)
    inputs = [[*crops, *(crop[:, ::-1] for crop in crops)] if mirrored else crops for crops in faces]
    embeddings = _normalized(network(np.stack([crop for crops in inputs for crop in crops])))
    starts = np.cumsum([0, *(len(crops) for crops in inputs[:-1])])
    return _normalized(np.add.reduceat(embeddings, starts, axis=0))


def _normalized(vectors: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
