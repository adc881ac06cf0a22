"""Aligned faces go in, unit vectors come out: SFace.

Zhong et al.: SFace, Sigmoid-Constrained Hypersphere Loss, IEEE TIP 2021. Takes RGB 0..255.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.engine.decode import Pixels
from mien.engine.detect import Floats
from mien.engine.runtime import Network

DIMENSIONS = 128


def embed(network: Network, crops: Sequence[Pixels], *, mirrored: bool) -> Floats:
    """The embedding (128,), float32, unit length, of one face from its crops (112, 112, 3).

    Several crops give the direction of their sum. With `mirrored`, the crops' mirror images count as well:
    steadier, at twice the cost.
    """
    mirrors = [crop[:, ::-1] for crop in crops] if mirrored else []
    vectors = np.concatenate([network(crop[None])[0] for crop in (*crops, *mirrors)])
    total = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).sum(axis=0)
    result: Floats = total / np.linalg.norm(total)
    return result
