"""What makes clients retry, and what a retry must not do twice: rates, delay, ClientRequestToken."""

from __future__ import annotations

import pytest

from mien.rekognition.errors import WireError
from mien.rekognition.eventual_consistency import Delay, Tokens
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.rates import LARGE_REGION, Rates
from mien.rekognition.service import Call


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


def test_a_second_holds_as_many_requests_as_the_rate_says():
    clock = Clock()
    rates = Rates({"IndexFaces": 3}, clock)
    assert codes(rates, 4) == ["granted"] * 3 + ["ProvisionedThroughputExceededException"]
    clock.now += 1 / 3
    assert codes(rates, 2) == ["granted", "ProvisionedThroughputExceededException"]


def test_who_goes_on_at_twice_the_rate_is_throttled():
    rates = Rates({"IndexFaces": 2}, Clock())
    assert codes(rates, 6)[2:] == ["ProvisionedThroughputExceededException"] * 2 + ["ThrottlingException"] * 2


def test_other_operations_are_free_and_aws_limits_every_one_of_ours():
    Rates({"IndexFaces": 1}, Clock()).take("DetectFaces")
    assert LARGE_REGION.keys() == OPERATIONS.keys()


def test_new_faces_are_unseen_for_a_while():
    clock = Clock()
    delay = Delay(5, clock)
    delay.note(["a"])
    clock.now = 3
    delay.note(["b"])
    assert delay.unseen() == {"a", "b"}
    clock.now = 5
    assert delay.unseen() == {"b"}
    assert Delay(0).unseen() == frozenset()


def test_a_repeated_token_gets_the_first_answer_and_acts_once():
    tokens, acts = Tokens(), []

    def act():
        acts.append(1)
        return {"n": len(acts)}

    assert [tokens.once(call(), act) for _ in range(3)] == [{"n": 1}] * 3
    assert tokens.once(call("other"), act) == {"n": 2}
    assert tokens.once(call(caller="you"), act) == {"n": 3}
    assert tokens.once(call(operation="DeleteUser"), act) == {"n": 4}


def test_a_token_with_other_input_is_a_mismatch():
    tokens = Tokens()
    tokens.once(call(UserId="a"), dict)
    with pytest.raises(WireError) as caught:
        tokens.once(call(UserId="b"), dict)
    assert caught.value.code == "IdempotentParameterMismatchException"
    assert "ClientRequestToken: t" in caught.value.message


def test_a_failure_is_not_remembered_and_old_tokens_are_forgotten():
    tokens = Tokens(most=1)
    with pytest.raises(ZeroDivisionError):
        tokens.once(call(), lambda: 1 / 0)
    assert tokens.once(call(), lambda: {"n": 1}) == {"n": 1}
    tokens.once(call("other"), dict)
    assert tokens.once(call(), lambda: {"n": 2}) == {"n": 2}
