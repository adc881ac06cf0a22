"""Generate synthetic galleries whose scores are distributed as those of the shipped model on real photos.

The distribution was fitted on 614 photos of 320 people: a common mean direction, and around it people and photos that
are isotropic in all 128 dimensions. It is isotropic because the impostor cosines spread by 0.087 around 0.099, as 130
free dimensions would; the uneven eigenvalues of a covariance of 614 vectors are sampling noise. Quantiles, real and
synthetic: strangers 99 % 0.299 / 0.302, 99.9 % 0.364 / 0.364, 99.99 %
0.415 / 0.413; one person 1 % 0.416 / 0.41, 10 % 0.553 / 0.55, 50 % 0.681 / 0.68, 90 % 0.795 / 0.78.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

DIMENSIONS = 128
MEAN_LENGTH = 0.32
"""Length of the mean of all embeddings."""

VARIANCE_WITHIN = 0.34
"""Variance among the photos of one person, as a share of the unit length."""

QUALITY_SPREAD = 0.27
"""Standard deviation of the logarithm of that variance: some photos are worse than others."""

CHUNK = 100_000


def gallery(faces: int) -> Iterator[Vectors]:
    """Generate the embeddings (faces, 128) of a gallery, one photo per person, in chunks; the same for every call."""
    for start in range(0, faces, CHUNK):
        chunk = _photos(_people(start), start + 1)
        yield chunk[: faces - start]


def probes(count: int) -> Vectors:
    """Generate other photos (count, 128) of the first people of every gallery; at most 100,000."""
    return np.ascontiguousarray(_photos(_people(0), 7)[:count])


def _people(start: int) -> Vectors:
    random = np.random.default_rng((start, 0))
    centres = random.standard_normal((CHUNK, DIMENSIONS), np.float32)
    centres *= np.float32(np.sqrt((1 - MEAN_LENGTH**2 - VARIANCE_WITHIN) / DIMENSIONS))
    centres[:, 0] += MEAN_LENGTH
    return centres


def _photos(people: Vectors, seed: int) -> Vectors:
    random = np.random.default_rng((seed, 1))
    spread = np.exp(QUALITY_SPREAD * random.standard_normal((len(people), 1), np.float32) - QUALITY_SPREAD**2)
    noise = random.standard_normal(people.shape, np.float32)
    photos = people + np.float32(np.sqrt(VARIANCE_WITHIN / DIMENSIONS)) * spread * noise
    return photos / np.linalg.norm(photos, axis=1, keepdims=True)
