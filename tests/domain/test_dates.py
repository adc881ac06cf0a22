"""Days and moments, as people and programs write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from mien.domain.dates import in_utc, parse_day, parse_moment
from mien.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2027-06-30", date(2027, 6, 30)),
        ("2028-02-29", date(2028, 2, 29)),
        ("0001-01-01", date.min),
        ("9999-12-31", date.max),
        (" 2027-6-3 ", date(2027, 6, 3)),
    ],
)
def test_a_day_is_read(text: str, day: date) -> None:
    assert parse_day(text) == day


@pytest.mark.parametrize("text", ["2027-02-29", "2027-13-01", "0000-01-01", "2027-00-00"])
def test_a_day_that_no_calendar_has_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"There is no day {text}"):
        parse_day(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "today", "20270630", "1861920000", "-0001-01-01", "10000-01-01", "27-06-30", "30.06.2027", "2027-W26-3"),
        *("2027-06-30T00:00:00Z", "+2027-06-30", "２０２７-06-30", "2027-06", "2027-06-30\n2027"),
    ],
)
def test_what_is_not_written_as_a_day_is_told_how(text: str) -> None:
    with pytest.raises(InvalidInput, match="YYYY-MM-DD"):
        parse_day(text)


@pytest.mark.parametrize(
    "text",
    [
        *("2027-06-30", "2027-06-30T00:00:00", "2027-06-30T00:00Z", "2027-06-30 00:00:00.000", "2027-06-30t00:00:00z"),
        *("2027-06-30T02:00:00+02:00", "2027-06-29T19:00:00-05:00"),
    ],
)
def test_a_moment_is_read_in_utc(text: str) -> None:
    assert parse_moment(text) == datetime(2027, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "5", "-5", "2027", "20270630", "1861920000", "99999999999999", "202706300200000", "nan", "1e20"),
        *("2027-02-29", "2027-06-30T25:00:00", "2027-06-30T12:00:00+99:00", "2027-06-30T12", "2027-06-30x12:00"),
        *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-00:01"),
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"moment.*\.$"):
        parse_moment(text)


def test_a_moment_without_a_zone_is_in_utc() -> None:
    noon = datetime.fromisoformat("2027-06-30T12:00:00")
    assert in_utc(noon) == noon.replace(tzinfo=UTC)
    assert in_utc(noon.replace(tzinfo=timezone(timedelta(hours=2)))).hour == 10
