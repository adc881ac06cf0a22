"""The n-th best, and finding rows.

The two lossy forms of a vector, and how far each may lie from the truth.

4 bits for each pair of coordinates (32 bytes) choose candidates, 8 bits for each coordinate (128 bytes) narrow
them. The 8-bit error has a proven bound. The 4-bit score of a pair with cosine c is normally distributed around
`offset + slope * c` with a deviation `noise`, both measured on the vectors themselves. Whoever takes all with a
score of at least `cut(c)` misses a pair of cosine c with a probability of 3e-5, and one above c with far less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mien.gallery.vector_index.kernels import ENTRIES, GROUPS, MOST, encode, tables
from mien.gallery.vector_index.source import Rows, Vectors


def nth_best(values: Vectors, n: int) -> float:
    """The n-th largest value, -inf when there are fewer."""
    return float(np.partition(values, -n)[-n]) if len(values) >= n else -np.inf


def places(rows: Rows, wanted: Rows) -> NDArray[np.intp]:
    """Where those of the wanted rows that are there stand among `rows` (ascending), in the order of `wanted`."""
    found = np.searchsorted(rows, wanted)
    within = found < len(rows)
    found, wanted = found[within], wanted[within]
    there: NDArray[np.intp] = found[rows[found] == wanted]
    return there


Bytes = NDArray[np.int8]
Codes = NDArray[np.uint8]

DEVIATIONS = 4.0
TRAINING = 16_384
LEVEL = 0.2
LEVELS = np.arange(1, 5, dtype=np.float32) * np.float32(LEVEL)
_ROUNDS = 8
_ROUNDING = math.sqrt(GROUPS / 12)
"""The deviation of the sum of all entries because each is rounded, in steps."""
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


@dataclass(frozen=True, slots=True)
class Codebook:
    """For each pair of coordinates sixteen points, the nearest of which stands for it: both coordinates (64, 16).

    Product quantisation: Jegou, Douze, Schmid, PAMI 2011.
    """

    across: Vectors
    along: Vectors

    @classmethod
    def trained(cls, sample: Vectors) -> Codebook:
        """On a sample (n, 128), by k-means from randomly chosen vectors."""
        chosen = np.random.default_rng(len(sample)).choice(len(sample), ENTRIES, replace=len(sample) < ENTRIES)
        book = cls.of(sample[chosen].reshape(ENTRIES, GROUPS, 2).transpose(2, 1, 0))
        for _ in range(_ROUNDS):
            book = book._nearer_to(sample)
        return book

    @classmethod
    def of(cls, centroids: Vectors) -> Codebook:
        """From both coordinates (2, 64, 16), as they are stored."""
        return cls(*(np.ascontiguousarray(axis, np.float32) for axis in centroids))

    @property
    def centroids(self) -> Vectors:
        return np.stack([self.across, self.along])

    def encode(self, vectors: Vectors) -> Codes:
        """The codes (n, 64), 0..15."""
        return encode(vectors, self.across, self.along)

    def decode(self, codes: Codes) -> Vectors:
        """The vectors (n, 128) that codes stand for."""
        pairs = [axis[np.arange(GROUPS), codes] for axis in (self.across, self.along)]
        return np.stack(pairs, axis=-1).reshape(len(codes), -1)

    def tables(self, probes: Vectors) -> Tables:
        """What each centroid adds to the score of a face, for m probes (m, 128)."""
        entries, lows, steps = tables(probes, self.across, self.along)
        return Tables(entries, lows.tolist(), steps.tolist())

    def _nearer_to(self, sample: Vectors) -> Codebook:
        pairs, codes, centroids = sample.reshape(-1, GROUPS, 2), self.encode(sample), self.centroids
        for group in range(GROUPS):
            members = np.bincount(codes[:, group], minlength=ENTRIES)
            for axis in (0, 1):
                sums = np.bincount(codes[:, group], pairs[:, group, axis], ENTRIES)
                centroids[axis, group, members > 0] = (sums / np.maximum(members, 1))[members > 0]
        return Codebook.of(centroids)


@dataclass(frozen=True, slots=True)
class Tables:
    """Look-up tables of m probes in whole numbers: a score is `low + step * sum of entries`."""

    entries: Codes
    """(m, 64, 16), 0..31"""
    lows: list[float]
    steps: list[float]

    def least(self, number: int, floor: float, calibration: Calibration) -> int:
        """The sum that a face of this cosine reaches, but for 3 in 100,000; one more than any sum stays so."""
        step = self.steps[number]
        cut = calibration.cut(floor, step * _ROUNDING)
        return math.floor(min(max((cut - self.lows[number]) / step, 0.0), GROUPS * MOST + 1.0))


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

    def cut(self, cosine: float, rounding: float = 0.0) -> float:
        """The 4-bit score that a pair of this cosine reaches, but for 3 in 100,000.

        `rounding` is a further deviation, independent of that of the codes.
        """
        place = min(max(cosine / LEVEL - 1, 0.0), len(self.noise) - 1.0)
        low = min(int(place), len(self.noise) - 2)
        noise = self.noise[low] + (place - low) * (self.noise[low + 1] - self.noise[low])
        return self.offset + self.slope * cosine - DEVIATIONS * math.hypot(noise, rounding)

    def likely(self, centre: float, limit: int, size: int) -> float:
        """A guess at a cosine that somewhat more than `limit` of `size` strangers reach.

        It only saves work: the search looks whether they were enough. The probe has the mean cosine `centre`.
        """
        share = (4 * limit + 8) / size
        return centre + self.spread * _NORMAL.inv_cdf(1 - share) if share < 1 else -math.inf


def calibrate(book: Codebook, sample: Vectors, slack: float) -> Calibration:
    """Measure on a sample (n, 128): pairs of known cosine are mixed from one vector and a stranger to it."""
    decoded = book.decode(book.encode(sample))
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
