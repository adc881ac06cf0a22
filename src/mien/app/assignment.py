"""Scores of faces x people -> which face is whom: the highest sum of scores with nobody there twice.

The Hungarian method with potentials (Kuhn 1955, Munkres 1957) on a sparse table; plain Python, because
a photo has at most 100 faces and the cloud functions should not carry a numerics library for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf


def assign(scores: Sequence[Mapping[str, float]]) -> list[str | None]:
    """For each row of positive scores by name, the name it gets, or None; every name at most once."""
    # Each row has a column of its own that stands for "nobody" and scores 0.
    columns: list[tuple[int, str | None]] = [(row, None) for row in range(len(scores))]
    columns += [(-1, name) for name in dict.fromkeys(name for row in scores for name in row)]
    costs = [[_cost(row, i, column) for column in columns] for i, row in enumerate(scores)]
    return [columns[j][1] for j in _matching(costs)]


def _cost(row: Mapping[str, float], index: int, column: tuple[int, str | None]) -> float:
    nobody_for, name = column
    if name is None:
        return 0.0 if nobody_for == index else inf
    return -row[name] if name in row else inf


def _matching(costs: list[list[float]]) -> list[int]:
    """The cheapest column for each row; each row is added by the shortest augmenting path."""
    width = len(costs[0]) if costs else 0
    row_price, column_price = [0.0] * len(costs), [0.0] * width
    row_of: list[int | None] = [None] * width
    for start in range(len(costs)):
        distance, previous, done = [inf] * width, [-1] * width, [False] * width
        row, here, reached = start, -1, 0.0
        while True:
            for j in range(width):
                step = reached + costs[row][j] - row_price[row] - column_price[j]
                if not done[j] and step < distance[j]:
                    distance[j], previous[j] = step, here
            here = min((j for j in range(width) if not done[j]), key=distance.__getitem__)
            done[here], reached = True, distance[here]
            owner = row_of[here]
            if owner is None:
                break
            row = owner
        _reprice(row_price, column_price, row_of, start, distance, done, reached)
        while here >= 0:
            before = previous[here]
            row_of[here] = start if before < 0 else row_of[before]
            here = before
    columns = {row: j for j, row in enumerate(row_of) if row is not None}
    return [columns[i] for i in range(len(costs))]


def _reprice(
    row_price: list[float],
    column_price: list[float],
    row_of: Sequence[int | None],
    start: int,
    distance: Sequence[float],
    done: Sequence[bool],
    reached: float,
) -> None:
    row_price[start] += reached
    for j, is_done in enumerate(done):
        if is_done:
            owner = row_of[j]
            column_price[j] -= reached - distance[j]
            if owner is not None:
                row_price[owner] += reached - distance[j]
