"""The compiled loops give what NumPy gives, by every look-up that this processor has."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest
from tests.gallery.plain_truth import people

from mien.gallery.nearest import kernels
from mien.gallery.nearest.kernels import ENTRIES, GROUPS, LANES, MOST, calls
from mien.gallery.nearest.kernels.lookup import LOOKUPS, Lookup
from mien.gallery.nearest.kernels.machine import Code, compiled, lookups

RANDOM = np.random.default_rng(5)
CENTROIDS = RANDOM.standard_normal((2, GROUPS, ENTRIES)).astype(np.float32) * np.float32(0.1)


@pytest.fixture(scope="module", params=lookups(), ids=lambda lookup: lookup.feature or "comparing")
def code(request: pytest.FixtureRequest) -> Code:
    return compiled(calls.KERNELS, request.param)


@pytest.fixture
def _by(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "compiled_here", lambda: code)


def test_any_processor_has_a_look_up() -> None:
    assert lookups()[-1] == LOOKUPS[-1] == Lookup("", 16, "")


@pytest.mark.usefixtures("_by")
@pytest.mark.parametrize("probes", [1, 2, 7])
@pytest.mark.parametrize("faces", [1, LANES - 1, LANES, LANES + 1, 129 * LANES + 5])
def test_a_scan_finds_all_that_reach_the_sum_and_no_other(faces: int, probes: int) -> None:
    codes = RANDOM.integers(0, ENTRIES, (faces, GROUPS), np.uint8)
    entries = RANDOM.integers(0, MOST + 1, (probes, GROUPS, ENTRIES), np.uint8)
    sums = np.array([table[np.arange(GROUPS), codes].sum(1, dtype=int) for table in entries])
    least = [int(np.quantile(row, 0.9)) for row in sums]
    found = kernels.scan(kernels.packed(codes), faces, entries, least)
    for places, row, cut in zip(found.of(found.places), sums, least, strict=True):
        assert places.tolist() == np.flatnonzero(row >= cut).tolist()


@pytest.mark.usefixtures("_by")
@pytest.mark.parametrize(
    ("entry", "least", "share"), [(0, 0, 1), (MOST, GROUPS * MOST, 1), (MOST, GROUPS * MOST + 1, 0)]
)
def test_the_lowest_and_the_highest_sum(entry: int, least: int, share: int) -> None:
    codes = RANDOM.integers(0, ENTRIES, (300, GROUPS), np.uint8)
    found = kernels.scan(kernels.packed(codes), 300, np.full((1, GROUPS, ENTRIES), entry, np.uint8), [least])
    assert found.counts.tolist() == [300 * share]


@pytest.mark.usefixtures("_by")
def test_tables_hold_the_products_of_probe_and_centroids() -> None:
    probes = people(5)
    entries, lows, steps = kernels.tables(probes, *CENTROIDS)
    products = np.einsum("mga,agk->mgk", probes.reshape(5, GROUPS, 2), CENTROIDS)
    above = products - products.min(2, keepdims=True)
    assert lows == pytest.approx(products.min(2).sum(1), abs=1e-5)
    assert steps == pytest.approx(above.max((1, 2)) / MOST)
    assert np.abs(entries * steps[:, None, None] - above).max() <= steps.max() * 0.5001
    assert entries.max() == MOST


@pytest.mark.usefixtures("_by")
def test_tables_of_a_probe_that_is_zero() -> None:
    entries, lows, _ = kernels.tables(np.zeros((1, 128), np.float32), *CENTROIDS)
    assert not entries.any()
    assert lows == 0


@pytest.mark.usefixtures("_by")
def test_each_pair_of_coordinates_is_encoded_as_the_nearest_centroid() -> None:
    vectors = people(200)
    pairs = vectors.reshape(-1, GROUPS, 1, 2)
    distances = np.square(pairs - CENTROIDS.transpose(1, 2, 0)).sum(-1)
    codes = kernels.encode(vectors, *CENTROIDS)
    taken = np.take_along_axis(distances, codes[..., None].astype(int), 2)[..., 0]
    assert taken == pytest.approx(distances.min(2), abs=1e-7)


@pytest.mark.usefixtures("_by")
@pytest.mark.parametrize("count", [0, 1, 40])
def test_narrowing_keeps_what_reaches_the_floors(count: int) -> None:
    stored = RANDOM.integers(-127, 128, (500, 128), np.int8)
    steps = RANDOM.uniform(0.001, 0.003, 500).astype(np.float32)
    probes, floors = people(3), [-2.0, 0.1, 2.0]
    places = np.sort([RANDOM.choice(500, 50, replace=False) for _ in probes]).astype(np.int32)
    found = kernels.Found(places.copy(), np.full(3, count))
    cosines = kernels.narrow(stored, steps, probes, floors, found)
    kept = zip(found.of(found.places), found.of(cosines), strict=True)
    for probe, floor, some, (left, values) in zip(probes, floors, places[:, :count], kept, strict=True):
        products = (stored[some] @ probe.astype(float)) * steps[some]
        assert left.tolist() == some[products >= floor].tolist()
        assert values == pytest.approx(products[products >= floor], abs=1e-5)


@pytest.mark.usefixtures("_by")
def test_a_cosine_is_the_same_to_the_last_bit_wherever_it_is_computed(code: Code) -> None:
    vectors, (probe,) = people(100), people(1, seed=1)
    together = kernels.cosines(probe, vectors)
    assert together == pytest.approx(vectors @ probe, abs=1e-6)
    assert together.tolist() == [kernels.cosines(probe, vector[None])[0] for vector in vectors]
    assert together.tolist() == [kernels.cosines(vector, probe[None])[0] for vector in vectors]
    assert together.tolist() == np.array([by_hand(probe, vector) for vector in vectors]).tolist()


def by_hand(one: np.ndarray, other: np.ndarray) -> np.float32:
    """Sixteen sums side by side, then added by halves: what every processor does."""
    sums = np.zeros(16, np.float32)
    for part in range(8):
        sums = sums + one[16 * part : 16 * part + 16] * other[16 * part : 16 * part + 16]
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    return np.float32(sums[0])


def test_many_threads_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls.compiled_here.cache_clear()
    made: list[Code] = []
    monkeypatch.setattr(calls, "compiled", lambda *terms: made.append(compiled(*terms)) or made[-1])
    (probe,) = people(1)
    threads = [threading.Thread(target=kernels.cosines, args=(probe, probe[None])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_other_threads_run_while_a_kernel_does() -> None:
    """A function of ctypes.CFUNCTYPE gives the interpreter's lock back, one of PYFUNCTYPE keeps it."""
    assert not any(f._flags_ & ctypes._FUNCFLAG_PYTHONAPI for f in calls.compiled_here().functions.values())
