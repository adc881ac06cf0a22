"""Whatever a client sends: an answer below 500, a log that machines can read, and nothing for strangers.

Some thousand inputs by default, others and many more in the slow tests; MIEN_TEST_FUZZ names how many each test tries,
and MIEN_TEST_FUZZ_FROM from which on, so that several runs share the work.
A failure names its request, and `generators` makes the same one again from its number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.hostile.conftest import inputs
from tests.hostile.generators import any_request, any_signature, any_wire_request
from tests.hostile.target import Request, Target

WRONG_KEY = "mien_00000000_" + "a" * 43
FIRST = int(os.environ.get("MIEN_TEST_FUZZ_FROM", 0))
OTHERS = 10**9
"""Where the numbers of the slow tests begin."""


def many(usual: int, slow: int) -> Any:
    """Run a test with its usual inputs, and with others in `make test-slow`."""
    numbers = [
        pytest.param(range(FIRST, FIRST + inputs(usual)), id="usual"),
        pytest.param(range(OTHERS, OTHERS + inputs(slow)), id="many", marks=pytest.mark.slow),
    ]
    return pytest.mark.parametrize("numbers", numbers)


@many(2000, 40_000)
def test_a_stranger_stores_nothing_and_learns_nothing(target: Target, numbers: Iterable[int]) -> None:
    before = target.stored()
    for number in numbers:
        request = any_request(number, (None, WRONG_KEY, target.keys["revoked"]))
        target.refused_or_answered(request, is_stranger=True)
    assert target.stored() == before


@pytest.mark.parametrize("key", ["upload", "recognize", "manage", "all"])
@many(300, 10_000)
def test_no_client_with_a_key_makes_the_server_fail(target: Target, numbers: Iterable[int], key: str) -> None:
    for number in numbers:
        target.refused_or_answered(any_request(number, (target.keys[key],)), is_stranger=key == "upload")


@pytest.mark.parametrize("make", [any_wire_request, any_signature])
@many(1000, 40_000)
def test_no_call_of_the_wire_api_makes_the_server_fail(
    target: Target, numbers: Iterable[int], make: Callable[[int], Request]
) -> None:
    for number in numbers:
        target.refused_or_answered(make(number), is_stranger=make is any_signature)
