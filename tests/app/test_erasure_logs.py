"""An erasure is done when nobody can read the person in SQLite's write-ahead log any more; until then it says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mien.backends.embedded import database
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import StorageError
from mien.domain.records import Erasure, ErasureReceipt
from mien.gallery.store import database as store
from mien.gallery.store.database import Database
from tests.support.process import PATIENCE_SECONDS

Portraits = dict[str, list[bytes]]


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "EMPTYING_SECONDS", 0.0)


@contextmanager
def reader(path: Path) -> Iterator[None]:
    """Reads the present state all the time, as another process may."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM People").fetchall()
        yield


def files_with(text: bytes, folder: Path) -> list[str]:
    return [file.name for file in sorted(folder.glob("mien.db*")) if text in file.read_bytes()]


def test_an_erasure_waits_until_nobody_reads_the_log(backend: EmbeddedBackend, portraits: Portraits) -> None:
    backend.app.enroll(portraits["Robert"][0], "Robert")
    with reader(backend.database.path):
        report = backend.app.forget("Robert")
        assert files_with(b'"Robert"', backend.data_dir)
        assert (report.faces, report.remaining_stores) == (1, ("mien.db-wal",))
        assert [intent.user_id for intent in backend.app.pending_erasures()] == ["Robert"]
        assert isinstance(backend.app.erasure(report.erasure_id), Erasure)
        assert [each.remaining_stores for each in backend.app.resume_erasures()] == [("mien.db-wal",)]
    assert [each.remaining_stores for each in backend.app.resume_erasures()] == [()]
    receipt = backend.app.erasure(report.erasure_id)
    assert isinstance(receipt, ErasureReceipt)
    assert (receipt.faces, receipt.images, receipt.remaining_stores) == (1, 1, ())
    assert backend.app.pending_erasures() == []
    assert files_with(b"Robert", backend.data_dir) == []


def test_an_erasure_is_not_done_while_its_request_can_be_read_in_the_log(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.app.enroll(portraits["Robert"][0], "Robert")
    delete, readers = backend.catalog.delete, []

    def delete_with_reader(kind: type[Erasure], keys: list[str]) -> int:
        if kind is Erasure:
            readers.append(reader(backend.database.path))
            readers[-1].__enter__()
        return delete(kind, keys)

    truncate, states = database.truncate_wal, []

    def truncate_and_ask(of: Database) -> bool:
        if readers:
            [receipt] = backend.catalog.find(ErasureReceipt, limit=2).items
            states.append(type(backend.app.erasure(receipt.erasure_id)))
        return truncate(of)

    with monkeypatch.context() as patch:
        patch.setattr(backend.catalog, "delete", delete_with_reader)
        patch.setattr(database, "truncate_wal", truncate_and_ask)
        assert backend.app.forget("Robert").remaining_stores == ("mien.db-wal",)
    assert set(states) == {Erasure}
    assert files_with(b'"Robert"', backend.data_dir)
    for each in readers:
        each.__exit__(None, None, None)
    assert [each.remaining_stores for each in backend.app.resume_erasures()] == [()]
    assert files_with(b"Robert", backend.data_dir) == []


def test_an_erasure_whose_log_cannot_be_emptied_is_tried_again(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.app.enroll(portraits["Robert"][0], "Robert")
    truncate = database.truncate_wal

    def fail_after_the_intent(of: Database) -> bool:
        if not backend.catalog.find(Erasure, limit=1).items:
            raise StorageError("The disk failed.")
        return truncate(of)

    with monkeypatch.context() as patch:
        patch.setattr(database, "truncate_wal", fail_after_the_intent)
        with pytest.raises(StorageError, match="failed"):
            backend.app.forget("Robert")
    assert [intent.user_id for intent in backend.app.pending_erasures()] == ["Robert"]
    assert [each.remaining_stores for each in backend.app.resume_erasures()] == [()]
    assert files_with(b"Robert", backend.data_dir) == []


def test_whoever_is_enrolled_anew_before_an_erasure_is_done_is_erased_under_another_id(
    backend: EmbeddedBackend, portraits: Portraits
) -> None:
    backend.app.enroll(portraits["Robert"][0], "Robert")
    with reader(backend.database.path):
        first = backend.app.forget("Robert")
        backend.app.enroll(portraits["Robert"][0], "Robert")
        second = backend.app.forget("Robert")
    assert (first.remaining_stores, second.remaining_stores) == (("mien.db-wal",),) * 2
    assert first.erasure_id != second.erasure_id


def test_the_log_is_emptied_once_nobody_reads_an_older_state(backend: EmbeddedBackend) -> None:
    with reader(backend.database.path):
        backend.queue.put("uploaded/new.jpg")
        assert not backend.database.truncate_log()
    assert backend.database.truncate_log()
    assert backend.database.path.with_name("mien.db-wal").stat().st_size == 0


def test_whoever_writes_gets_a_turn_between_attempts_to_empty_the_log(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    plain = store._set_timeout

    def set_timeout(connection: sqlite3.Connection, seconds: float) -> None:
        waited.append(seconds)
        plain(connection, seconds)

    monkeypatch.setattr(store, "_set_timeout", set_timeout)
    monkeypatch.setattr(store, "LOG_PAUSE_SECONDS", PATIENCE_SECONDS)
    with reader(backend.database.path):
        backend.queue.put("uploaded/new.jpg")
        assert [backend.database.truncate_log() for _ in range(3)] == [False] * 3
    assert waited[::2] == [store.LOG_BUSY_SECONDS, 0, 0]
    assert backend.database.truncate_log()


def test_whoever_writes_waits_as_long_for_others_as_before_after_the_log_was_emptied(backend: EmbeddedBackend) -> None:
    assert backend.database.truncate_log()
    assert backend.database.read("PRAGMA busy_timeout") == [(30_000,)]
