"""Several embeddings of one person to the one that stands for them.

The mean of the unit vectors, made unit again. docs/accuracy.md compares it with a trimmed mean, weights
by centrality, and the best single photo.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def aggregate(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit rows (k, d) to a unit vector (d,); zeros where the rows cancel out or are all zero."""
    centre = embeddings.mean(axis=0)
    length = np.linalg.norm(centre)
    return np.asarray(centre / length if length > 0 else centre, np.float32)
