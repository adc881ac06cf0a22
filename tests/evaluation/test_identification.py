"""1:N rates from small sets of embeddings whose answers can be counted by hand."""

import numpy as np
import pytest

from mien.evaluation.identification import gallery_sizes, open_set, rank_rates, search
from mien.evaluation.verification import compare_all, hardest_impostors


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def mean(vectors: np.ndarray) -> np.ndarray:
    centre = vectors.mean(axis=0)
    return centre / np.linalg.norm(centre)


EAST, NORTH, NORTH_EAST = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)


def test_compare_all_separates_genuine_from_impostors() -> None:
    comparisons = compare_all(unit(EAST, EAST, NORTH), np.array([0, 0, 1]))
    assert comparisons.genuine.tolist() == [1.0]
    assert (comparisons.left.tolist(), comparisons.right.tolist()) == ([0], [1])
    assert len(comparisons.impostors) == 2


def test_compare_all_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    vectors, labels = unit(*rng.normal(size=(50, 8))), rng.integers(0, 10, 50)
    whole = compare_all(vectors, labels)
    monkeypatch.setattr("mien.evaluation.verification.BLOCK", 7)
    parts = compare_all(vectors, labels)
    assert np.allclose(np.sort(whole.genuine), np.sort(parts.genuine))
    assert len(whole.impostors) == len(parts.impostors) == 50 * 49 // 2 - len(whole.genuine)


def test_most_alike_strangers_come_first() -> None:
    found = hardest_impostors(unit(EAST, NORTH, NORTH_EAST, EAST), np.array([0, 1, 2, 0]), 2)
    assert {(left, right) for left, right, _ in found} <= {(0, 2), (2, 3), (1, 2)}
    assert [round(cosine, 3) for *_, cosine in found] == [0.707, 0.707]


def test_rank_counts_how_many_are_better_than_the_mate() -> None:
    # Person 0's second photo looks like person 1; person 1's like itself.
    vectors = unit(EAST, (0.1, 1.0), NORTH, NORTH)
    rates = rank_rates(vectors, np.array([0, 0, 1, 1]), ranks=2)
    assert rates.tolist() == [0.5, 1.0]


def test_ties_count_against_the_mate() -> None:
    assert rank_rates(unit(EAST, EAST, EAST), np.array([0, 0, 1]), ranks=2).tolist() == [0.0, 1.0]


def test_open_set_search_by_hand() -> None:
    vectors = unit(EAST, EAST, NORTH, NORTH, NORTH_EAST)
    labels = np.array([0, 0, 1, 1, 2])
    found = search(vectors, labels, [np.array([0]), np.array([2])], mean)
    assert found.mated_scores.tolist() == [1.0, 1.0]
    assert found.mated_rank_one.all()
    assert found.non_mated_scores == pytest.approx([np.sqrt(0.5)])
    assert found.fnir(found.threshold(0.0)) == 0.0
    assert found.threshold(0.0) > found.non_mated_scores.max()


def test_a_wrong_name_first_is_a_miss_however_high_the_score() -> None:
    vectors = unit(EAST, NORTH, NORTH, NORTH)
    found = search(vectors, np.array([0, 0, 1, 1]), [np.array([0]), np.array([2])], mean)
    assert found.fnir(-1.0) == 0.5


def test_a_photo_without_a_face_is_a_miss() -> None:
    vectors = unit(EAST, EAST, NORTH)
    vectors[1] = 0
    found = search(vectors, np.array([0, 0, 1]), [np.array([0])], mean)
    assert found.fnir(0.1) == 1.0


def test_separable_people_are_all_found() -> None:
    labels = np.repeat(np.arange(30), 3)
    vectors = np.eye(128, dtype=np.float32)[labels]
    results = open_set(vectors, labels, 10, 2, mean)
    # 60 non-mated searches show an FPIR of 10 % and none below 1 / 60.
    assert [(r.gallery, r.photos, r.fpir, r.fnir, r.probes) for r in results] == [(10, 2, 0.1, 0.0, (10, 60))]


def test_galleries_leave_somebody_unknown() -> None:
    labels = np.repeat(np.arange(1000), 2)
    assert gallery_sizes(labels, 1) == [250, 500, 800]
    assert gallery_sizes(labels, 2) == []
    assert gallery_sizes(labels, 1, (1000, 999)) == [999]
