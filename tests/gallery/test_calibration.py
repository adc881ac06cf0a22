"""A collection's own calibration: known populations, small ones and impossible ones."""

import numpy as np
import pytest

from mien.domain.errors import InvalidInput
from mien.domain.thresholds import cosine_of_fmr
from mien.gallery.scoring import calibrate, cosine_at, impostor_cosines


def shipped_impostors(count: int, seed: int = 0) -> np.ndarray:
    rates = np.random.default_rng(seed).uniform(1e-9, 0.5, count // 2)
    tail = np.array([cosine_of_fmr(rate) for rate in rates])
    return np.concatenate((tail, 0.2 - tail)).astype(np.float32)


def test_shipped_impostors_keep_the_shipped_scale() -> None:
    own = calibrate(shipped_impostors(40_000))
    assert own.offset == pytest.approx(0, abs=0.02)
    assert own.scale == pytest.approx(1, abs=0.06)
    assert cosine_at(80, own) == pytest.approx(0.422, abs=0.01)
    assert own.comparisons == 40_000


def test_a_shifted_and_stretched_population_gets_its_own_cosines() -> None:
    own = calibrate(np.float32(1.3) * shipped_impostors(40_000) + np.float32(0.1))
    assert cosine_at(80, own) == pytest.approx(1.3 * 0.422 + 0.1, abs=0.015)


@pytest.mark.parametrize("seed", range(5))
def test_the_calibrated_rate_holds_for_unseen_impostors_within_a_factor_of_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen, unseen = rng.normal(0.15, 0.1, 200_000), rng.normal(0.15, 0.1, 1_000_000)
    own = calibrate(seen.astype(np.float32))
    # The shipped tail is slightly longer than a normal one, which errs on the safe side.
    rate = np.mean(unseen >= own.offset + own.scale * cosine_of_fmr(1e-3))
    assert 0.5e-3 < rate < 2e-3


def test_too_few_impostors_name_the_rate_they_support() -> None:
    with pytest.raises(InvalidInput, match=r"500 pairs .* 2.0e-02"):
        calibrate(np.linspace(0, 0.3, 500, dtype=np.float32))


def test_impostors_with_equal_cosines_are_refused() -> None:
    with pytest.raises(InvalidInput, match="equally similar"):
        calibrate(np.full(2000, 0.3, dtype=np.float32))


def test_only_pairs_of_different_people_count() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[1] = vectors[0]
    cosines = impostor_cosines(vectors, np.array([0, 0, 1, 2]))
    assert len(cosines) == 5
    assert cosines.max() == 0.0


def test_large_collections_are_sampled() -> None:
    vectors = np.zeros((4500, 2), dtype=np.float32)
    vectors[:, 0] = 1
    assert len(impostor_cosines(vectors, np.arange(4500))) == 4000 * 3999 // 2
