"""The search's kernels compute the same bits on every processor, and touch nothing outside their arrays."""

from __future__ import annotations

import numpy as np
import pytest

from mien.gallery.vector_index import kernels
from mien.kernels.instruction_sets import InstructionSet, available
from mien.kernels.search import BLOCK_ROWS, CHUNK_FACES, LANES, QUERY, RESULT_CAPACITY, SEARCH, SEGMENT
from mien.kernels.signatures import Argument, Kernel
from mien.kernels.vectors import COSINES, DIMENSIONS, ENCODE, ENTRIES, GROUPS, LOOKUP_TABLES, MAX_ENTRY, PART
from tests.kernels.emulated import run_emulated
from tests.kernels.guarded import guarded


def run(isa: InstructionSet, kernel: Kernel, /, **arguments: Argument) -> dict[str, np.ndarray]:
    """Run a kernel twice, its arrays at either end of their memory; returns the arrays by name."""
    results = []
    for at_end in (True, False):
        placed = {
            name: guarded(value, at_end=at_end) if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()
        }
        if isa in available():
            kernels.library(isa)[kernel.name](*kernel.bind(placed))
        else:
            run_emulated(isa, kernel, placed, at_end=at_end)
        results.append({name: value.copy() for name, value in placed.items() if isinstance(value, np.ndarray)})
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name])
    return results[0]


def vectors(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_normal((count, DIMENSIONS)).astype(np.float32)


def inner_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Multiply (n, 128) with (128,) and add in the kernels' order: part by part, then by halves."""
    sums = np.zeros((len(left), PART), np.float32)
    for first in range(0, DIMENSIONS, PART):
        sums += left[:, first : first + PART] * right[first : first + PART]
    while sums.shape[1] > 1:
        sums = sums[:, : sums.shape[1] // 2] + sums[:, sums.shape[1] // 2 :]
    return sums[:, 0]


@pytest.mark.parametrize("count", [1, 7])
def test_cosines_are_added_in_one_order(rng: np.random.Generator, any_isa: InstructionSet, count: int) -> None:
    some, [probe] = vectors(rng, count), vectors(rng, 1)
    written = run(any_isa, COSINES, count=count, vectors=some, probe=probe, target=np.zeros(count, np.float32))
    np.testing.assert_array_equal(written["target"], inner_products(some, probe))


def test_codes_and_look_up_tables(rng: np.random.Generator, any_isa: InstructionSet) -> None:
    count, some = 5, vectors(rng, 5)
    x, y = rng.standard_normal((2, GROUPS, ENTRIES)).astype(np.float32)
    half_norms = ((x * x + y * y) / np.float32(2)).astype(np.float32)
    pairs = some.reshape(count, GROUPS, 2)
    products = x * pairs[:, :, :1] + y * pairs[:, :, 1:]
    codes = np.zeros((count, GROUPS), np.uint8)
    given = {"count": count, "centroid_x": x, "centroid_y": y}
    encoded = run(any_isa, ENCODE, **given, vectors=some, half_norms=half_norms, codes=codes)["codes"]
    np.testing.assert_array_equal(encoded, (products - half_norms).argmax(axis=2))
    found = run(
        any_isa,
        LOOKUP_TABLES,
        **given,
        probes=some,
        entries=np.zeros((count, GROUPS, ENTRIES), np.uint8),
        offsets=np.zeros(count, np.float32),
        scales=np.zeros(count, np.float32),
    )
    least = products.min(axis=2)
    scales = (products.max(axis=2) - least).max(axis=1) / np.float32(MAX_ENTRY)
    entries = (products - least[:, :, None]) / scales[:, None, None] + np.float32(0.5)
    np.testing.assert_array_equal(found["scales"], scales)
    np.testing.assert_array_equal(found["entries"], entries.astype(np.uint8))
    np.testing.assert_allclose(found["offsets"], least.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("probes", [1, 3])
@pytest.mark.parametrize("faces", [1, LANES, 2 * LANES + 5])
def test_a_scan(rng: np.random.Generator, any_isa: InstructionSet, faces: int, probes: int, at_end: bool) -> None:
    codes = rng.integers(0, ENTRIES, (faces, GROUPS), np.uint8)
    arrays: dict[str, np.ndarray] = {
        "codes": kernels.packed(codes),
        "int8_vectors": rng.integers(-127, 128, (faces, DIMENSIONS), np.int8),
        "scales": rng.uniform(0.001, 0.003, faces).astype(np.float32),
        "rows": np.arange(faces) * 3 + 7,
        "tombstones": rng.random(faces) < 0.2,
    }
    entries = rng.integers(0, MAX_ENTRY + 1, (probes, GROUPS, ENTRIES), np.uint8)
    sums = np.array([table[np.arange(GROUPS), codes].sum(axis=1, dtype=int) for table in entries])
    asked: dict[str, np.ndarray] = {
        "entries": entries,
        "min_sums": np.quantile(sums, 0.5, axis=1).astype(np.int16),
        "floors": np.full(probes, -np.inf, np.float32),
    }
    found = _search(any_isa, arrays, asked, vectors(rng, probes), at_end=at_end)
    for number, least in enumerate(asked["min_sums"]):
        expected = arrays["rows"][(sums[number] >= least) & ~arrays["tombstones"]]
        first = number * RESULT_CAPACITY
        assert sorted(found["rows"][first : first + found["counts"][number]].tolist()) == expected.tolist()


def _search(
    isa: InstructionSet,
    arrays: dict[str, np.ndarray],
    asked: dict[str, np.ndarray],
    probes: np.ndarray,
    *,
    at_end: bool,
) -> dict[str, np.ndarray]:
    """Search one segment, everything between closed pages; returns the results."""
    count = len(probes)
    segment, query = ({name: guarded(one, at_end=at_end) for name, one in some.items()} for some in (arrays, asked))
    blocks, faces = len(arrays["codes"]), len(arrays["rows"])
    assert arrays["codes"].shape == (blocks, BLOCK_ROWS, LANES)
    row = [*SEGMENT.bind({"faces": faces, "blocks": blocks, **segment}), *QUERY.bind({"probes": count, **query})]
    given = {
        "table": np.array(row),
        "taken_blocks": np.zeros(1, np.int64),
        "vectors": probes,
        "positions": np.zeros(2 * CHUNK_FACES, np.uint32),
        "rows": np.zeros(count * RESULT_CAPACITY, np.int64),
        "cosines": np.zeros(count * RESULT_CAPACITY, np.float32),
        "counts": np.zeros(count, np.int64),
    }
    placed: dict[str, Argument] = {name: guarded(value, at_end=at_end) for name, value in given.items()}
    placed |= {"segments": 1, "probes": count}
    if isa in available():
        kernels.library(isa)[SEARCH.name](*SEARCH.bind(placed))
    else:
        further = [*segment.values(), *query.values()]
        run_emulated(isa, SEARCH, placed, at_end=at_end, table="table", further=further)
    return {name: np.array(placed[name]) for name in ("rows", "cosines", "counts")}
