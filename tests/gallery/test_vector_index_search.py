"""The index finds what a comparison with every vector finds, whichever part of it holds the rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien.gallery.vector_index import IndexConfig, IndexManager
from tests.gallery.in_memory_source import SMALL, InMemorySource, people
from tests.support.process import PATIENCE_SECONDS

VECTOR_SET = "faces"


@pytest.fixture
def source() -> InMemorySource:
    return InMemorySource()


@pytest.fixture
def indexes(tmp_path: Path, source: InMemorySource) -> Iterator[IndexManager]:
    made = IndexManager(tmp_path, source, SMALL)
    yield made
    made.close()


def answers(indexes: IndexManager, source: InMemorySource, probes: np.ndarray, least: float, limit: int | None) -> None:
    for probe, (rows, cosines) in zip(probes, indexes.search(VECTOR_SET, probes, least, limit), strict=True):
        assert rows.tolist() == source.best(probe, least, limit)
        _, vectors = source.fetch(VECTOR_SET, rows)
        assert cosines == pytest.approx((vectors[np.argsort(np.argsort(rows))] @ probe), abs=1e-6)


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / VECTOR_SET).iterdir() if path.is_dir())


@pytest.mark.parametrize("limit", [None, 7])
@pytest.mark.parametrize("least", [-1.0, 0.3, 0.6, float("inf")])
@pytest.mark.parametrize("size", [0, 1, 64, 900])
@pytest.mark.parametrize("probes", [3, 40])
def test_a_search_finds_what_exact_search_finds(
    indexes: IndexManager, source: InMemorySource, size: int, least: float, limit: int | None, probes: int
) -> None:
    if size:
        source.add(people(size // 3 + 1, photos=3)[:size])
        indexes.build(VECTOR_SET)
    answers(indexes, source, people(probes, seed=0, photos=2), least, limit)


def test_additions_and_deletions_take_effect_at_once(indexes: IndexManager, source: InMemorySource) -> None:
    first = source.add(people(500))
    indexes.build(VECTOR_SET)
    again = source.vectors[first[3]]
    source.delete(first[3:10])
    answers(indexes, source, people(10), 0.2, 3)
    (row,) = source.add(again[None])
    assert indexes.search(VECTOR_SET, again[None], 0.9, 1)[0][0].tolist() == [row]


def test_the_last_of_many_similar_rows_is_found_when_the_others_are_deleted(
    indexes: IndexManager, source: InMemorySource
) -> None:
    rows = source.add(people(1, photos=300))
    indexes.build(VECTOR_SET)
    source.delete(rows[:-1])
    for probes in (1, 40):
        for found, _ in indexes.search(VECTOR_SET, np.repeat(people(1), probes, axis=0), 0.2, 2):
            assert found.tolist() == rows[-1:]


def test_compaction_removes_deleted_rows_from_the_disk(
    tmp_path: Path, indexes: IndexManager, source: InMemorySource
) -> None:
    rows = source.add(people(400))
    indexes.build(VECTOR_SET)
    assert segments(tmp_path) == ["0-400-400"]
    source.delete(rows[:200])
    indexes.build(VECTOR_SET)
    assert segments(tmp_path) == ["0-400-200"]
    answers(indexes, source, people(10), 0.2, 3)
    source.delete(rows[200:399])
    indexes.build(VECTOR_SET)
    assert segments(tmp_path) == []
    answers(indexes, source, people(10), -1.0, None)


def test_compaction_ends_when_the_last_rows_are_deleted(
    tmp_path: Path, indexes: IndexManager, source: InMemorySource
) -> None:
    rows = source.add(people(400))
    indexes.build(VECTOR_SET)
    source.delete(rows[200:])
    compaction = threading.Thread(target=indexes.build, args=(VECTOR_SET,), daemon=True)
    compaction.start()
    compaction.join(PATIENCE_SECONDS)
    assert not compaction.is_alive()
    assert segments(tmp_path) == ["0-400-200"]
    answers(indexes, source, people(10), 0.2, 3)


def test_many_small_additions_make_few_segments(tmp_path: Path, indexes: IndexManager, source: InMemorySource) -> None:
    for seed in range(12):
        source.add(people(70, seed))
        indexes.build(VECTOR_SET)
    assert len(segments(tmp_path)) <= 5
    answers(indexes, source, people(30, seed=4), 0.3, None)


def test_an_overflowed_buffer_is_searched_in_the_database(tmp_path: Path, source: InMemorySource) -> None:
    indexes = IndexManager(tmp_path, source, IndexConfig(seal_threshold=100_000, max_buffer=100))
    source.add(people(333))
    answers(indexes, source, people(5), 0.1, 4)
    source.add(people(33, seed=5))
    answers(indexes, source, people(5), 0.1, None)
    indexes.close()


def test_pairs_are_each_yielded_once(indexes: IndexManager, source: InMemorySource) -> None:
    rows = source.add(people(100, photos=3))
    indexes.build(VECTOR_SET)
    matrix = np.array([source.vectors[row] for row in rows])
    expected = {(rows[a], rows[b]) for a, b in zip(*np.nonzero(np.triu(matrix @ matrix.T, 1) >= 0.5), strict=True)}
    found = [(one, other) for one, other, _ in indexes.pairs(VECTOR_SET, 0.5)]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_memory_stays_bounded_over_many_vector_sets(tmp_path: Path, source: InMemorySource) -> None:
    """An index that was closed reads its vectors again when it is searched."""
    indexes = IndexManager(tmp_path, source, IndexConfig(max_memory=1_000_000))
    source.add(people(100))
    for number in range(200):
        indexes.search(f"set-{number}", people(1), 0.5)
    source.scanned.clear()
    for number in reversed(range(200)):
        indexes.search(f"set-{number}", people(1), 0.5)
    indexes.close()
    kept_open = 200 - len(set(source.scanned))
    assert 1 <= kept_open <= 1_000_000 // (100 * 512)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 90)),
        st.tuples(st.just("delete"), st.integers(1, 90)),
        st.tuples(st.just("build"), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0)),
        st.tuples(st.just("search"), st.integers(0, 9)),
    ),
    max_size=14,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=operations, seed=st.integers(0, 1000))
def test_any_order_of_operations_agrees_with_a_plain_list(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], seed: int
) -> None:
    folder, source, random = tmp_path_factory.mktemp("index"), InMemorySource(), np.random.default_rng(seed)
    indexes = IndexManager(folder, source, SMALL)
    for number, (step, amount) in enumerate(steps):
        if step == "add":
            source.add(people(amount, seed + number))
        elif step == "delete":
            rows = list(source.vectors)
            source.delete(random.choice(rows, min(amount, len(rows)), replace=False).tolist() if rows else [])
        elif step == "build":
            indexes.build(VECTOR_SET)
        elif step == "reopen":
            indexes.close()
            indexes = IndexManager(folder, source, SMALL)
        answers(indexes, source, people(3, seed + number), 0.25, amount or None)
    indexes.close()
