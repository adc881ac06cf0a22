"""The kernels compute what NumPy computes, with every look-up that this processor has."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from mien.gallery.vector_index import kernels
from mien.gallery.vector_index.kernels import (
    ENTRIES,
    GROUPS,
    LANES,
    MAX_ENTRY,
    QueryTables,
    ScanRequest,
    SegmentArrays,
)
from mien.kernels.instruction_sets import InstructionSet
from mien.kernels.search import RESULT_CAPACITY
from tests.gallery.in_memory_source import people


@pytest.fixture
def centroids(rng: np.random.Generator) -> np.ndarray:
    """(2, groups, entries): the coordinates of each group's entries."""
    return rng.standard_normal((2, GROUPS, ENTRIES)).astype(np.float32) * np.float32(0.1)


@pytest.fixture(autouse=True)
def _by(isa: InstructionSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with every instruction set that this processor has."""
    monkeypatch.setattr(kernels, "current", lambda: isa)


def segment_arrays(rng: np.random.Generator, faces: int, tombstones: np.ndarray | None = None) -> SegmentArrays:
    """Make random codes and unrelated vectors, so that each can be tested alone."""
    return SegmentArrays(
        codes=kernels.packed(rng.integers(0, ENTRIES, (faces, GROUPS), np.uint8)),
        int8_vectors=rng.integers(-127, 128, (faces, 128), np.int8),
        scales=rng.uniform(0.001, 0.003, faces).astype(np.float32),
        rows=np.cumsum(rng.integers(1, 9, faces)),
        tombstones=tombstones,
    )


def codes_of(segment_arrays: SegmentArrays) -> np.ndarray:
    """Unpack what `packed` packed."""
    halves = segment_arrays.codes & 15, segment_arrays.codes >> 4
    pairs = np.stack(halves, axis=2).reshape(len(segment_arrays.codes), GROUPS, LANES)
    order = np.arange(LANES).reshape(-1, 2).T.ravel()
    return pairs[:, :, order].transpose(0, 2, 1).reshape(-1, GROUPS)[: len(segment_arrays.rows)]


def query_tables(entries: np.ndarray, min_sums: list[int], floors: list[float]) -> QueryTables:
    return QueryTables(entries, np.array(min_sums, np.int16), np.array(floors, np.float32))


def random_tables(rng: np.random.Generator, probes: int) -> np.ndarray:
    return rng.integers(0, MAX_ENTRY + 1, (probes, GROUPS, ENTRIES), np.uint8)


def search(
    probes: np.ndarray, segments: list[tuple[SegmentArrays, QueryTables]], threads: int = 1
) -> list[dict[int, float]]:
    """Return for each probe the rows found and their cosines; assert that none is found twice."""
    request = ScanRequest(probes, [(*arrays.descriptor, *tables.descriptor) for arrays, tables in segments], segments)
    with ThreadPoolExecutor(threads) as pool:
        takers = [pool.submit(lambda: list(request.run())) for _ in range(threads)]
    parts = [part for taker in takers for part in taker.result()]
    answers = []
    for near in zip(*parts, strict=True):
        rows, cosines = (np.concatenate(some).tolist() for some in zip(*near, strict=True))
        answers.append(dict(zip(rows, cosines, strict=True)))
        assert len(answers[-1]) == len(rows)
    return answers


def test_packed_codes_unpack_to_the_same_codes(rng: np.random.Generator) -> None:
    codes = rng.integers(0, ENTRIES, (333, GROUPS), np.uint8)
    assert (codes_of(replace(segment_arrays(rng, 333), codes=kernels.packed(codes))) == codes).all()


@pytest.mark.parametrize("probes", [1, 2, 7])
@pytest.mark.parametrize("faces", [1, LANES - 1, LANES, LANES + 1, 129 * LANES + 5])
def test_a_search_finds_exactly_the_faces_whose_sums_reach_the_least_sum(
    rng: np.random.Generator, faces: int, probes: int
) -> None:
    segment, entries = segment_arrays(rng, faces), random_tables(rng, probes)
    sums = np.array([table[np.arange(GROUPS), codes_of(segment)].sum(1, dtype=int) for table in entries])
    min_sums = [int(np.quantile(row, 0.9)) for row in sums]
    rows = search(people(probes), [(segment, query_tables(entries, min_sums, [-np.inf] * probes))])
    assert [sorted(some) for some in rows] == [
        segment.rows[row >= one].tolist() for row, one in zip(sums, min_sums, strict=True)
    ]


@pytest.mark.parametrize(
    ("entry", "min_sums", "share"),
    [(0, 0, 1), (MAX_ENTRY, GROUPS * MAX_ENTRY, 1), (MAX_ENTRY, GROUPS * MAX_ENTRY + 1, 0)],
)
def test_the_extreme_sums_are_compared_without_overflow(
    rng: np.random.Generator, entry: int, min_sums: int, share: int
) -> None:
    asked = query_tables(np.full((1, GROUPS, ENTRIES), entry, np.uint8), [min_sums], [-np.inf])
    (rows,) = search(people(1), [(segment_arrays(rng, 300), asked)])
    assert len(rows) == 300 * share


@pytest.mark.parametrize("probes", [1, 3])
@pytest.mark.parametrize("some_are_deleted", [False, True])
def test_a_search_finds_exactly_the_live_faces_that_reach_the_floor(
    rng: np.random.Generator, probes: int, some_are_deleted: bool
) -> None:
    tombstones = rng.random(500) < 0.3 if some_are_deleted else None
    segment, asked = segment_arrays(rng, 500, tombstones), people(probes)
    floors = np.linspace(-0.1, 0.2, probes)
    cosines = (segment.int8_vectors * segment.scales[:, None]) @ asked.T.astype(float)
    answers = search(asked, [(segment, query_tables(random_tables(rng, probes), [0] * probes, floors.tolist()))])
    for rows, products, floor in zip(answers, cosines.T, floors, strict=True):
        kept = products >= floor if tombstones is None else (products >= floor) & ~tombstones
        assert rows == pytest.approx(dict(zip(segment.rows[kept].tolist(), products[kept], strict=True)), abs=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_beyond_the_buffers_capacity_are_found(rng: np.random.Generator, threads: int) -> None:
    """By any number of threads, each row exactly once."""
    segments = [segment_arrays(rng, faces) for faces in (RESULT_CAPACITY + 3 * LANES + 1, 2 * RESULT_CAPACITY, 1)]
    second = [replace(segment, rows=segment.rows + 10_000_000 * number) for number, segment in enumerate(segments)]
    everything = query_tables(random_tables(rng, 3), [0, GROUPS * MAX_ENTRY + 1, 0], [-np.inf] * 3)
    answers = search(people(3), [(segment, everything) for segment in second], threads)
    all_rows = np.concatenate([segment.rows for segment in second]).tolist()
    assert [sorted(rows) for rows in answers] == [all_rows, [], all_rows]


def test_lookup_tables_hold_the_products_of_probe_and_centroids(centroids: np.ndarray) -> None:
    probes = people(5)
    entries, offsets, scales = kernels.lookup_tables(probes, *centroids)
    products = np.einsum("mga,agk->mgk", probes.reshape(5, GROUPS, 2), centroids)
    above = products - products.min(2, keepdims=True)
    assert offsets == pytest.approx(products.min(2).sum(1), abs=1e-5)
    assert scales == pytest.approx(above.max((1, 2)) / MAX_ENTRY)
    assert np.abs(entries * scales[:, None, None] - above).max() <= scales.max() * 0.5001
    assert entries.max() == MAX_ENTRY


def test_lookup_tables_of_a_zero_probe_are_zero(centroids: np.ndarray) -> None:
    entries, offsets, _ = kernels.lookup_tables(np.zeros((1, 128), np.float32), *centroids)
    assert not entries.any()
    assert offsets == 0


def test_each_pair_of_coordinates_is_encoded_as_the_nearest_centroid(centroids: np.ndarray) -> None:
    vectors = people(200)
    pairs = vectors.reshape(-1, GROUPS, 1, 2)
    distances = np.square(pairs - centroids.transpose(1, 2, 0)).sum(-1)
    codes = kernels.encode(vectors, *centroids)
    taken = np.take_along_axis(distances, codes[..., None].astype(int), 2)[..., 0]
    assert taken == pytest.approx(distances.min(2), abs=1e-7)


def test_a_cosine_is_bit_identical_in_every_call() -> None:
    vectors, (probe,) = people(100), people(1, seed=1)
    together = kernels.cosines(probe, vectors)
    assert together == pytest.approx(vectors @ probe, abs=1e-6)
    assert together.tolist() == [kernels.cosines(probe, vector[None])[0] for vector in vectors]
    assert together.tolist() == [kernels.cosines(vector, probe[None])[0] for vector in vectors]
    assert together.tolist() == np.array([by_hand(probe, vector) for vector in vectors]).tolist()


def by_hand(one: np.ndarray, other: np.ndarray) -> np.float32:
    """Add sixteen sums side by side, then by halves, as the kernel does on every processor."""
    sums = np.zeros(16, np.float32)
    for part in range(8):
        sums = sums + one[16 * part : 16 * part + 16] * other[16 * part : 16 * part + 16]
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    return np.float32(sums[0])


def test_kernels_release_the_interpreter_lock(isa: InstructionSet) -> None:
    """A function of ctypes.CFUNCTYPE releases the lock, one of PYFUNCTYPE keeps it."""
    functions = [kernels.library(isa)[kernel.name] for kernel in kernels.KERNELS]
    assert not any(function._flags_ & ctypes._FUNCFLAG_PYTHONAPI for function in functions)
