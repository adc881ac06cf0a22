"""The cutoff of the PQ4 scores misses as few faces as it promises, and few impostors pass it."""

from __future__ import annotations

import numpy as np
import pytest

from mien.gallery.vector_index.kernels import GROUPS
from mien.gallery.vector_index.quantization import Codebook, fit_score_model, from_int8, int8_error, to_int8
from tests.gallery.in_memory_source import people

PEOPLE = people(8192)
BOOK = Codebook.trained(PEOPLE)
MODEL = fit_score_model(BOOK, PEOPLE, 0.02)


def at_cosine(cosine: float, vectors: np.ndarray) -> np.ndarray:
    """Make a probe for each vector that has this cosine with it."""
    strangers = people(len(vectors), seed=9)
    across = strangers - (strangers * vectors).sum(1, keepdims=True) * vectors
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return np.float32(cosine) * vectors + np.float32(np.sqrt(1 - cosine**2)) * across


@pytest.mark.parametrize("cosine", [0.1, 0.42, 0.525, 0.8, 0.99])
def test_the_cutoff_rarely_misses_a_face_at_the_floor(cosine: float) -> None:
    """3 in 100,000 are promised; 3 of 8,192 would be more than ten times as many."""
    tables = BOOK.lookup_tables(at_cosine(cosine, PEOPLE))
    codes = BOOK.encode(PEOPLE)
    sums = np.take_along_axis(tables.entries, codes[..., None], 2).sum((1, 2), dtype=int)
    min_sums = [tables.min_sum(number, cosine, MODEL) for number in range(len(PEOPLE))]
    assert (sums < min_sums).sum() <= 2


def share_that_passes(probes: np.ndarray, floor: float) -> float:
    tables, codes = BOOK.lookup_tables(probes), BOOK.encode(PEOPLE)
    sums = np.array([table[np.arange(GROUPS), codes].sum(1, dtype=int) for table in tables.entries])
    min_sums = [tables.min_sum(number, floor, MODEL) for number in range(len(probes))]
    return float((sums >= np.array(min_sums)[:, None]).mean())


def test_few_impostors_pass_a_high_floor() -> None:
    assert share_that_passes(people(50, seed=3), 0.525) < 0.02


@pytest.mark.parametrize(("floor", "share"), [(-np.inf, 1), (-2.0, 1), (2.0, 0), (np.inf, 0)])
def test_floors_that_all_or_none_reach(floor: float, share: float) -> None:
    assert share_that_passes(people(1), floor) == share


def test_training_reduces_the_quantisation_error() -> None:
    untrained = Codebook.of(PEOPLE[:16].reshape(16, GROUPS, 2).transpose(2, 1, 0))
    lost = [np.square(PEOPLE - book.decode(book.encode(PEOPLE))).sum(1).mean() for book in (BOOK, untrained)]
    assert lost[0] < 0.12 < 0.9 * lost[1]


def test_a_codebook_of_few_vectors_encodes_them_exactly() -> None:
    few = people(3)
    book = Codebook.trained(few)
    assert book.decode(book.encode(few)) == pytest.approx(few, abs=1e-6)


def test_the_int8_error_bounds_the_distance_of_every_vector() -> None:
    quantised, scale = to_int8(PEOPLE)
    again = from_int8(quantised, np.full(len(PEOPLE), scale, np.float32))
    assert np.linalg.norm(PEOPLE - again, axis=1).max() <= int8_error(PEOPLE, quantised, scale) + 1e-6
