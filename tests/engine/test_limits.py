"""One budget over all threads: heavy photos take turns, ordinary ones go ahead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from mien.domain.errors import Overloaded
from mien.domain.waiting import MAX_HEAVY, MAX_LARGE, waiting_seconds
from mien.engine import limits
from mien.engine.limits import Budget, Cost

HEAVY, LARGE, ORDINARY = Cost(100_000_000, 1.5), Cost(30_000_000, 0.1), Cost(1_000_000, 0.01)


@pytest.fixture
def impatient() -> Iterator[None]:
    token = waiting_seconds.set(0.0)
    yield
    waiting_seconds.reset(token)


@pytest.mark.usefixtures("impatient")
def test_on_two_cores_one_heavy_photo_is_worked_on_and_ordinary_ones_go_ahead():
    budget = Budget(cores=2)
    with budget.admit(HEAVY):
        with pytest.raises(Overloaded), budget.admit(HEAVY):
            pass
        with budget.admit(ORDINARY), budget.admit(ORDINARY):
            pass
    with budget.admit(HEAVY):
        pass


@pytest.mark.usefixtures("impatient")
def test_large_photos_leave_the_quick_ones_alone():
    budget = Budget(cores=2)
    with budget.admit(LARGE), budget.admit(LARGE), budget.admit(LARGE):
        with pytest.raises(Overloaded), budget.admit(LARGE):
            pass
        with budget.admit(ORDINARY), budget.admit(HEAVY):
            pass


def test_a_program_of_one_user_may_work_on_any_number_of_large_photos():
    budget = Budget(cores=1)
    with ExitStack() as held:
        for _ in range(MAX_LARGE + 1):
            held.enter_context(budget.admit(Cost(1_000, 0.1)))


@pytest.mark.usefixtures("impatient")
def test_ordinary_photos_share_the_memory_and_one_is_always_taken(monkeypatch):
    monkeypatch.setattr(limits, "ORDINARY_MEMORY", 1_500_000)
    budget = Budget(cores=2)
    with budget.admit(ORDINARY), pytest.raises(Overloaded), budget.admit(ORDINARY):
        pass
    with budget.admit(Cost(2_000_000, 0.01)):
        pass


def test_who_waits_gets_a_turn_and_too_many_are_refused_at_once():
    budget, done = Budget(cores=2), []

    def work(number: int) -> None:
        with budget.admit(HEAVY):
            done.append(number)

    with (
        ThreadPoolExecutor(MAX_HEAVY, initializer=waiting_seconds.set, initargs=(30.0,)) as pool,
        ExitStack() as held,
    ):
        held.enter_context(budget.admit(HEAVY))
        waiting = [pool.submit(work, number) for number in range(MAX_HEAVY - 1)]
        while budget._heavy.queued < MAX_HEAVY:
            pass
        with pytest.raises(Overloaded, match="wait"):
            pool.submit(work, -1).result()
        assert not done
        held.close()
        for future in waiting:
            future.result()
    assert sorted(done) == list(range(MAX_HEAVY - 1))


def test_a_program_of_one_user_waits_as_long_as_it_takes():
    budget = Budget(cores=1)
    with ThreadPoolExecutor(2) as pool, ExitStack() as held:
        held.enter_context(budget.admit(HEAVY))
        waiting = pool.submit(lambda: budget.admit(HEAVY).__enter__())
        assert not waiting.done()
        held.close()
        waiting.result()


def test_a_budget_survives_errors():
    budget = Budget(cores=1)
    for cost in (HEAVY, ORDINARY):
        with pytest.raises(ValueError, match="any"), budget.admit(cost):
            raise ValueError("any")
    assert (budget._heavy.running, budget._heavy.queued, budget._ordinary, budget._memory) == (0, 0, 0, 0)
