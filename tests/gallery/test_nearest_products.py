"""The products of many probes miss nothing and propose little more than what counts."""

from __future__ import annotations

import numpy as np
import pytest
from tests.gallery.plain_truth import people

from mien.gallery.nearest.codec import Bytes, byte_error, to_bytes
from mien.gallery.nearest.products import reaching
from mien.gallery.nearest.truth import Vectors

ERROR = 0.05


def as_bytes(vectors: Vectors, run: int) -> tuple[Bytes, Vectors, float]:
    """The bytes and steps of vectors that share a step in runs, as segments have them, and their error."""
    parts = [vectors[start : start + run] for start in range(0, len(vectors), run)]
    stored, steps = zip(*map(to_bytes, parts), strict=True)
    each = [np.full(len(part), step, np.float32) for part, step in zip(parts, steps, strict=True)]
    error = max(byte_error(*made) for made in zip(parts, stored, steps, strict=True))
    return np.concatenate(stored), np.concatenate(each), error


@pytest.mark.parametrize("size", [1, 15, 16, 17, 4096, 9000])
@pytest.mark.parametrize("probes", [1, 16, 33])
def test_proposes_all_that_reach_the_floor_and_little_else(size: int, probes: int) -> None:
    vectors, asked = people(size), people(probes, seed=1)
    floors = np.linspace(-0.2, 0.4, probes, dtype=np.float32)
    exact = asked @ vectors.T
    for proposed, cosines, floor in zip(reaching(*given(vectors, asked, floors)), exact, floors, strict=True):
        assert set(np.flatnonzero(cosines >= floor)) <= set(proposed)
        assert (cosines[proposed] >= floor - ERROR).all()
        assert (np.diff(proposed) > 0).all()


def given(vectors: Vectors, asked: Vectors, floors: Vectors) -> tuple[Bytes, Vectors, Vectors, Vectors, float]:
    stored, steps, error = as_bytes(vectors, 4096)
    return stored, steps, asked, floors, error


@pytest.mark.parametrize(("floor", "share"), [(-np.inf, 1.0), (-2.0, 1.0), (2.0, 0.0), (np.inf, 0.0)])
def test_floors_that_all_or_none_reach(floor: float, share: float) -> None:
    vectors = people(5000)
    asked = people(16, seed=1)
    for proposed in reaching(*given(vectors, asked, np.full(16, floor, np.float32))):
        assert len(proposed) == share * len(vectors)


def test_rows_of_unlike_steps_in_one_block_are_all_found() -> None:
    vectors = people(3000)
    vectors[::7, 5] = 0.9
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stored, steps, error = as_bytes(vectors, 10)
    asked = vectors[:20] * np.float32(0.5) + people(20, seed=1) * np.float32(0.5)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    for floor in (-0.1, 0.3):
        found = reaching(stored, steps, asked, np.full(20, floor, np.float32), error)
        for proposed, cosines in zip(found, asked @ vectors.T, strict=True):
            assert set(np.flatnonzero(cosines >= floor)) <= set(proposed)
