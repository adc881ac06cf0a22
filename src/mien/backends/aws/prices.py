"""Forecast what Rekognition charges for a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

PRICES_OF = date(2026, 10, 7)
PRICE_TIERS = ((1_000_000, 0.0010), (4_000_000, 0.0008), (30_000_000, 0.0006), (None, 0.0004))
"""Rekognition calls per month and USD for each, in us-east-1, without free tier.

The same for the operations of groups 1 and 2 below 35 million. https://aws.amazon.com/rekognition/pricing/
"""
VECTOR_MONTH_PRICE = 0.00001
ENROL_CALLS = 3  # IndexFaces, SearchFaces for look-alikes, AssociateFaces


@dataclass(frozen=True, slots=True)
class CostForecast:
    """What Rekognition charges for a job, in USD; all else on the stack costs little beside it.

    Attributes:
        calls: How many calls the job makes.
        dollars: Their price.
        dollars_per_month: The price of keeping the enrolled vectors.
        as_of: The date of the price table.
    """

    calls: int
    dollars: float
    dollars_per_month: float
    as_of: date = PRICES_OF


def forecast_enrolment(photos: int) -> CostForecast:
    """Forecast the costs of enrolling photos of one person each, each the first of its person at worst."""
    calls = photos * ENROL_CALLS
    return CostForecast(calls, price(calls), 2 * photos * VECTOR_MONTH_PRICE)


def price(calls: int) -> float:
    """Return the USD that a number of Rekognition calls costs when all are made in one month."""
    total, remaining = 0.0, calls
    for size, price_per_call in PRICE_TIERS:
        portion = remaining if size is None else min(remaining, size)
        total, remaining = total + portion * price_per_call, remaining - portion
    return total
