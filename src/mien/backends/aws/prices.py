"""What Rekognition asks for a job, from a price table with its date; everything else on the stack is small beside it.

us-east-1, USD, without free tier. https://aws.amazon.com/rekognition/pricing/
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

AS_OF = date(2026, 10, 7)
TIERS = ((1_000_000, 0.0010), (4_000_000, 0.0008), (30_000_000, 0.0006), (None, 0.0004))
"""Images a month and the price of each, for the operations of groups 1 and 2 below 35 million alike."""
VECTOR_MONTH = 0.00001
ENROL_CALLS = 3  # IndexFaces, SearchFaces for look-alikes, AssociateFaces
CALLS_PER_FACE = 2  # SearchFacesByImage, SearchUsersByImage
CALLS_PER_PHOTO = 1  # DetectFaces


@dataclass(frozen=True, slots=True)
class Forecast:
    """`dollars` once, `dollars_per_month` for the vectors that stay."""

    calls: int
    dollars: float
    dollars_per_month: float
    as_of: date = AS_OF


def enrolment(photos: int) -> Forecast:
    """Photos of one person each; at worst every photo is the first of its person."""
    calls = photos * ENROL_CALLS
    return Forecast(calls, price(calls), 2 * photos * VECTOR_MONTH)


def recognition(photos: int, faces_per_photo: float = 1.0) -> Forecast:
    calls = round(photos * (CALLS_PER_PHOTO + CALLS_PER_FACE * faces_per_photo))
    return Forecast(calls, price(calls), 0.0)


def price(calls: int) -> float:
    """Of so many calls in one month."""
    total, left = 0.0, calls
    for size, each in TIERS:
        portion = left if size is None else min(left, size)
        total, left = total + portion * each, left - portion
    return total
