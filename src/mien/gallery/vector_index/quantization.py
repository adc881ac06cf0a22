"""Quantise vectors in two lossy forms, and bound how far each may be from the vector.

PQ4, product quantisation with 4 bits for each pair of coordinates (32 bytes), selects candidates. SQ8, scalar
quantisation with 8 bits for each coordinate (128 bytes), re-scores them. The error of SQ8 has a proven bound. The PQ4
score of a pair with cosine c is normally distributed around `offset + slope * c` with a standard deviation, all three
measured on the vectors of the segment. Keeping every candidate with a score of at least `score_cutoff(c)` has a miss
probability of 3e-5 at cosine c, and less above it.

Product quantisation: Jégou, Douze, Schmid, PAMI 2011.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mien.gallery.vector_index.kernels import ENTRIES, GROUPS, MAX_ENTRY, encode, lookup_tables
from mien.gallery.vector_index.source import Rows, Vectors

Int8Vectors = NDArray[np.int8]
Codes = NDArray[np.uint8]

TRAINING_SAMPLE = 16_384
"""Vectors that a codebook is trained on."""

_CUTOFF_STDS = 4.0
_LEVEL = 0.2
_LEVELS = np.arange(1, 5, dtype=np.float32) * np.float32(_LEVEL)
"""The cosines at which the standard deviation of the score is measured."""
_KMEANS_ROUNDS = 8
_ROUNDING_STD = math.sqrt(GROUPS / 12)
"""Of the sum of all table entries, because each is rounded; in units of the table's scale."""
_STD_SAMPLE = 512
_NORMAL = NormalDist()


def kth_largest(values: Vectors, k: int) -> float:
    """Return the k-th largest value, -inf when there are fewer."""
    return float(np.partition(values, -k)[-k]) if len(values) >= k else -np.inf


def find_rows(rows: Rows, wanted: Rows) -> NDArray[np.intp]:
    """Return the positions in `rows` (ascending) of the wanted rows that are there, in the order of `wanted`."""
    positions = np.searchsorted(rows, wanted)
    within = positions < len(rows)
    positions, wanted = positions[within], wanted[within]
    found: NDArray[np.intp] = positions[rows[positions] == wanted]
    return found


def to_int8(vectors: Vectors) -> tuple[Int8Vectors, float]:
    """Quantise vectors (n, 128) to int8; return them with their common scale."""
    scale = max(float(np.abs(vectors).max(initial=0.0)), 1e-6) / 127
    quantised: Int8Vectors = np.rint(vectors / np.float32(scale)).astype(np.int8)
    return quantised, scale


def from_int8(quantised: Int8Vectors, scales: Vectors) -> Vectors:
    """Dequantise vectors (n, 128), given the scale of each (n,)."""
    return quantised.astype(np.float32) * scales[:, None]


def int8_error(vectors: Vectors, quantised: Int8Vectors, scale: float) -> float:
    """Return the largest distance of a vector from its int8 form; no cosine with a unit probe is further off."""
    return float(np.linalg.norm(vectors - quantised * np.float32(scale), axis=1).max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Codebook:
    """Sixteen centroids for each pair of coordinates: their x and y (64, 16)."""

    centroid_x: Vectors
    centroid_y: Vectors

    @classmethod
    def trained(cls, sample: Vectors) -> Codebook:
        """Train on a sample (n, 128) by k-means, from vectors chosen at random with a fixed seed."""
        chosen = np.random.default_rng(len(sample)).choice(len(sample), ENTRIES, replace=len(sample) < ENTRIES)
        book = cls.of(sample[chosen].reshape(ENTRIES, GROUPS, 2).transpose(2, 1, 0))
        for _ in range(_KMEANS_ROUNDS):
            book = book._improved(sample)
        return book

    @classmethod
    def of(cls, centroids: Vectors) -> Codebook:
        """Make a codebook of x and y (2, 64, 16), as files hold them."""
        return cls(*(np.ascontiguousarray(axis, np.float32) for axis in centroids))

    @property
    def centroids(self) -> Vectors:
        """Both coordinates (2, 64, 16)."""
        return np.stack([self.centroid_x, self.centroid_y])

    def encode(self, vectors: Vectors) -> Codes:
        """Return the codes (n, 64), 0 to 15, of vectors (n, 128)."""
        return encode(vectors, self.centroid_x, self.centroid_y)

    def decode(self, codes: Codes) -> Vectors:
        """Return the vectors (n, 128) that codes stand for."""
        pairs = [axis[np.arange(GROUPS), codes] for axis in (self.centroid_x, self.centroid_y)]
        return np.stack(pairs, axis=-1).reshape(len(codes), -1)

    def lookup_tables(self, probes: Vectors) -> LookupTables:
        """Compute what each centroid adds to the score of a face, for m probes (m, 128)."""
        entries, offsets, scales = lookup_tables(probes, self.centroid_x, self.centroid_y)
        return LookupTables(entries, offsets.tolist(), scales.tolist())

    def _improved(self, sample: Vectors) -> Codebook:
        pairs, codes, centroids = sample.reshape(-1, GROUPS, 2), self.encode(sample), self.centroids
        for group in range(GROUPS):
            members = np.bincount(codes[:, group], minlength=ENTRIES)
            for axis in (0, 1):
                sums = np.bincount(codes[:, group], pairs[:, group, axis], ENTRIES)
                centroids[axis, group, members > 0] = (sums / np.maximum(members, 1))[members > 0]
        return Codebook.of(centroids)


@dataclass(frozen=True, slots=True)
class LookupTables:
    """Integer look-up tables of m probes (asymmetric distances): a score is `offset + scale * sum of entries`."""

    entries: Codes
    """(m, 64, 16), 0 to 31."""
    offsets: list[float]
    scales: list[float]

    def min_sum(self, probe: int, floor: float, model: ScoreModel) -> int:
        """Return the least sum of entries that keeps a face whose cosine with the probe is `floor`, but for 3e-5.

        For a floor that no face reaches, one more than any sum.
        """
        scale = self.scales[probe]
        cutoff = model.score_cutoff(floor, scale * _ROUNDING_STD)
        return math.floor(min(max((cutoff - self.offsets[probe]) / scale, 0.0), GROUPS * MAX_ENTRY + 1.0))


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """What was measured on the vectors of a segment: PQ4 scores by cosine, and the cosines of impostors."""

    offset: float
    slope: float
    noise_std: tuple[float, ...]
    """Standard deviation of the score at the cosines 0.2, 0.4, 0.6 and 0.8."""
    sq8_error: float
    """How far off a cosine of the int8 vectors may be."""
    impostor_std: float
    """Standard deviation of the cosines of impostors."""
    mean: tuple[float, ...]
    """The mean vector (128,): its product with a probe is the probe's mean cosine with impostors."""

    def score_cutoff(self, cosine: float, rounding_std: float = 0.0) -> float:
        """Return the PQ4 score that a pair of this cosine reaches, but for 3e-5.

        `rounding_std` is a further standard deviation, independent of that of the codes.
        """
        position = min(max(cosine / _LEVEL - 1, 0.0), len(self.noise_std) - 1.0)
        low = min(int(position), len(self.noise_std) - 2)
        noise = self.noise_std[low] + (position - low) * (self.noise_std[low + 1] - self.noise_std[low])
        return self.offset + self.slope * cosine - _CUTOFF_STDS * math.hypot(noise, rounding_std)

    def estimate_floor(self, mean_cosine: float, limit: int, size: int) -> float:
        """Estimate a cosine that somewhat more than `limit` of `size` impostors reach.

        An estimate only saves work: the search checks whether it was low enough. `mean_cosine` is the probe's with
        impostors.
        """
        share = (4 * limit + 8) / size
        return mean_cosine + self.impostor_std * _NORMAL.inv_cdf(1 - share) if share < 1 else -math.inf


def fit_score_model(book: Codebook, sample: Vectors, sq8_error: float) -> ScoreModel:
    """Measure on a sample (n, 128): pairs of known cosine are mixed of a vector and a unit vector orthogonal to it."""
    decoded = book.decode(book.encode(sample))
    others = np.roll(sample, len(sample) // 2, axis=0)
    others = others - (others * sample).sum(1, keepdims=True) * sample
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), np.float32(1e-6))
    parallel, orthogonal = (sample * decoded).sum(1), (others * decoded).sum(1)
    scores = _LEVELS[:, None] * parallel + np.sqrt(1 - _LEVELS[:, None] ** 2) * orthogonal
    slope, offset = np.polyfit(_LEVELS, scores.mean(1), 1)
    return ScoreModel(
        offset=float(offset),
        slope=float(slope),
        noise_std=tuple(map(float, scores.std(1))),
        sq8_error=sq8_error,
        impostor_std=_impostor_std(sample[:_STD_SAMPLE], sample[-_STD_SAMPLE:]),
        mean=tuple(map(float, sample.mean(0))),
    )


def _impostor_std(probes: Vectors, vectors: Vectors) -> float:
    products = np.einsum("ik,jk->ij", probes, vectors, optimize=False)
    return float((products - products.mean(1, keepdims=True)).std())
