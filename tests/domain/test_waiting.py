"""Requests are answered on few threads; those that step aside hold up no other."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from pathlib import Path

import pytest

from mien.domain import waiting
from mien.domain.errors import Overloaded
from mien.domain.waiting import (
    REQUEST_SECONDS,
    TURN_SECONDS,
    RequestThreads,
    available_cores,
    client,
    step_aside,
    waiting_seconds,
)
from tests.support.process import PATIENCE_SECONDS, wait_for


@pytest.fixture
def threads() -> Iterator[RequestThreads]:
    """One place."""
    threads = RequestThreads(1, "test")
    yield threads
    threads.shutdown()


@pytest.fixture
def end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


class _Photo(Exception):
    pass


def test_calls_get_their_places_in_order(threads: RequestThreads) -> None:
    done: list[int] = []
    for future in [threads.submit(done.append, number) for number in range(20)]:
        future.result(PATIENCE_SECONDS)
    assert done == list(range(20))


def submit_for(who: str, threads: RequestThreads, call: Callable[[], object]) -> Future[object]:
    def submit() -> Future[object]:
        client.set(who)
        return threads.submit(call)

    return copy_context().run(submit)


def test_clients_get_places_in_turn(threads: RequestThreads, end: threading.Event) -> None:
    done: list[str] = []
    begun = threading.Event()
    calls = [submit_for("greedy", threads, lambda: (begun.set(), end.wait(PATIENCE_SECONDS)))]
    assert begun.wait(PATIENCE_SECONDS)
    calls += [submit_for(who, threads, partial(done.append, who)) for who in ("greedy",) * 5 + ("one", "other", "one")]
    end.set()
    for call in calls:
        call.result(PATIENCE_SECONDS)
    assert sorted(done) == ["greedy"] * 5 + ["one"] * 2 + ["other"]
    assert done[:5] == ["greedy", "one", "other", "greedy", "one"]


def test_a_client_whose_calls_take_long_gets_fewer_places(threads: RequestThreads, end: threading.Event) -> None:
    done: list[str] = []

    def work() -> None:
        done.append("slow")
        until = time.thread_time() + 3.5 * TURN_SECONDS
        while time.thread_time() < until:
            pass

    begun = threading.Event()
    calls = [submit_for("first", threads, lambda: (begun.set(), end.wait(PATIENCE_SECONDS)))]
    assert begun.wait(PATIENCE_SECONDS)
    calls += [submit_for("slow", threads, work) for _ in range(3)]
    calls += [submit_for("quick", threads, partial(done.append, "quick")) for _ in range(6)]
    end.set()
    for call in calls:
        call.result(PATIENCE_SECONDS)
    assert done == ["slow", "quick", "quick", "quick", "quick", "slow", "quick", "quick", "slow"]
    assert not threads._calls


def test_turns_of_others_meanwhile_are_not_those_of_a_long_call(
    monkeypatch: pytest.MonkeyPatch, end: threading.Event
) -> None:
    monkeypatch.setattr(waiting, "TURN_SECONDS", 0.01)
    threads = RequestThreads(2, "test")
    done: list[str] = []
    go_on, is_worked, is_counted = threading.Event(), threading.Event(), threading.Event()

    def long_work() -> None:
        go_on.wait(PATIENCE_SECONDS)
        until = time.thread_time() + 10.5 * waiting.TURN_SECONDS
        while time.thread_time() < until:
            pass

    def block(begun: threading.Event) -> None:
        begun.set()
        end.wait(PATIENCE_SECONDS)

    try:
        calls = [submit_for("long", threads, long_work)]
        for _ in range(20):
            submit_for("others", threads, lambda: None).result(PATIENCE_SECONDS)
        calls.append(submit_for("others", threads, partial(block, is_worked)))
        assert is_worked.wait(PATIENCE_SECONDS)
        waiting_call = submit_for("blocker", threads, partial(block, is_counted))
        go_on.set()
        assert is_counted.wait(PATIENCE_SECONDS)
        calls += [waiting_call]
        calls += [submit_for(who, threads, partial(done.append, who)) for who in ("others",) * 5 + ("long",)]
        end.set()
        for call in calls:
            call.result(PATIENCE_SECONDS)
    finally:
        end.set()
        threads.shutdown()
    assert done.index("long") < 5


def test_a_client_that_comes_late_has_to_wait_for_no_more_than_a_turn(
    threads: RequestThreads, end: threading.Event
) -> None:
    done: list[str] = []
    for who in ("early",) * 20:
        submit_for(who, threads, lambda: None).result(PATIENCE_SECONDS)
    begun = threading.Event()
    calls = [submit_for("early", threads, lambda: (begun.set(), end.wait(PATIENCE_SECONDS)))]
    assert begun.wait(PATIENCE_SECONDS)
    calls += [submit_for(who, threads, partial(done.append, who)) for who in ("early",) * 3 + ("late",) * 3]
    end.set()
    for call in calls:
        call.result(PATIENCE_SECONDS)
    assert done == ["early", "late"] * 3


def test_who_has_most_calls_waiting_makes_room_for_others(end: threading.Event) -> None:
    threads, begun = RequestThreads(1, "test", max_waiting=3), threading.Event()
    submit_for("greedy", threads, lambda: (begun.set(), end.wait(PATIENCE_SECONDS)))
    assert begun.wait(PATIENCE_SECONDS)
    calls = [submit_for("greedy", threads, lambda: "answer") for _ in range(3)]
    with pytest.raises(Overloaded):
        submit_for("greedy", threads, lambda: "answer")
    other = submit_for("other", threads, lambda: "other")
    with pytest.raises(Overloaded):
        calls[-1].result(PATIENCE_SECONDS)
    with pytest.raises(Overloaded):
        submit_for("other", threads, lambda: "other")
    assert threads.pending == 4
    end.set()
    assert [call.result(PATIENCE_SECONDS) for call in (*calls[:2], other)] == ["answer", "answer", "other"]
    threads.shutdown()
    assert threads.pending == 0


def test_a_call_whose_answer_is_there_keeps_no_other_out() -> None:
    threads = RequestThreads(1, "test", max_waiting=0)
    for number in range(200):
        assert submit_for("any", threads, partial(int, number)).result(PATIENCE_SECONDS) == number
    threads.shutdown()


def test_calls_that_have_stepped_aside_keep_no_other_out(end: threading.Event) -> None:
    threads = RequestThreads(1, "test", max_waiting=0)
    aside = threads.submit(lambda: (step_aside(), end.wait(PATIENCE_SECONDS)))
    wait_for(lambda: threads.aside == 1)
    assert threads.submit(lambda: "answer").result(PATIENCE_SECONDS) == "answer"
    end.set()
    aside.result(PATIENCE_SECONDS)
    threads.shutdown()
    assert threads.pending == 0


def test_a_call_waits_for_a_place(threads: RequestThreads, end: threading.Event) -> None:
    begun = threading.Event()
    first = threads.submit(lambda: (begun.set(), end.wait(PATIENCE_SECONDS)))
    second = threads.submit(lambda: "answer")
    assert begun.wait(PATIENCE_SECONDS)
    assert not second.running()
    assert not second.done()
    end.set()
    assert (first.result(PATIENCE_SECONDS), second.result(PATIENCE_SECONDS)) == ((None, True), "answer")


def test_a_call_that_steps_aside_leaves_its_place_to_those_that_wait_and_to_later_ones(
    threads: RequestThreads, end: threading.Event
) -> None:
    leave = threading.Event()

    def long_work() -> bool:
        leave.wait(PATIENCE_SECONDS)
        step_aside()
        step_aside()
        return end.wait(PATIENCE_SECONDS)

    long = threads.submit(long_work)
    waiting = threads.submit(lambda: "waiting")
    leave.set()
    assert waiting.result(PATIENCE_SECONDS) == "waiting"
    assert threads.submit(lambda: "later").result(PATIENCE_SECONDS) == "later"
    assert threads.aside == 1
    end.set()
    assert long.result(PATIENCE_SECONDS)
    threads.shutdown()
    assert (threads.aside, threads._running) == (0, 0)


def test_there_are_no_more_places_after_a_call_has_stepped_aside(threads: RequestThreads, end: threading.Event) -> None:
    threads.submit(step_aside).result(PATIENCE_SECONDS)
    begun = threading.Event()
    threads.submit(lambda: (begun.set(), end.wait(PATIENCE_SECONDS)))
    assert begun.wait(PATIENCE_SECONDS)
    second = threads.submit(lambda: None)
    assert threads._running == 1
    assert not second.running()


def test_an_error_is_the_callers_and_holds_nothing(threads: RequestThreads) -> None:
    def fail() -> None:
        raise _Photo

    gc.disable()
    try:
        future = threads.submit(fail)
        error = future.exception(PATIENCE_SECONDS)
        assert isinstance(error, _Photo)
        seen = weakref.ref(error)
        threads.submit(lambda: None).result(PATIENCE_SECONDS)
        del future, error
        assert seen() is None
    finally:
        gc.enable()


def test_a_call_that_was_given_up_is_not_made(threads: RequestThreads, end: threading.Event) -> None:
    made: list[str] = []
    threads.submit(end.wait, PATIENCE_SECONDS)
    given_up = threads.submit(made.append, "call")
    assert given_up.cancel()
    end.set()
    threads.submit(lambda: None).result(PATIENCE_SECONDS)
    assert not made


def test_requests_wait_so_long_and_others_as_long_as_it_takes(threads: RequestThreads) -> None:
    assert threads.submit(waiting_seconds.get).result(PATIENCE_SECONDS) == REQUEST_SECONDS
    assert waiting_seconds.get() is None
    step_aside()  # nobody waits for this thread


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_cores_are_those_that_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("own", "above", "cores"),
    [
        ("max 100000", "max 100000", 8),
        ("250000 100000", "max 100000", 3),
        ("max 100000", "50000 100000", 1),
        ("800000 100000", "200000 100000", 2),
        ("6400000 100000", "max 100000", 8),
        (None, None, 8),
        ("nonsense", "", 8),
    ],
)
def test_a_container_uses_no_more_cores_than_it_gets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str | None, above: str | None, cores: int
) -> None:
    (tmp_path / "group").write_text("3:cpuset:/\n0::/above/own\n")
    for name, limit in (("above", above), ("above/own", own)):
        (tmp_path / name).mkdir(parents=True)
        if limit is not None:
            (tmp_path / name / "cpu.max").write_text(f"{limit}\n")
    monkeypatch.setattr(waiting, "_CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(waiting, "_OWN_GROUP", tmp_path / "group")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert available_cores() == cores


def test_a_system_without_control_groups_has_the_cores_that_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(waiting, "_OWN_GROUP", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert available_cores() == 5
