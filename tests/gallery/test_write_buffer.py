"""Write buffers are immutable: deriving one from another changes neither."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mien.gallery.vector_index.source import Rows, Vectors
from mien.gallery.vector_index.write_buffer import WriteBuffer
from tests.gallery.in_memory_source import InMemorySource, people

MANY = 1000


def found(buffer: WriteBuffer) -> list[int]:
    """Return all live rows of a buffer."""
    (candidates,) = buffer.candidates(people(1), np.array([-2], np.float32), None)
    return candidates.rows.tolist()


@pytest.fixture
def source() -> InMemorySource:
    return InMemorySource()


@pytest.fixture
def empty(source: InMemorySource) -> WriteBuffer:
    return WriteBuffer.empty(source, "set", 0, MANY)


def test_a_buffer_keeps_its_rows_while_later_ones_gain_some(source: InMemorySource, empty: WriteBuffer) -> None:
    buffers = [empty]
    for seed in range(20):
        source.add(people(7, seed))
        buffers.append(buffers[-1].catch_up(0))
    assert [found(buffer) for buffer in buffers] == [list(range(1, 7 * n + 1)) for n in range(21)]


def test_one_buffer_may_catch_up_twice(source: InMemorySource, empty: WriteBuffer) -> None:
    source.add(people(20))
    start = empty.catch_up(0)
    source.add(people(3, seed=1))
    one = start.catch_up(0)
    source.delete([21, 22])
    source.add(people(3, seed=2))
    other = start.catch_up(0)
    assert found(one) == [*range(1, 24)]
    assert found(other) == [*range(1, 21), 23, 24, 25, 26]


def test_a_scan_that_fails_leaves_the_buffer_as_it_was(empty: WriteBuffer) -> None:
    class Failing(InMemorySource):
        def scan(self, vector_set: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
            yield next(super().scan(vector_set, after, upto))
            if self.failing:
                raise OSError

    source = Failing()
    buffer = WriteBuffer.empty(source, "set", 0, MANY)
    source.add(people(30))
    source.failing = True
    with pytest.raises(OSError):
        buffer.catch_up(30)
    source.failing = False
    assert found(buffer) == []
    assert found(buffer.catch_up(30)) == list(range(1, 31))


def test_deleted_rows_are_left_out_and_compaction_drops_them(source: InMemorySource, empty: WriteBuffer) -> None:
    source.add(people(10))
    buffer = empty.catch_up(10)
    marked = buffer.mark_deleted(np.array([3, 4, 99]))
    assert found(buffer) == list(range(1, 11))
    assert found(marked) == found(marked.compacted()) == [1, 2, 5, 6, 7, 8, 9, 10]
    assert (len(marked), len(marked.compacted())) == (10, 8)


def test_after_a_seal_only_the_later_rows_are_held(source: InMemorySource, empty: WriteBuffer) -> None:
    source.add(people(10))
    rest = empty.catch_up(10).mark_deleted(np.array([2, 8])).after_seal(6)
    assert found(rest) == [7, 9, 10]
    assert rest.tombstones.tolist() == [8]


@pytest.mark.parametrize("after", [12, 99])
def test_a_buffer_sealed_beyond_its_end_catches_up_from_there(
    source: InMemorySource, empty: WriteBuffer, after: int
) -> None:
    source.add(people(10))
    rest = empty.catch_up(10).after_seal(after)
    assert found(rest) == []
    source.add(people(95, seed=1))
    assert found(rest.catch_up(105)) == list(range(after + 1, 106))


def test_an_overflowed_buffer_reads_the_source(source: InMemorySource) -> None:
    buffer = WriteBuffer.empty(source, "set", 0, 20)
    source.add(people(21))
    overflowed = buffer.catch_up(21)
    source.delete([5])
    source.add(people(1, seed=1))
    assert found(overflowed) == [n for n in range(1, 23) if n != 5]
    assert len(overflowed) == 21
    assert overflowed.memory == 0
    assert overflowed.upto == 21
