"""Assign people to the faces of a photo, each person to one face at most.

By the Hungarian method (Kuhn 1955, Munkres 1957) in its O(n^3) form with potentials, the dual variables of the linear
programme, as on https://cp-algorithms.com/graph/hungarian-algorithm.html (from e-maxx.ru). It is plain Python, because
a photo has at most 100 faces, and the Lambda functions should not carry SciPy for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf


def assign(scores: Sequence[Mapping[str, float]]) -> list[str | None]:
    """Assign each face to a person or to nobody, each person at most once.

    Args:
        scores: For each face, a score above 0 for each user id that it may be.

    Returns the user id of each face, or None; the sum of the scores is the highest possible.
    """
    # A column is somebody whom a face may be: for each face a "nobody" of its own that scores 0, then the people.
    columns: list[tuple[int, str | None]] = [(row, None) for row in range(len(scores))]
    columns += [(-1, user_id) for user_id in dict.fromkeys(user_id for row in scores for user_id in row)]
    costs = [[_cost(row, i, column) for column in columns] for i, row in enumerate(scores)]
    return [columns[j][1] for j in _cheapest_columns(costs)]


def _cost(row: Mapping[str, float], index: int, column: tuple[int, str | None]) -> float:
    nobody_of, user_id = column
    if user_id is None:
        return 0.0 if nobody_of == index else inf
    return -row[user_id] if user_id in row else inf


def _cheapest_columns(costs: list[list[float]]) -> list[int]:
    """Match every row to a column of its own at the lowest total cost.

    The potentials u (rows) and v (columns) keep every reduced cost, cost[i][j] - u[i] - v[j], at 0 or above, and
    at 0 for matched pairs. Each row is added along the shortest augmenting path in reduced costs (Dijkstra).
    """
    width = len(costs[0]) if costs else 0
    row_potential, column_potential = [0.0] * len(costs), [0.0] * width
    row_of: list[int | None] = [None] * width
    for start in range(len(costs)):
        distance, previous, visited = [inf] * width, [-1] * width, [False] * width
        row, here, reached = start, -1, 0.0
        while True:
            for j in range(width):
                length = reached + costs[row][j] - row_potential[row] - column_potential[j]
                if not visited[j] and length < distance[j]:
                    distance[j], previous[j] = length, here
            here = min((j for j in range(width) if not visited[j]), key=distance.__getitem__)
            visited[here], reached = True, distance[here]
            matched = row_of[here]
            if matched is None:
                break
            row = matched
        _update_potentials(row_potential, column_potential, row_of, start, distance, visited, reached)
        while here >= 0:
            before = previous[here]
            row_of[here] = start if before < 0 else row_of[before]
            here = before
    columns = {row: j for j, row in enumerate(row_of) if row is not None}
    return [columns[i] for i in range(len(costs))]


def _update_potentials(
    row_potential: list[float],
    column_potential: list[float],
    row_of: Sequence[int | None],
    start: int,
    distance: Sequence[float],
    visited: Sequence[bool],
    reached: float,
) -> None:
    row_potential[start] += reached
    for j, is_visited in enumerate(visited):
        if is_visited:
            matched = row_of[j]
            column_potential[j] -= reached - distance[j]
            if matched is not None:
                row_potential[matched] += reached - distance[j]
