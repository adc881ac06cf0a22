"""Answers are right whatever happens to the index: the database is the source of truth."""

from __future__ import annotations

import errno
import io
import os
import random
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from mien.gallery.vector_index import IndexConfig, IndexManager
from mien.gallery.vector_index.builder import Builder, Stopped
from tests.gallery.in_memory_source import SMALL, InMemorySource, people
from tests.support.process import wait_for

VECTOR_SET = "faces"
REPLACEMENTS = 900
FILES = ("rows", "steps", "codebook", "codes", "vectors", "manifest")


@pytest.fixture
def source() -> InMemorySource:
    source = InMemorySource()
    source.add(people(300))
    return source


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source = tmp_path_factory.mktemp("built"), InMemorySource()
    source.add(people(300))
    indexes = IndexManager(folder, source, SMALL)
    indexes.build(VECTOR_SET)
    indexes.close()
    return folder


@pytest.fixture
def folder(tmp_path: Path, built: Path) -> Path:
    """A folder with one segment of 300 rows."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path


def agrees(folder: Path, source: InMemorySource, config: IndexConfig = SMALL) -> None:
    indexes = IndexManager(folder, source, config)
    probes = people(20)
    for probe, (rows, _) in zip(probes, indexes.search(VECTOR_SET, probes, 0.25, 8), strict=True):
        assert rows.tolist() == source.best(probe, 0.25, 8)
    indexes.close()


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / VECTOR_SET).iterdir() if path.is_dir())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random(path.name).randrange(len(content))] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [truncate, empty, flip_a_bit, Path.unlink])
def test_a_damaged_segment_is_ignored_and_rebuilt(
    folder: Path, source: InMemorySource, name: str, harm: Callable[[Path], None]
) -> None:
    harm(folder / VECTOR_SET / "0-300-300" / name)
    agrees(folder, source)
    indexes = IndexManager(folder, source, SMALL)
    indexes.build(VECTOR_SET)
    assert not indexes.index(VECTOR_SET).refresh().damaged
    indexes.close()
    assert segments(folder) == ["0-300-300"]
    agrees(folder, source)


def test_segments_of_another_database_are_ignored(folder: Path) -> None:
    other = InMemorySource("another database")
    other.add(people(300, seed=9))
    agrees(folder, other)


def test_a_missing_index_is_rebuilt_in_the_background(folder: Path, source: InMemorySource) -> None:
    shutil.rmtree(folder / VECTOR_SET)
    indexes = IndexManager(folder, source, SMALL)
    indexes.search(VECTOR_SET, people(1), 0.25, 8)
    wait_for(lambda: len(indexes.index(VECTOR_SET).refresh().segments) > 0)
    indexes.close()
    assert segments(folder) == ["0-300-300"]


def test_an_incomplete_segment_of_a_dead_process_is_removed(folder: Path, source: InMemorySource) -> None:
    shutil.copytree(folder / VECTOR_SET / "0-300-300", folder / VECTOR_SET / "building-dead")
    agrees(folder, source)
    Builder(folder / VECTOR_SET, VECTOR_SET, source, SMALL, lambda: False).build()
    assert segments(folder) == ["0-300-300"]


class Disk:
    """A disk with `room` bytes left: a write stores what fits and then fails, as the operating system does."""

    def __init__(self, room: int) -> None:
        self.room = room

    def open(self, file: Path, mode: str = "r", *terms: object, **more: object) -> IO[bytes] | IO[str]:
        if "w" not in mode:
            return open(file, mode)
        raw = io.BufferedWriter(_OnDisk(self, file))
        return raw if "b" in mode else io.TextIOWrapper(raw, encoding="utf-8")


class _OnDisk(io.FileIO):
    def __init__(self, disk: Disk, file: Path) -> None:
        super().__init__(file, "w")
        self.disk = disk

    def write(self, data: Any) -> int:
        if not self.disk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(memoryview(data).cast("B")[: self.disk.room])
        self.disk.room -= written
        return written


@pytest.mark.parametrize("short", [0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0])
def test_a_full_disk_leaves_the_old_segments_and_no_incomplete_one(
    folder: Path, source: InMemorySource, monkeypatch: pytest.MonkeyPatch, short: float
) -> None:
    """Whichever byte of the compaction is the first that does not fit."""
    source.add(people(200, seed=3))
    shutil.copytree(folder / VECTOR_SET, folder / "copy")
    indexes = IndexManager(folder, source, SMALL)
    indexes.build("copy")
    need = sum(path.stat().st_size for path in (folder / "copy" / "0-500-500").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(io, "open", Disk(max(0, int(short * need) - 1)).open)
        with pytest.raises(OSError, match="No space"):
            indexes.build(VECTOR_SET)
    indexes.close()
    assert segments(folder) == ["0-300-300"]
    agrees(folder, source)
    indexes = IndexManager(folder, source, SMALL)
    indexes.build(VECTOR_SET)
    indexes.close()
    assert segments(folder) == ["0-500-500"]
    agrees(folder, source)


def test_a_build_stops_on_request(folder: Path, source: InMemorySource) -> None:
    source.add(people(100, seed=3))
    with pytest.raises(Stopped):
        Builder(folder / VECTOR_SET, VECTOR_SET, source, SMALL, lambda: True).build()
    assert segments(folder) == ["0-300-300"]


def test_of_several_builders_one_does_the_work(folder: Path, source: InMemorySource) -> None:
    source.add(people(100, seed=3))
    built: list[int] = []

    class Counting(InMemorySource):
        def scan(self, vector_set: str, after: int, upto: int | None = None):  # type: ignore[no-untyped-def]
            built.append(after)
            return super().scan(vector_set, after, upto)

    counting = Counting()
    counting.vectors = source.vectors
    threads = [
        threading.Thread(target=Builder(folder / VECTOR_SET, VECTOR_SET, counting, SMALL, lambda: False).build)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [0] or built == [300]
    agrees(folder, source)


def test_segments_that_another_process_built_are_used(folder: Path, source: InMemorySource) -> None:
    """Even if the clock went backwards meanwhile."""
    reader, writer = IndexManager(folder, source, IndexConfig()), IndexManager(folder, source, SMALL)
    reader.search(VECTOR_SET, people(1), 0.5, 1)
    source.add(people(200, seed=3))
    writer.build(VECTOR_SET)
    os.utime(folder / VECTOR_SET, (0, 0))
    reader.search(VECTOR_SET, people(1), 0.5, 1)
    in_use = [segment.name for segment in reader.index(VECTOR_SET).refresh().segments]
    reader.close()
    writer.close()
    assert in_use == segments(folder) != ["0-300-300"]


@pytest.mark.parametrize("max_buffer", [400, 1])
def test_a_row_replaced_while_the_buffer_catches_up_is_found(tmp_path: Path, max_buffer: int) -> None:
    """A user's vector is replaced whenever the user gains a face."""

    class Replacing(InMemorySource):
        def newest(self, vector_set: str) -> int:
            before = super().newest(vector_set)
            self.delete([before])
            self.add(people(1))
            return before

    source = Replacing()
    source.add(people(3, seed=1))
    source.add(people(1))
    indexes = IndexManager(tmp_path, source, IndexConfig(max_buffer=max_buffer))
    ((rows, _),) = indexes.search(VECTOR_SET, people(1), 0.9, 1)
    indexes.close()
    assert rows.tolist() == list(source.vectors)[-1:]


def test_a_search_in_progress_keeps_its_snapshot(tmp_path: Path) -> None:
    """Otherwise it would find neither a replaced row nor the one that took its place."""
    source = InMemorySource()
    source.add(people(200))
    indexes = IndexManager(tmp_path, source, SMALL)
    for built in (True, False):
        if built:
            indexes.build(VECTOR_SET)
        probe, deleted = people(1, seed=built), source.add(people(1, seed=built))
        index = indexes.index(VECTOR_SET)
        before = index.refresh()
        source.delete(deleted)
        index.mark_deleted(np.array(deleted))
        later = index.refresh()
        floors = np.array([0.9], np.float32)
        assert deleted[0] in before.buffer.candidates(probe, floors, 1)[0].rows
        assert deleted[0] not in later.buffer.candidates(probe, floors, 1)[0].rows
        assert before.segments == later.segments
    indexes.close()


def test_a_row_replaced_and_marked_deleted_during_a_search_is_found(tmp_path: Path) -> None:
    class Replacing(InMemorySource):
        def newest(self, vector_set: str) -> int:
            before = super().newest(vector_set)
            if self.replaced:
                (row,), self.replaced = self.replaced, []
                self.delete([row])
                self.add(people(1))
                indexes.index(VECTOR_SET).mark_deleted(np.array([row]))
            return before

    source = Replacing()
    source.replaced = []
    first = source.add(people(1))
    indexes = IndexManager(tmp_path, source, SMALL)
    indexes.search(VECTOR_SET, people(1), 0.9, 1)
    source.replaced = first
    ((rows, _),) = indexes.search(VECTOR_SET, people(1), 0.9, 1)
    indexes.close()
    assert rows.tolist() == list(source.vectors)


def test_searches_are_right_during_additions_deletions_and_builds(tmp_path: Path) -> None:
    source = InMemorySource()
    settled = source.add(people(200))
    indexes = IndexManager(tmp_path, source, SMALL)
    done, wrong = threading.Event(), []

    def search() -> None:
        while not done.is_set():
            probes = people(5)
            for number, (rows, _) in enumerate(indexes.search(VECTOR_SET, probes, 0.5, 3)):
                if settled[number] not in rows:
                    wrong.append((number, rows))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for seed in range(1, 12):
        rows = source.add(people(60, seed))
        indexes.build(VECTOR_SET)
        source.delete(rows[: len(rows) // 2])
        indexes.mark_deleted(VECTOR_SET, np.array(rows[: len(rows) // 2]))
    done.set()
    for thread in threads:
        thread.join()
    indexes.close()
    assert not wrong


@pytest.mark.parametrize("max_buffer", [400, 1])
def test_every_search_finds_rows_that_are_replaced_all_the_time(
    tmp_path: Path, source: InMemorySource, max_buffer: int
) -> None:
    """Threads change places as often as they can, so that a snapshot older than the newest row would show."""
    vectors = people(300)
    rows = list(source.vectors)
    indexes = IndexManager(tmp_path, source, replace(SMALL, max_buffer=max_buffer))
    done, misses = threading.Event(), []

    def search(seed: int) -> int:
        numbers, searches = np.random.default_rng(seed), 0
        while not done.is_set():
            number = int(numbers.integers(len(vectors)))
            ((found, _),) = indexes.search(VECTOR_SET, vectors[number][None], 0.95, 1)
            searches += 1
            if len(found) != 1:
                misses.append(number)
        return searches

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(3) as pool:
            searches = [pool.submit(search, seed) for seed in range(3)]
            for step in range(REPLACEMENTS):
                number = step * 7 % len(vectors)
                old, rows[number] = rows[number], source.replace(rows[number], vectors[number])
                if step % 3 == 0:
                    indexes.mark_deleted(VECTOR_SET, np.array([old]))
                if step % (REPLACEMENTS // 3) == 0:
                    indexes.build(VECTOR_SET)
            done.set()
            assert min(future.result() for future in searches) > 0
    finally:
        done.set()
        sys.setswitchinterval(interval)
        indexes.close()
    assert misses == []
