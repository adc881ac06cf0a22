"""Read values of settings from text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mien.domain import thresholds
from mien.domain.errors import InvalidInput

MAX_COUNT = 1_000_000_000
MAX_DELAY_SECONDS = 3600
MAX_ROOT_PATH = 200

_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def threshold(text: str) -> str | float:
    """Check a threshold, and keep an error rate as text: its similarity depends on how many faces are enrolled.

    Raises InvalidInput for what is neither.
    """
    thresholds.parse(text)
    return text if thresholds.is_automatic(text) or thresholds.is_rate(text) else float(text)


def path(text: str) -> Path:
    """Return a path, with the home folder for a `~` at its begin. Raises InvalidInput where there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InvalidInput(f"There is no home folder for {text.partition('/')[0]}.") from None


def whole_number(low: int, high: int = MAX_COUNT) -> Callable[[str], int]:
    """Return a parser of integers from `low` to `high`; it raises ValueError, and InvalidInput for other integers."""

    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise InvalidInput(f"It must be a whole number, {low} to {high}.")
        return number

    return parse


def margin(text: str) -> float:
    """Return odds, 1 or more. Raises ValueError and InvalidInput."""
    odds = float(text)
    if not 1 <= odds <= MAX_COUNT:
        raise InvalidInput("It must be a number, 1 or more.")
    return odds


def root_path(text: str) -> str:
    """Return a path prefix without a slash at its end; empty for `/`.

    Raises InvalidInput for what is not a path, or could be read as another host or as a way out of the prefix.
    """
    prefix = text.strip().rstrip("/")
    if len(prefix) > MAX_ROOT_PATH or not _ROOT_PATH.fullmatch(prefix):
        raise InvalidInput("It must be a path such as /mien.")
    return prefix


def account(text: str) -> str:
    """Check the number of an account on AWS. Raises InvalidInput."""
    if not re.fullmatch("[0-9]{12}", text):
        raise InvalidInput("An AWS account number has 12 digits.")
    return text


def delay(text: str) -> float:
    """Return seconds, at most an hour. Raises ValueError and InvalidInput."""
    seconds = float(text)
    if not 0 <= seconds <= MAX_DELAY_SECONDS:
        raise InvalidInput(f"It must be a number of seconds, 0 to {MAX_DELAY_SECONDS}.")
    return seconds


def boolean(text: str) -> bool:
    """Return whether a text says yes. Raises KeyError when it says neither yes nor no."""
    return _BOOLEANS[text.strip().lower()]


def words(text: str) -> tuple[str, ...]:
    """Return what commas and spaces part."""
    return tuple(filter(None, text.replace(",", " ").split()))
