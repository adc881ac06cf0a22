"""The two lossy forms of a vector, and how far each may lie from the truth.

4 bits for each pair of coordinates (32 bytes; FAISS fast scan) choose candidates, 8 bits for each
coordinate (128 bytes) narrow them. The 8-bit error has a proven bound. The 4-bit score of a pair with
cosine c is normally distributed around `offset + slope * c` with a deviation `noise`, both measured on
the vectors themselves. Whoever takes all with a score of at least `cut(c)` misses a pair of cosine c with
a probability of 3e-5, and one above c with far less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import faiss
import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.truth import Vectors
from mien.gallery.nearest.tuning import DIMENSIONS

Bytes = NDArray[np.int8]

DEVIATIONS = 4.0
TRAINING = 16_384
LEVEL = 0.2
GROUPS = DIMENSIONS // 2
"""So many pairs of coordinates have 4 bits each."""
LEVELS = np.arange(1, 5, dtype=np.float32) * np.float32(LEVEL)
_NORMAL = NormalDist()


def to_bytes(vectors: Vectors) -> tuple[Bytes, float]:
    """8 bits for each coordinate (n, 128), and the length of one step, which all of them share."""
    step = max(float(np.abs(vectors).max(initial=0.0)), 1e-6) / 127
    stored: Bytes = np.rint(vectors / np.float32(step)).astype(np.int8)
    return stored, step


def from_bytes(stored: Bytes, steps: Vectors) -> Vectors:
    """The vectors (n, 128) that the bytes stand for, given the steps (n,)."""
    return stored.astype(np.float32) * steps[:, None]


def byte_error(vectors: Vectors, stored: Bytes, step: float) -> float:
    """The largest distance of a vector from its bytes; no cosine with a unit probe is further off."""
    return float(np.linalg.norm(vectors - stored * np.float32(step), axis=1).max(initial=0.0))


def new_codes() -> faiss.IndexIVFPQFastScan:
    """An untrained 4-bit index: one list of everything, because only lists can be searched down to a given score."""
    everything = faiss.IndexFlatIP(DIMENSIONS)
    codes = faiss.IndexIVFPQFastScan(everything, DIMENSIONS, 1, GROUPS, 4, faiss.METRIC_INNER_PRODUCT)
    everything.this.disown()  # type: ignore[attr-defined]  # SWIG's; the stubs leave it out
    codes.own_fields = True
    codes.by_residual = False
    codes.pq.cp.niter = 8
    codes.pq.cp.min_points_per_centroid = 1
    codes.pq.cp.max_points_per_centroid = TRAINING
    return codes


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured on a segment: the 4-bit score of a cosine, and the cosines of strangers."""

    offset: float
    slope: float
    noise: tuple[float, ...]
    """At the cosines of LEVELS."""
    slack: float
    """The 8-bit error: how far off the cosines are that are known when the cut is made."""
    spread: float
    """The deviation of the strangers' cosines."""
    mean: tuple[float, ...]
    """The mean vector: its product with a probe is the probe's mean cosine with strangers."""

    def cut(self, cosine: float) -> float:
        """The 4-bit score that a pair of this cosine reaches, but for 3 in 100,000."""
        place = min(max(cosine / LEVEL - 1, 0.0), len(self.noise) - 1.0)
        low = min(int(place), len(self.noise) - 2)
        noise = self.noise[low] + (place - low) * (self.noise[low + 1] - self.noise[low])
        return self.offset + self.slope * cosine - DEVIATIONS * noise

    def likely(self, centre: float, limit: int, size: int) -> float:
        """A guess at a cosine that somewhat more than `limit` of `size` strangers reach.

        It only saves work: the search looks whether they were enough. The probe has the mean cosine `centre`.
        """
        share = (4 * limit + 8) / size
        return centre + self.spread * _NORMAL.inv_cdf(1 - share) if share < 1 else -math.inf


def calibrate(codes: faiss.IndexIVFPQFastScan, sample: Vectors, slack: float) -> Calibration:
    """Measure on a sample (n, 128): pairs of known cosine are mixed from one vector and a stranger to it."""
    decoded = codes.sa_decode(codes.sa_encode(sample))
    strangers = np.roll(sample, len(sample) // 2, axis=0)
    strangers = strangers - (strangers * sample).sum(1, keepdims=True) * sample
    strangers /= np.maximum(np.linalg.norm(strangers, axis=1, keepdims=True), np.float32(1e-6))
    along, across = (sample * decoded).sum(1), (strangers * decoded).sum(1)
    scores = LEVELS[:, None] * along + np.sqrt(1 - LEVELS[:, None] ** 2) * across
    slope, offset = np.polyfit(LEVELS, scores.mean(1), 1)
    return Calibration(
        offset=float(offset),
        slope=float(slope),
        noise=tuple(map(float, scores.std(1))),
        slack=slack,
        spread=_spread(sample[:512], sample[-512:]),
        mean=tuple(map(float, sample.mean(0))),
    )


def _spread(probes: Vectors, vectors: Vectors) -> float:
    products = np.einsum("ik,jk->ij", probes, vectors, optimize=False)
    return float((products - products.mean(1, keepdims=True)).std())
