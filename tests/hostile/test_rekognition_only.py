"""`mien serve --rekognition-only` on a folder in which people are enrolled: the wire API answers whatever comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.hostile.generators import any_request, any_signature, any_wire_request
from tests.hostile.target import Request, Target
from tests.hostile.test_fuzz import WRONG_KEY, many
from tests.support.fake_engine import use_fake_engine


@pytest.fixture(scope="module")
def wire_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("wire")
    with pytest.MonkeyPatch.context() as patch:
        use_fake_engine(patch)
        with Target(folder).running():
            pass
        with Target(folder, rekognition_only=True).running() as running:
            yield running


@many(1000, 40_000)
def test_the_rest_api_is_not_there_even_for_those_who_have_a_key(wire_alone: Target, numbers: Iterable[int]) -> None:
    before = wire_alone.stored()
    for number in numbers:
        request = any_request(number, (None, WRONG_KEY, wire_alone.keys["all"]))
        answer = wire_alone.refused_or_answered(request, is_stranger=True)
        assert answer.status >= 400, (request, answer)
    assert wire_alone.stored() == before


@pytest.mark.parametrize("make", [any_wire_request, any_signature])
@many(500, 40_000)
def test_no_call_makes_it_fail(wire_alone: Target, numbers: Iterable[int], make: Callable[[int], Request]) -> None:
    for number in numbers:
        wire_alone.refused_or_answered(make(number), is_stranger=make is any_signature)
