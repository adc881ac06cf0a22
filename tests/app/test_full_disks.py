"""A full disk on which no server runs: whatever opens the data folder gets the space reserved for that."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from mien.backends.embedded.backend import EmbeddedBackend
from mien.backends.embedded.disk_reserve import DiskReserve
from mien.domain.errors import StorageError, StorageFull
from mien.domain.policy import Policy
from mien.gallery.store.database import Database
from tests.support import painter
from tests.support.fake_engine import FakeFaceEngine

MEGABYTE = 1 << 20


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def open_backend(folder: Path) -> EmbeddedBackend:
    return EmbeddedBackend(folder, "people", Policy(), FakeFaceEngine)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "mien-test", str(disk)]
    if (
        os.name != "posix"
        or os.geteuid()
        or not shutil.which("mount")
        or subprocess.run(command, check=False).returncode
    ):
        pytest.skip("only root mounts a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> None:
    with (disk / "of others").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(MEGABYTE))


def test_somebody_is_forgotten_on_a_full_disk_by_the_first_to_open_the_folder(small_disk: Path) -> None:
    folder = small_disk / "data"
    with open_backend(folder).app as app:
        app.enroll(painter.photos_of("Robert")[0], "Robert")
    (folder / "reserve").write_bytes(bytes(2 * MEGABYTE))
    fill(small_disk)
    assert shutil.disk_usage(small_disk).free < 4096
    with open_backend(folder).app as app:
        assert app.forget("Robert").remaining_stores == ()
    assert not (folder / "reserve").exists()


@pytest.fixture
def fail_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Path]:
    """Answers as SQLite on a disk with so much free space, as long as there is a reserve."""

    def fail(code: int, free: int) -> Path:
        folder = tmp_path / "data"
        open_backend(folder).close()
        reserve, connect = folder / "reserve", Database._connect
        reserve.touch()

        def failing(database: Database) -> sqlite3.Connection:
            if reserve.exists():
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = code
                raise error
            return connect(database)

        monkeypatch.setattr(Database, "_connect", failing)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - free, free))
        return folder

    return fail


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL])
def test_a_folder_on_a_full_disk_opens_with_the_reserve(fail_to_open: Callable[[int, int], Path], code: int) -> None:
    folder = fail_to_open(code, 0)
    open_backend(folder).close()
    assert not (folder / "reserve").exists()


def test_a_failing_disk_with_space_keeps_the_reserve(fail_to_open: Callable[[int, int], Path]) -> None:
    folder = fail_to_open(sqlite3.SQLITE_IOERR_SHMSIZE, 10 * MEGABYTE)
    with pytest.raises(StorageError, match="failing"):
        open_backend(folder)
    assert (folder / "reserve").exists()


def test_a_full_disk_without_a_reserve_is_said_to_be_full(tmp_path: Path) -> None:
    def full() -> None:
        raise StorageFull("The disk is full.")

    with pytest.raises(StorageFull):
        DiskReserve(tmp_path / "reserve").give_room(full)
