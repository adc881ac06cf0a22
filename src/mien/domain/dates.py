"""Read days and moments as people and programs write them: ISO 8601, the year first, in UTC where no zone is named."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from mien.domain.errors import InvalidInput

_DAY = re.compile(r"\d{4}-\d{1,2}-\d{1,2}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?", re.ASCII | re.DOTALL)
"""No other form: a number alone would be a year to one reader and seconds since 1970 to another."""


def parse_day(text: str) -> date:
    """Return the day that is written as YYYY-MM-DD. Raises InvalidInput."""
    text = text.strip()
    if not _DAY.fullmatch(text):
        raise InvalidInput("A day is written as YYYY-MM-DD, such as 2027-06-30.")
    try:
        return date(*map(int, text.split("-")))
    except ValueError:
        raise InvalidInput(f"There is no day {text}.") from None


def parse_moment(text: str) -> datetime:
    """Return the moment in UTC that is written as a day, which means its beginning, or as a day and time.

    Raises InvalidInput.
    """
    text = text.strip().upper()
    if not _MOMENT.fullmatch(text):
        raise InvalidInput("A moment is written as 2027-06-30 or 2027-06-30T12:00:00Z.")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("There is no such moment; one is written as 2027-06-30 or 2027-06-30T12:00:00Z.") from None
    return in_utc(moment)


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC, which is meant where none is named. Raises InvalidInput when the calendar ends before."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput("There is no such moment in UTC.") from None
