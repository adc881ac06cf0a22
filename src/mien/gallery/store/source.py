"""Read the vectors in the database for the vector index.

A vector set holds the vectors of one collection's faces or users and is named after both, such as "face-12". Row
numbers here count within the collection: they rise with every commit and are never used twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mien.gallery.store.database import Database
from mien.gallery.store.rows import embeddings
from mien.gallery.store.schema import first_row
from mien.gallery.vector_index import Rows, Vectors

BLOCK = 8192
"""Rows of one read."""


@dataclass(frozen=True, slots=True)
class _Statements:
    """The statements on one table of vectors."""

    name: str
    newest: str
    count: str
    scan: str
    fetch: str


_TABLES = {
    "face": _Statements(
        name="face_vector",
        newest="SELECT max(row) FROM face_vector WHERE row > ? AND row < ?",
        count="SELECT count(*) FROM face_vector WHERE row > ? AND row <= ?",
        scan="SELECT row, vector FROM face_vector WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
        fetch="SELECT row, vector FROM face_vector WHERE row IN (SELECT value FROM json_each(?)) ORDER BY row",
    ),
    "user": _Statements(
        name="user_vector",
        newest="SELECT max(row) FROM user_vector WHERE row > ? AND row < ?",
        count="SELECT count(*) FROM user_vector WHERE row > ? AND row <= ?",
        scan="SELECT row, vector FROM user_vector WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
        fetch="SELECT row, vector FROM user_vector WHERE row IN (SELECT value FROM json_each(?)) ORDER BY row",
    ),
}


def face_vectors(key: int) -> str:
    """Name the vector set of a collection's faces."""
    return f"face-{key}"


def user_vectors(key: int) -> str:
    """Name the vector set of a collection's users."""
    return f"user-{key}"


class SqliteVectorSource:
    """Implements vector_index.VectorSource; `identity` names the database and the model."""

    def __init__(self, database: Database, identity: str) -> None:
        self._database = database
        self.identity = identity

    def newest(self, vector_set: str) -> int:
        statements, first, end = _table(vector_set)
        ((row,),) = self._database.read(statements.newest, (first, end))
        return (row or first) - first

    def count(self, vector_set: str, after: int, upto: int) -> int:
        statements, first, _ = _table(vector_set)
        ((count,),) = self._database.read(statements.count, (first + after, first + upto))
        return int(count)

    def scan(self, vector_set: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
        statements, first, end = _table(vector_set)
        last = end if upto is None else first + upto
        while found := self._database.read(statements.scan, (first + after, last, BLOCK)):
            yield _arrays(statements.name, found, first)
            after = found[-1][0] - first

    def fetch(self, vector_set: str, rows: Rows) -> tuple[Rows, Vectors]:
        statements, first, _ = _table(vector_set)
        found = self._database.read(statements.fetch, (json.dumps((rows + first).tolist()),))
        return _arrays(statements.name, found, first)


def _table(vector_set: str) -> tuple[_Statements, int, int]:
    """Return the statements on the set's table, and the two numbers between which its rows lie."""
    kind, _, key = vector_set.partition("-")
    return _TABLES[kind], first_row(int(key)), first_row(int(key) + 1)


def _arrays(table: str, found: list[tuple[int, bytes]], first: int) -> tuple[Rows, Vectors]:
    rows = np.array([row for row, _ in found], np.int64) - first
    return rows, embeddings(table, [vector for _, vector in found])
