"""The vectors in the database as the indexes read them: implements `nearest.Truth`.

A space is the vectors of a collection's faces, or of its users, such as "face-12". Outside the database
rows are numbered within their collection. The numbers rise with every commit and are never used twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from mien.gallery.store.database import Database
from mien.gallery.store.rows import AMONG
from mien.gallery.store.schema import first_row
from mien.gallery.validation import DIMENSION
from mien.gallery.vector_index import Rows, Vectors

BLOCK = 8192


def faces_space(key: int) -> str:
    return f"face-{key}"


def users_space(key: int) -> str:
    return f"user-{key}"


class SqliteVectorSource:
    """`identity`: which database and which model."""

    def __init__(self, database: Database, identity: str) -> None:
        self._database = database
        self.identity = identity

    def newest(self, space: str) -> int:
        table, first, end = _place(space)
        ((row,),) = self._database.read(f"SELECT max(row) FROM {table} WHERE row > ? AND row < ?", (first, end))
        return (row or first) - first

    def count(self, space: str, after: int, upto: int) -> int:
        table, first, _ = _place(space)
        ((counted,),) = self._database.read(
            f"SELECT count(*) FROM {table} WHERE row > ? AND row <= ?", (first + after, first + upto)
        )
        return int(counted)

    def scan(self, space: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
        table, first, end = _place(space)
        last = end if upto is None else first + upto
        while found := self._database.read(
            f"SELECT row, vector FROM {table} WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
            (first + after, last, BLOCK),
        ):
            yield _block(found, first)
            after = found[-1][0] - first

    def fetch(self, space: str, rows: Rows) -> tuple[Rows, Vectors]:
        table, first, _ = _place(space)
        chosen = json.dumps((rows + first).tolist())
        return _block(
            self._database.read(f"SELECT row, vector FROM {table} WHERE row {AMONG} ORDER BY row", (chosen,)), first
        )


def _place(space: str) -> tuple[str, int, int]:
    """The table, and the two numbers between which its rows lie."""
    kind, _, key = space.partition("-")
    return f"{kind}_vector", first_row(int(key)), first_row(int(key) + 1)


def _block(found: list[tuple[int, bytes]], first: int) -> tuple[Rows, Vectors]:
    rows = np.array([row for row, _ in found], np.int64) - first
    vectors = np.frombuffer(b"".join([vector for _, vector in found]), np.float32)
    return rows, vectors.reshape(len(rows), DIMENSION)
