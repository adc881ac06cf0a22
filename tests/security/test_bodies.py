"""What the bodies of one client may take of the memory that all of them share."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from mien.domain.errors import Overloaded
from mien.domain.waiting import client
from mien.security.bodies import MAX_SHARE, ByteBudget, Claim

BYTES = 1000


def take(budget: ByteBudget, who: str, count: int) -> Claim:
    claim = Claim(budget)

    def take_for() -> None:
        client.set(who)
        claim.take(count)

    copy_context().run(take_for)
    return claim


def taken_at_most(budget: ByteBudget, who: str) -> int:
    for count in range(BYTES):
        try:
            take(budget, who, 1)
        except Overloaded:
            return count
    return BYTES


def test_each_client_leaves_room_for_the_next_one() -> None:
    budget = ByteBudget(BYTES)
    assert taken_at_most(budget, "greedy") == BYTES * MAX_SHARE / (MAX_SHARE + 1)
    assert taken_at_most(budget, "second") == 187
    assert taken_at_most(budget, "third") == 47


def test_what_is_given_back_is_for_everybody() -> None:
    budget = ByteBudget(BYTES)
    claims = [take(budget, who, 250) for who in ("one", "one", "other")]
    with pytest.raises(Overloaded):
        take(budget, "one", 250)
    for claim in claims:
        claim.end()
        claim.end()
    assert (budget.left, dict(budget.taken)) == (BYTES, {})
    take(budget, "one", 750)


def test_the_end_of_a_body_is_taken_however_many_others_have_come() -> None:
    budget = ByteBudget(BYTES)
    take(budget, "greedy", 750)
    take(budget, "other", 187)
    take(budget, "greedy", 0)
