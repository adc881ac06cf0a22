"""Data folders of earlier versions are brought up to date, all or nothing, and those of newer ones are refused."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.backends.embedded import migrations
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import StorageError, StorageFull
from mien.domain.policy import Policy
from mien.gallery.store.database import Database, Transaction
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of


def add(name: str) -> Callable[[Transaction], None]:
    def step(transaction: Transaction) -> None:
        transaction.execute(f"CREATE TABLE {name} (X)")

    return step


def fail(_: Transaction) -> None:
    raise KeyboardInterrupt


def die(_: Transaction) -> None:
    os._exit(9)


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture
def old(tmp_path: Path) -> Database:
    """A database that has been through one step."""
    made = Database(tmp_path / "mien.db")
    migrations.migrate(made, [add("First")])
    return made


def test_a_new_database_goes_through_all_steps_and_leaves_no_copy(old, tmp_path):
    assert tables(old.path) == {"First"}
    assert not (tmp_path / migrations.COPIES).exists()


def test_an_earlier_database_is_copied_and_goes_through_the_steps_that_it_lacks(old, tmp_path):
    steps = [add("First"), add("Second"), add("Third")]
    for _ in range(2):
        migrations.migrate(old, steps)
    assert tables(old.path) == {"First", "Second", "Third"}
    (copy,) = (tmp_path / migrations.COPIES).iterdir()
    assert (copy.name, tables(copy), copy.stat().st_mode & 0o777) == ("mien-1.db", {"First"}, 0o600)


@pytest.mark.parametrize("end", [fail, die])
def test_an_interrupted_upgrade_changes_nothing_and_is_done_by_the_next_start(old, end):
    old.close()
    steps = [add("First"), add("Second"), end]
    child = os.fork()
    if child == 0:
        try:
            migrations.migrate(Database(old.path), steps)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert tables(old.path) == {"First"}
    again = Database(old.path)
    migrations.migrate(again, [add("First"), add("Second"), add("Third")])
    assert tables(old.path) == {"First", "Second", "Third"}
    again.close()


def test_a_newer_database_is_refused_unchanged(tmp_path):
    folder = tmp_path / "data"
    EmbeddedBackend(folder, "c", Policy(), FakeFaceEngine).close()
    with sqlite3.connect(folder / "mien.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    for mode in (0o600, 0o400):
        (folder / "mien.db").chmod(mode)
        with pytest.raises(StorageError, match="written by a newer version of Mien"):
            EmbeddedBackend(folder, "c", Policy(), FakeFaceEngine)
    assert not (folder / migrations.COPIES).exists()


def test_without_room_for_the_copy_nothing_is_changed_and_the_sentence_says_what_to_do(old, monkeypatch):
    def full(*_: object) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(Database, "copy_to", full)
    with pytest.raises(StorageFull, match=r"Free \d+ MB"):
        migrations.migrate(old, [add("First"), add("Second")])
    assert tables(old.path) == {"First"}


def test_copies_go_after_a_week_and_with_the_next_erasure(tmp_path):
    folder = tmp_path / "data"
    EmbeddedBackend(folder, "c", Policy(), FakeFaceEngine).close()
    with sqlite3.connect(folder / "mien.db") as connection:
        connection.execute("PRAGMA user_version = 0")
    backend = EmbeddedBackend(folder, "c", Policy(), FakeFaceEngine)
    copy = folder / migrations.COPIES / "mien-0.db"
    assert copy.exists()
    with backend.app as app:
        app.enroll(photo_of("Ada"), name="Ada")
        assert copy.exists()
        app.forget(app.find_person("Ada").user_id)
        assert not copy.parent.exists()
    copy.parent.mkdir()
    copy.write_bytes(b"")
    for age, stays in ((migrations.KEPT_SECONDS - 60, True), (migrations.KEPT_SECONDS + 60, False)):
        os.utime(copy, (time.time() - age, time.time() - age))
        EmbeddedBackend(folder, "c", Policy(), FakeFaceEngine).close()
        assert copy.exists() is stays


def test_a_table_that_this_version_adds_is_created(tmp_path):
    folder = tmp_path / "data"
    EmbeddedBackend(folder, "c", Policy(), FakeFaceEngine).close()
    with sqlite3.connect(folder / "mien.db") as connection:
        connection.execute("DROP TABLE Consents")
    EmbeddedBackend(folder, "c", Policy(), FakeFaceEngine).close()
    assert "Consents" in tables(folder / "mien.db")
