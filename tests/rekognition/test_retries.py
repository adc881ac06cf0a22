"""What makes clients retry (rates, eventual consistency), and what makes retries safe (ClientRequestToken)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Event

import pytest

from mien.rekognition.dispatcher import RequestRates
from mien.rekognition.errors import WireError
from mien.rekognition.idempotency import IdempotencyCache
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.service import Call, EventualConsistency
from mien.rekognition.settings import LARGE_REGION_RATES


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def call(token="t", operation="CreateUser", caller="me", **params):
    return Call(operation, {"ClientRequestToken": token, **params}, caller, "eu-west-1")


def codes(rates, times):
    def code():
        try:
            rates.take("IndexFaces")
        except WireError as error:
            return error.code
        return "granted"

    return [code() for _ in range(times)]


def test_a_bucket_holds_one_seconds_worth_of_requests():
    clock = Clock()
    rates = RequestRates({"IndexFaces": 3}, clock)
    assert codes(rates, 4) == ["granted"] * 3 + ["ProvisionedThroughputExceededException"]
    clock.now += 1 / 3
    assert codes(rates, 2) == ["granted", "ProvisionedThroughputExceededException"]


def test_a_client_that_goes_on_at_twice_the_rate_is_throttled():
    rates = RequestRates({"IndexFaces": 2}, Clock())
    assert codes(rates, 6)[2:] == ["ProvisionedThroughputExceededException"] * 2 + ["ThrottlingException"] * 2


def test_an_operation_without_a_rate_is_unlimited_and_aws_has_rates_for_all():
    RequestRates({"IndexFaces": 1}, Clock()).take("DetectFaces")
    assert LARGE_REGION_RATES.keys() == OPERATIONS.keys()


def test_new_faces_are_hidden_for_the_given_time():
    clock = Clock()
    delay = EventualConsistency(5, clock)
    delay.hide(["a"])
    clock.now = 3
    delay.hide(["b"])
    assert delay.hidden_faces() == {"a", "b"}
    clock.now = 5
    assert delay.hidden_faces() == {"b"}
    assert EventualConsistency(0).hidden_faces() == frozenset()


def test_a_repeated_token_gets_the_first_answer_and_runs_once():
    cache, acts = IdempotencyCache(), []

    def act():
        acts.append(1)
        return {"n": len(acts)}

    assert [cache.run_once(call(), act) for _ in range(3)] == [{"n": 1}] * 3
    assert cache.run_once(call("other"), act) == {"n": 2}
    assert cache.run_once(call(caller="you"), act) == {"n": 3}
    assert cache.run_once(call(operation="DeleteUser"), act) == {"n": 4}


def test_a_token_with_other_input_is_a_mismatch():
    cache = IdempotencyCache()
    cache.run_once(call(UserId="a"), dict)
    with pytest.raises(WireError) as caught:
        cache.run_once(call(UserId="b"), dict)
    assert caught.value.code == "IdempotentParameterMismatchException"
    assert "ClientRequestToken: t" in caught.value.message


def test_failures_are_not_remembered_and_old_tokens_are_forgotten():
    cache = IdempotencyCache(max_tokens=1)
    with pytest.raises(ZeroDivisionError):
        cache.run_once(call(), lambda: 1 / 0)
    assert cache.run_once(call(), lambda: {"n": 1}) == {"n": 1}
    cache.run_once(call("other"), dict)
    assert cache.run_once(call(), lambda: {"n": 2}) == {"n": 2}


def test_of_calls_with_many_faces_fewer_are_remembered():
    """With the answers, thousands of them would take hundreds of megabytes."""
    cache = IdempotencyCache(max_face_ids=5)
    for token in ("a", "b", "c"):
        cache.run_once(call(token, FaceIds=["f", "g"]), lambda: {"n": 1})
    remembered = [cache.run_once(call(token, FaceIds=["f", "g"]), lambda: {"n": 2}) for token in ("c", "b", "a")]
    assert remembered == [{"n": 1}, {"n": 1}, {"n": 2}]
    assert cache.run_once(call("d", FaceIds=["f"]), lambda: {"n": 3}) == {"n": 3}
    assert cache.run_once(call("a", FaceIds=["f", "g"]), lambda: {"n": 4}) == {"n": 2}


def test_calls_with_different_tokens_run_at_the_same_time():
    cache, both_run = IdempotencyCache(), Barrier(2)

    def operation():
        both_run.wait(timeout=30)  # passes only while both operations run
        return {}

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda token: cache.run_once(call(token), operation), ["one", "two"]))
    assert answers == [{}, {}]


def test_calls_with_the_same_token_run_once_and_share_the_answer():
    cache, both_run, runs = IdempotencyCache(), Barrier(2), []

    def operation():
        runs.append(1)
        with suppress(BrokenBarrierError):
            both_run.wait(timeout=0.5)  # ends early only if a second operation runs
        return {"n": len(runs)}

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: cache.run_once(call(), operation), range(2)))
    assert answers == [{"n": 1}, {"n": 1}]


def test_a_call_that_waits_for_a_failing_one_runs_itself():
    cache, running, finish = IdempotencyCache(), Event(), Event()

    def fail():
        running.set()
        assert finish.wait(timeout=30)
        raise WireError("ThrottlingException", "")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.run_once, call(), fail)
        assert running.wait(timeout=30)
        second = threads.submit(cache.run_once, call(), lambda: {"n": 2})
        finish.set()
        assert second.result(timeout=30) == {"n": 2}
        with pytest.raises(WireError):
            first.result(timeout=30)
