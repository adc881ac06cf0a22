"""Error rates from scores whose exact answers are known."""

import numpy as np
import pytest

from mien.evaluation.verification import (
    Impostors,
    best_threshold,
    d_prime,
    equal_error,
    fold_accuracies,
    tmr_by_person,
    wilson,
)


def impostors(*scores: float) -> Impostors:
    scored = Impostors()
    scored.add(np.array(scores, dtype=np.float32))
    return scored


def test_threshold_lets_no_more_impostors_pass_than_asked() -> None:
    scores = np.linspace(0, 0.5, 1000, dtype=np.float32)
    scored = impostors(*scores)
    for fmr in (0.1, 0.01, 0.001):
        threshold = scored.threshold(fmr)
        assert np.mean(scores >= threshold) == pytest.approx(fmr, abs=1e-9)


def test_counting_in_parts_is_counting_at_once() -> None:
    scores = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    parts = Impostors()
    for part in np.split(scores, 10):
        parts.add(part)
    assert np.array_equal(parts.rates, impostors(*scores).rates)
    assert len(parts) == 5000


def test_no_threshold_below_one_when_impostors_are_identical_faces() -> None:
    assert impostors(1.0, 1.0, 1.0, 0.0).threshold(0.1) > 1.0


def test_smallest_supported_rate_expects_ten_false_matches() -> None:
    assert impostors(*np.zeros(1000)).smallest_rate == pytest.approx(0.01)


def test_tmr_counts_a_score_at_the_threshold() -> None:
    assert tmr_by_person(np.array([0.5, 0.4, 0.3, 0.2], dtype=np.float32), np.arange(4), 0.4).value == 0.5


def test_wilson_agrees_with_the_published_example() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 -> 0.2553 to 0.3662.
    rate = wilson(81, 263)
    assert (rate.low, rate.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


def test_interval_over_people_is_wider_than_over_pairs_when_one_person_fails() -> None:
    genuine = np.ones(1000, dtype=np.float32)
    genuine[:50] = 0
    person = np.repeat(np.arange(20), 50)
    rate = tmr_by_person(genuine, person, 0.5)
    independent = wilson(950, 1000)
    assert rate.value == 0.95
    assert rate.high - rate.low > 3 * (independent.high - independent.low)


def test_interval_is_not_empty_when_nobody_fails() -> None:
    rate = tmr_by_person(np.ones(40, dtype=np.float32), np.repeat(np.arange(20), 2), 0.5)
    assert rate.value == rate.high == 1.0
    assert 0.8 < rate.low < 0.9


def test_separation_of_two_known_distributions() -> None:
    # Means 0.1 and 0.7, deviations 0.1 and 0.1: six deviations apart.
    scored = impostors(0.0, 0.2, 0.0, 0.2)
    assert scored.moments() == (pytest.approx(0.1, abs=1e-5), pytest.approx(0.1, abs=1e-5))
    assert d_prime(np.array([0.6, 0.8], dtype=np.float32), scored) == pytest.approx(6.0, abs=1e-3)


def test_equal_error_rate_of_shifted_uniforms() -> None:
    # Genuine uniform on 0.2..0.7, impostors on 0..0.5: both err by 30 % at 0.35.
    genuine = np.linspace(0.2, 0.7, 10_001, dtype=np.float32)
    eer, threshold = equal_error(genuine, impostors(*np.linspace(0.0, 0.5, 10_001)))
    assert eer == pytest.approx(0.3, abs=1e-3)
    assert threshold == pytest.approx(0.35, abs=1e-3)


def test_best_threshold_lies_between_separable_scores() -> None:
    threshold = best_threshold(np.array([0.1, 0.2, 0.6, 0.8], dtype=np.float32), np.array([False, False, True, True]))
    assert threshold == pytest.approx(0.4)


def test_best_threshold_does_not_cut_through_equal_scores() -> None:
    scores = np.array([0.5, 0.5, 0.5, 0.9], dtype=np.float32)
    same = np.array([False, True, False, True])
    assert np.sum((scores >= best_threshold(scores, same)) != same) == 1


def test_a_fold_is_judged_at_the_threshold_of_the_others() -> None:
    scores = np.array([0.2, 0.8, 0.2, 0.8, 0.85, 0.9], dtype=np.float32)
    same = np.array([False, True, False, True, False, True])
    folds = np.array([0, 0, 1, 1, 2, 2])
    accuracies = fold_accuracies(scores, same, folds)
    # The last fold's own best threshold (0.875) would be perfect; that of the others (0.5) is not.
    assert accuracies.tolist() == [1.0, 1.0, 0.5]
