"""The assignment is the best there is, by comparison with trying them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from mien.app.assignment import assign

Scores = list[dict[str, float]]

tables = st.lists(st.dictionaries(st.sampled_from("abcd"), st.floats(0.5, 100), max_size=4), max_size=5)


@given(tables)
def test_nobody_is_there_twice_and_the_sum_is_the_highest(scores: Scores) -> None:
    names = assign(scores)
    assert len(names) == len(scores)
    assert all(name is None or name in row for name, row in zip(names, scores, strict=True))
    given_out = [name for name in names if name is not None]
    assert len(given_out) == len(set(given_out))
    assert abs(_sum(scores, names) - _best(scores)) < 1e-6


def test_the_first_face_does_not_take_what_the_second_needs_more() -> None:
    assert assign([{"alice": 90, "bob": 89}, {"alice": 99}]) == ["bob", "alice"]


def test_a_full_photo_is_assigned_at_once() -> None:
    scores = [{f"person{(face + shift) % 150}": 80.0 + shift for shift in range(20)} for face in range(100)]
    assert assign(scores) == [f"person{(face + 19) % 150}" for face in range(100)]


def _best(scores: Scores) -> float:
    choices = product(*([None, *row] for row in scores))
    fair = (names for names in choices if len(set(filter(None, names))) == len(list(filter(None, names))))
    return max(_sum(scores, names) for names in fair)


def _sum(scores: Sequence[Mapping[str, float]], names: Sequence[str | None]) -> float:
    return sum(row[name] for row, name in zip(scores, names, strict=True) if name is not None)
