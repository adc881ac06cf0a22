"""One budget over all threads: heavy photos take turns, ordinary ones go ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import ContextVar

import pytest

from mien.domain.errors import Overloaded
from mien.domain.waiting import MAX_HEAVY, MAX_LARGE, RequestThreads, client, waiting_seconds
from mien.engine import admission, limits
from mien.engine.admission import Budget
from mien.engine.context import EngineContext
from mien.engine.decode import measure
from mien.engine.limits import Cost
from tests.hostile import bombs
from tests.support.forks import holds_in_child
from tests.support.process import PATIENCE_SECONDS, wait_for

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
def test_quick_photos_share_their_memory_and_one_is_always_taken(monkeypatch):
    monkeypatch.setattr(admission, "QUICK_MEMORY", 1_500_000)
    budget = Budget(cores=2)
    with budget.admit(ORDINARY), pytest.raises(Overloaded), budget.admit(ORDINARY):
        pass
    with budget.admit(Cost(2_000_000, 0.01)):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_process_counts_with_what_it_takes_beside_the_photo():
    budget, small = Budget(cores=2), Cost(1_000, 0.001).isolated(pixels=1_000)
    with budget.admit(small):
        assert budget.taken == limits.DECODER_MEMORY + limits.PROCESS_MEMORY + 3_000
    assert budget.taken == 0


@pytest.mark.usefixtures("impatient")
def test_photos_that_a_process_decodes_hold_up_no_quick_one_however_small_they_say_they_are():
    budget, small = Budget(cores=2), Cost(1_000, 0.001).isolated(pixels=1_000)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(budget.admit(small))
        with pytest.raises(Overloaded), budget.admit(small):
            pass
        with budget.admit(ORDINARY):
            pass


@pytest.mark.parametrize("cores", [1, 2, 8])
@pytest.mark.parametrize("patience", [None, 30.0])
def test_what_is_admitted_never_exceeds_the_limit(cores, patience, rng):
    """Photos of all kinds at once, of which none is larger than the limit by itself."""
    budget, quick = Budget(cores), admission.QUICK_MEMORY + admission.PAUSED_MEMORY
    most = quick + admission.COSTLY_MEMORY * max(2, cores)
    usual, seen = limits.Limits(), []

    def any_cost() -> Cost:
        memory, pixels = int(rng.integers(1, usual.max_memory)), int(rng.integers(1, usual.max_pixels))
        kinds = [
            Cost(int(rng.integers(1, admission.QUICK_MEMORY)), 0.01),
            Cost(int(rng.integers(1, limits.ORDINARY_BYTES)), 0.1),
            Cost(memory, 2.0).isolated(pixels),
            Cost(1, 0.001).isolated(pixels),
        ]
        return kinds[int(rng.integers(len(kinds)))]

    def work(cost: Cost) -> None:
        with suppress(Overloaded), budget.admit(cost) as photo:
            seen.append(budget.taken)
            time.sleep(0)  # lets others come in
            if cost.memory % 2:
                photo.count_as_large()
                seen.append(budget.taken)

    costs = [any_cost() for _ in range(400)]
    with ThreadPoolExecutor(24, initializer=waiting_seconds.set, initargs=(patience,)) as pool:
        list(pool.map(work, costs))
    assert len(seen) > 100
    assert max(seen) <= most
    lanes = (budget._quick, budget._large, budget._heavy)
    assert (budget.taken, [lane.queued for lane in lanes]) == (0, [0, 0, 0])


def test_who_waits_gets_a_turn_and_too_many_are_refused_at_once():
    budget, done = Budget(cores=2), []

    def work(number: int) -> None:
        with budget.admit(HEAVY):
            done.append(number)

    with (
        ThreadPoolExecutor(MAX_HEAVY, initializer=waiting_seconds.set, initargs=(PATIENCE_SECONDS,)) as pool,
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


def test_clients_get_turns_and_who_has_most_photos_waiting_makes_room():
    budget, done = Budget(cores=2), []

    def work(who: str) -> None:
        client.set(who)
        with budget.admit(HEAVY):
            done.append(who)

    with (
        ThreadPoolExecutor(MAX_HEAVY + 2, initializer=waiting_seconds.set, initargs=(PATIENCE_SECONDS,)) as pool,
        ExitStack() as held,
    ):
        held.enter_context(budget.admit(HEAVY))
        greedy = [pool.submit(work, "greedy") for _ in range(MAX_HEAVY - 1)]
        wait_for(lambda: budget._heavy.queued == MAX_HEAVY)
        others = [pool.submit(work, "other") for _ in range(2)]
        wait_for(lambda: sum(future.done() for future in greedy) == 2)
        assert budget._heavy.queued == MAX_HEAVY
        with pytest.raises(Overloaded):
            pool.submit(work, "greedy").result(PATIENCE_SECONDS)
        held.close()
        for future in others:
            future.result(PATIENCE_SECONDS)
        assert sum(isinstance(future.exception(PATIENCE_SECONDS), Overloaded) for future in greedy) == 2
    assert done == ["greedy", "other", "greedy", "other", "greedy"]


def test_who_does_not_wait_takes_no_place_from_one_who_does():
    budget, done = Budget(cores=2), []

    def work() -> None:
        with budget.admit(HEAVY):
            done.append(HEAVY)

    def at_once() -> None:
        waiting_seconds.set(0.0)
        client.set("other")
        work()

    with (
        ThreadPoolExecutor(MAX_HEAVY, initializer=waiting_seconds.set, initargs=(PATIENCE_SECONDS,)) as pool,
        ExitStack() as held,
    ):
        held.enter_context(budget.admit(HEAVY))
        waiting = [pool.submit(work) for _ in range(MAX_HEAVY - 1)]
        wait_for(lambda: budget._heavy.queued == MAX_HEAVY)
        with pytest.raises(Overloaded):
            pool.submit(at_once).result(PATIENCE_SECONDS)
        held.close()
        for future in waiting:
            future.result(PATIENCE_SECONDS)
    assert len(done) == MAX_HEAVY - 1


def test_large_photos_that_come_later_take_no_memory_for_which_a_heavy_one_waits(monkeypatch):
    monkeypatch.setattr(admission, "COSTLY_MEMORY", 100_000)
    budget, done = Budget(cores=4), []
    large, heavy = Cost(100_000, 0.1), Cost(300_000, 1.5)

    def work(who: str, cost: Cost) -> None:
        client.set(who)
        with budget.admit(cost):
            done.append(who)

    with (
        ThreadPoolExecutor(3, initializer=waiting_seconds.set, initargs=(PATIENCE_SECONDS,)) as pool,
        ExitStack() as held,
    ):
        for _ in range(3):
            held.enter_context(budget.admit(large))
        waiting = [pool.submit(work, "other", heavy)]
        wait_for(lambda: budget._heavy.queued == 1)
        waiting += [pool.submit(work, "greedy", large) for _ in range(2)]
        wait_for(lambda: budget._large.queued == 5)
        assert not done
        held.close()
        for future in waiting:
            future.result(PATIENCE_SECONDS)
    assert budget.taken == 0


def test_a_photo_that_never_got_its_turn_is_not_counted():
    budget, threads, both_wait = Budget(cores=1), RequestThreads(1, "test"), threading.Event()

    def work() -> None:
        assert both_wait.wait(PATIENCE_SECONDS)
        threads.shutdown(wait=False)
        with suppress(RuntimeError), budget.admit(HEAVY):
            pass

    calls = [threads.submit(work), threads.submit(work)]
    both_wait.set()
    calls[0].result(PATIENCE_SECONDS)
    assert budget._heavy.queued == 0


def test_a_program_of_one_user_waits_as_long_as_it_takes():
    budget = Budget(cores=1)
    with ThreadPoolExecutor(2) as pool, ExitStack() as held:
        held.enter_context(budget.admit(HEAVY))
        waiting = pool.submit(lambda: budget.admit(HEAVY).__enter__())
        assert not waiting.done()
        held.close()
        waiting.result()


def test_a_forked_child_does_not_wait_for_the_photos_of_its_parent():
    budget = Budget(1)

    def admits() -> bool:
        with budget.admit(HEAVY):
            return True

    with budget.admit(HEAVY), budget._changed:
        assert holds_in_child(admits)
    assert budget.taken == 0


def test_a_budget_survives_errors():
    budget = Budget(cores=1)
    for cost in (HEAVY, ORDINARY):
        with pytest.raises(ValueError, match="any"), budget.admit(cost):
            raise ValueError("any")
    assert (budget._heavy.running, budget._heavy.queued, budget.taken) == (0, 0, 0)


@pytest.mark.parametrize("costly", [HEAVY, LARGE])
def test_on_one_thread_a_quick_photo_is_answered_while_costly_ones_wait(costly):
    budget, threads, done = Budget(cores=1), RequestThreads(1, "test"), []

    def work(cost: Cost) -> None:
        with budget.admit(cost):
            done.append(cost)

    with ExitStack() as held:
        for _ in range(2 if costly is LARGE else 1):
            held.enter_context(budget.admit(costly))
        waiting = [threads.submit(work, costly) for _ in range(3)]
        threads.submit(work, ORDINARY).result(PATIENCE_SECONDS)
        assert done == [ORDINARY]
    for future in waiting:
        future.result(PATIENCE_SECONDS)
    threads.shutdown()


def test_a_quick_photo_for_which_there_is_no_memory_holds_up_no_call_that_needs_none(monkeypatch):
    monkeypatch.setattr(admission, "QUICK_MEMORY", 1_500_000)  # room for one
    budget, threads = Budget(cores=1), RequestThreads(1, "test")

    def work() -> None:
        with budget.admit(ORDINARY):
            pass

    with budget.admit(ORDINARY):
        waiting = threads.submit(work)
        assert threads.submit(lambda: "answered").result(PATIENCE_SECONDS) == "answered"
        assert not waiting.done()
    waiting.result(PATIENCE_SECONDS)
    threads.submit(work).result(PATIENCE_SECONDS)
    assert threads.aside == 0  # there was room
    threads.shutdown()


def test_clients_get_turns_where_quick_photos_wait_for_memory(monkeypatch):
    monkeypatch.setattr(admission, "QUICK_MEMORY", 1_500_000)  # room for one
    budget, done = Budget(cores=1), []

    def work(who: str) -> None:
        client.set(who)
        with budget.admit(ORDINARY):
            done.append(who)

    with (
        ThreadPoolExecutor(5, initializer=waiting_seconds.set, initargs=(PATIENCE_SECONDS,)) as pool,
        ExitStack() as held,
    ):
        held.enter_context(budget.admit(ORDINARY))
        for number, who in enumerate(["greedy"] * 4 + ["other"], 1):
            pool.submit(work, who)
            wait_for(lambda number=number: len(budget._quick.waiting) == number)
        held.close()
    assert done == ["greedy", "other", "greedy", "greedy", "greedy"]
    assert (budget.taken, budget._quick.queued) == (0, 0)


def test_a_quick_photo_in_which_much_is_found_waits_with_the_large_ones_and_holds_up_no_other(monkeypatch):
    monkeypatch.setattr(admission, "QUICK_MEMORY", 1_500_000)  # room for one
    budget, threads, done = Budget(cores=1), RequestThreads(1, "test"), []

    def work(is_crowd: bool) -> None:
        with budget.admit(ORDINARY) as photo:
            if is_crowd:
                photo.count_as_large()
                photo.count_as_large()  # once is enough
            done.append(is_crowd)

    with ExitStack() as held:
        held.enter_context(budget.admit(LARGE))
        held.enter_context(budget.admit(LARGE))
        crowd = threads.submit(work, True)
        wait_for(lambda: len(budget._large.waiting) == 1)
        assert budget.taken == 2 * LARGE.memory + ORDINARY.memory
        threads.submit(work, False).result(PATIENCE_SECONDS)
        assert done == [False]
    crowd.result(PATIENCE_SECONDS)
    threads.shutdown()
    assert (done, budget.taken, budget._large.queued) == ([False, True], 0, 0)


def test_a_quick_photo_goes_on_as_it_is_when_nobody_is_to_wait_or_enough_do(monkeypatch):
    budget = Budget(cores=1)
    with ExitStack() as held:
        for _ in range(MAX_LARGE):
            held.enter_context(budget.admit(LARGE))
        for patience in (None, 0.0, PATIENCE_SECONDS):
            monkeypatch.setattr(admission, "waiting_seconds", ContextVar("waiting_seconds", default=patience))
            with budget.admit(ORDINARY) as photo:
                photo.count_as_large()
                assert photo.cost == ORDINARY
    assert budget.taken == 0


@pytest.mark.parametrize("error", [Overloaded, RuntimeError])
def test_a_quick_photo_whose_turn_as_a_large_one_never_comes_is_counted_no_more(monkeypatch, error):
    budget = Budget(cores=1)
    with ExitStack() as held:
        held.enter_context(budget.admit(LARGE))
        held.enter_context(budget.admit(LARGE))
        monkeypatch.setattr(admission, "waiting_seconds", ContextVar("waiting_seconds", default=0.01))
        if error is RuntimeError:
            monkeypatch.setattr(admission, "step_aside", _fail)
        with pytest.raises(error), budget.admit(ORDINARY) as photo:
            photo.count_as_large()
        assert budget.taken == 2 * LARGE.memory
    assert (budget.taken, budget._large.queued, budget._quick.queued) == (0, 0, 0)


def _fail() -> None:
    raise RuntimeError("The threads have ended.")


@pytest.mark.usefixtures("impatient")
def test_an_engine_of_one_thread_works_on_as_few_photos_as_one_of_one_core():
    budget = EngineContext(threads=1).budget
    with budget.admit(LARGE), budget.admit(LARGE), pytest.raises(Overloaded), budget.admit(LARGE):
        pass
    assert EngineContext().budget is admission.BUDGET


def test_a_huge_jpeg_gets_the_memory_to_be_repaired_in_case_it_is_cut_off():
    content = bombs.jpeg_with_size(9_400, 9_400, bombs.encoded(bombs.plain(64, 64), "JPEG"))
    cost = measure(content).cost
    decoded = 3 * (9_400 * 5 // 8) ** 2
    assert cost.is_isolated
    assert cost.memory == decoded + 3 * len(content)


def test_a_heic_gets_the_memory_for_ten_bits_and_colours_at_full_resolution():
    cost = measure(bombs.with_lying_size(bombs.heic(512), 4_000, 3_000)).cost
    assert cost.memory == 12_000_000 * 14
