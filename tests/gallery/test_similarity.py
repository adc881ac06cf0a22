"""Similarities and thresholds: the published table, its inverse, and how thresholds are written."""

import numpy as np
import pytest

from mien.domain import thresholds
from mien.domain.errors import InvalidInput
from mien.domain.thresholds import Likelihood
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


@pytest.mark.parametrize(("enrolled", "similarity"), [(0, 80), (33, 80), (100, 80), (1000, 95.4), (10_000, 99)])
def test_the_automatic_threshold_rises_with_the_gallery(enrolled: int, similarity: float) -> None:
    assert thresholds.parse("auto", lambda: enrolled) == pytest.approx(similarity, abs=0.1)


@pytest.mark.parametrize("enrolled", [1, 100, 1000, 100_000])
def test_at_most_one_stranger_in_a_hundred_reaches_the_automatic_threshold(enrolled: int) -> None:
    threshold = thresholds.with_error_rates(thresholds.parse("auto", lambda: enrolled), enrolled)
    assert threshold.fpir is not None
    assert threshold.fpir <= 0.010001


@pytest.mark.parametrize(
    ("similarity", "enrolled", "likelihood"),
    [
        (94.58, 94, Likelihood.LIKELY),
        (96.13, 66, Likelihood.LIKELY),
        (98.5, 66, Likelihood.VERY_LIKELY),
        (98.5, 1000, Likelihood.LIKELY),
        (99.8, 1000, Likelihood.VERY_LIKELY),
        (99.8, 100_000, Likelihood.LIKELY),
        (100.0, 100_000, Likelihood.VERY_LIKELY),
    ],
)
def test_a_match_is_very_likely_when_hardly_a_stranger_of_this_gallery_would_reach_it(
    similarity: float, enrolled: int, likelihood: Likelihood
) -> None:
    threshold = thresholds.with_error_rates(thresholds.parse("auto", lambda: enrolled), enrolled)
    assert thresholds.likelihood_of_match(similarity, threshold) is likelihood


def test_without_error_rates_a_match_is_very_likely_where_chance_is_ruled_out() -> None:
    assert thresholds.likelihood_of_match(98.9, thresholds.Threshold(80)) is Likelihood.LIKELY
    assert thresholds.likelihood_of_match(99.0, thresholds.Threshold(80)) is Likelihood.VERY_LIKELY


def test_a_threshold_that_everybody_reaches_makes_nothing_very_likely() -> None:
    threshold = thresholds.with_error_rates(0, 33)
    assert thresholds.likelihood_of_match(99.99, threshold) is Likelihood.LIKELY


@pytest.mark.parametrize(
    ("similarity", "text"), [(80, "80.0"), (99.99, "99.9"), (100, "99.9"), (64.1, "64.1"), (0, "0.0")]
)
def test_a_similarity_is_written_with_one_decimal_and_never_as_certain(similarity: float, text: str) -> None:
    assert thresholds.format_similarity(similarity) == text
