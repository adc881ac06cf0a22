"""Similarities and thresholds: the published table, its inverse, and how thresholds are written."""

import numpy as np
import pytest

from mien.domain import thresholds
from mien.domain.errors import InvalidInput
from mien.gallery.scoring import Calibration, cosine_at, similarity


@pytest.mark.parametrize(("fmr", "cosine"), thresholds.FMR_TO_COSINE)
def test_the_published_rates_and_cosines_map_to_each_other(fmr: float, cosine: float) -> None:
    assert thresholds.cosine_of_fmr(fmr) == pytest.approx(cosine)
    assert thresholds.fmr_of_cosine(cosine) == pytest.approx(fmr, rel=1e-6)


def test_80_is_one_in_ten_thousand_and_99_one_in_a_million() -> None:
    assert thresholds.parse("fmr=1e-4") == pytest.approx(80)
    assert thresholds.parse("fmr=1e-6") == pytest.approx(99)


def test_rates_and_similarities_are_inverse_beyond_the_table_too() -> None:
    for fmr in (0.4, 0.05, 3e-4, 1e-8):
        assert thresholds.fmr_of_similarity(thresholds.similarity_of_fmr(fmr)) == pytest.approx(fmr, rel=1e-5)


def test_similarity_rises_with_the_cosine_and_inverts() -> None:
    cosines = np.linspace(-1, 1, 2001, dtype=np.float32)
    scores = similarity(cosines)
    assert scores.dtype == np.float32
    assert np.all(np.diff(scores) >= 0)
    for score in (0.5, 50.0, 80.0, 99.0, 99.9):
        assert float(similarity(np.float32(cosine_at(score)))) == pytest.approx(score, abs=1e-3)
    assert cosine_at(0) == -1.0


def test_a_calibration_moves_the_cosine_of_a_similarity() -> None:
    own = Calibration(offset=0.05, scale=1.2, comparisons=5000)
    assert cosine_at(80, own) == pytest.approx(0.05 + 1.2 * 0.422)
    assert float(similarity(np.float32(cosine_at(80, own)), own)) == pytest.approx(80, abs=1e-3)


def test_fpir_grows_with_the_gallery() -> None:
    assert thresholds.fpir(1e-4, 1) == pytest.approx(1e-4)
    assert thresholds.fpir(1e-4, 1000) == pytest.approx(1 - 0.9999**1000)
    assert thresholds.fmr_for_fpir(thresholds.fpir(1e-5, 800), 800) == pytest.approx(1e-5)
    assert thresholds.parse("fpir=0.01", lambda: 10) < thresholds.parse("fpir=0.01", lambda: 1000)


def test_fpir_with_an_empty_gallery_is_that_of_one_person() -> None:
    assert thresholds.parse("fpir=0.01", lambda: 0) == thresholds.parse("fmr=0.01")


@pytest.mark.parametrize("given", [80, 80.0, "80", " 80 "])
def test_a_plain_similarity_stays_itself(given: str | float) -> None:
    assert thresholds.parse(given) == 80


@pytest.mark.parametrize("given", ["1e-4", 1e-4, "0.0001", "fmr=1e-4"])
def test_a_small_number_is_a_false_match_rate(given: str | float) -> None:
    assert thresholds.is_rate(given)
    assert thresholds.parse(given) == pytest.approx(80)


@pytest.mark.parametrize(
    ("similarity", "fmr", "fpir"), [(0, 1, 1), (80, 1e-4, 0.00995), (99, 1e-6, 1e-4), (100, 1e-9, 1e-7)]
)
def test_a_similarity_says_its_rates(similarity: float, fmr: float, fpir: float) -> None:
    rated = thresholds.with_error_rates(similarity, 100)
    assert rated.fmr == pytest.approx(fmr, rel=1e-3)
    assert rated.fpir == pytest.approx(fpir, rel=1e-3)


@pytest.mark.parametrize(
    "given", ["", "high", "101", "-1", "nan", "0.42", 0.5, "1e-10", "fmr=", "fmr=0", "fmr=2", "tmr=0.1", "=5x"]
)
def test_invalid_thresholds_are_refused(given: str | float) -> None:
    with pytest.raises(InvalidInput, match="fmr=1e-4"):
        thresholds.parse(given)


def test_reach_is_measured_in_odds() -> None:
    assert thresholds.odds_floor(80, 4) == pytest.approx(50)
    assert thresholds.odds_floor(99, 4) == pytest.approx(96.117, abs=1e-3)
    assert thresholds.odds_floor(100, 4) == 100
    assert thresholds.odds_floor(0, 4) == 0
    distance = cosine_at(99) - cosine_at(thresholds.odds_floor(99, 4))
    assert distance == pytest.approx(cosine_at(80) - cosine_at(thresholds.odds_floor(80, 4)))
