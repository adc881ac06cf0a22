"""Backups that a stranger made: refused in a sentence, before they fill the disk or bring programs into it."""

from __future__ import annotations

import gc
import io
import json
import sqlite3
import tarfile
from pathlib import Path

import pytest

from mien.backends.embedded import archive, restore
from mien.backends.embedded.backend import EmbeddedBackend
from mien.backends.embedded.backup import back_up
from mien.domain.errors import StorageDamaged
from mien.domain.policy import Policy
from tests.support.fake_engine import FakeFaceEngine

HEAD = {"version": "1", "created_at": "2026-03-01T12:00:00+00:00", "mark": "a1", "has_keys": False}
PHOTO = "photos/uploaded/_/x.jpg"
HOLE = 2**40
NESTED = b"[" * 60_000
SPARSE = {
    "0.1": ({"GNU.sparse.map": f"{HOLE},0", "GNU.sparse.size": str(HOLE), "GNU.sparse.name": PHOTO}, b""),
    "1.0": (
        {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": str(HOLE),
            "GNU.sparse.name": PHOTO,
        },
        f"1\n{HOLE}\n0\n".encode().ljust(512, b"\0"),
    ),
}


def open_folder(folder: Path) -> EmbeddedBackend:
    return EmbeddedBackend(folder, "face-collection", Policy(), FakeFaceEngine)


def refused(file: Path, data_dir: Path) -> str:
    with pytest.raises(StorageDamaged) as error:
        restore.restore(file, data_dir, open_folder, passphrase=str)
    assert not data_dir.exists()
    return str(error.value)


def tar(*files: tuple[str, bytes, dict[str, str]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, body, headers in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = len(body), headers
            made.addfile(entry, io.BytesIO(body))
    return stream.getvalue()


@pytest.mark.parametrize("kind", SPARSE)
def test_a_file_with_holes_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    headers, body = SPARSE[kind]
    head = json.dumps(HEAD | {"format": 1}).encode()
    (tmp_path / "odd").write_bytes(tar((archive.HEAD, head, {}), (PHOTO, body, headers)))
    monkeypatch.setattr(archive, "copy_to", lambda *_: pytest.fail("it was unpacked"))
    assert "does not write" in refused(tmp_path / "odd", tmp_path / "data")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_without_end_is_not_read_into_memory(kind: bytes) -> None:
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = kind, HOLE
    sent = io.BytesIO(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(StorageDamaged, match="does not write"):
        list(archive.entries(sent))


def test_an_archive_of_many_files_is_written_and_read_one_by_one() -> None:
    file = io.BytesIO()
    writer = archive.ArchiveWriter(file, HEAD)
    for number in range(200):
        writer.add_bytes(str(number), b"")
    assert len(headers()) < 10
    writer.close()
    file.seek(0)
    assert max(len(headers()) for _ in archive.entries(file)) < 10


def headers() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, tarfile.TarInfo)]


KEY = b"age-encryption.org/v1\n-> scrypt " + b"A" * 22 + b" %s\n" + b"A" * 43 + b"\n"
MAC = b"--- " + b"A" * 43 + b"\n" + bytes(102)


@pytest.mark.parametrize(
    "key",
    [
        KEY % b"22" + MAC,
        KEY % b"99" + MAC,
        KEY % b"10" + b"-> scrypt " + b"A" * 22 + b" 22\n" + b"A" * 43 + b"\n" + MAC,
        b"-----BEGIN AGE ENCRYPTED FILE-----\n",
    ],
    ids=["a large factor", "an impossible one", "two of them", "armoured"],
)
def test_a_passphrase_that_takes_gigabytes_to_try_is_not_tried(tmp_path: Path, key: bytes) -> None:
    (tmp_path / "odd").write_bytes(archive.ENCRYPTED + len(key).to_bytes(2, "big") + key)
    with pytest.raises(StorageDamaged, match="not one that Mien writes"):
        restore.restore(tmp_path / "odd", tmp_path / "data", open_folder, passphrase=lambda: pytest.fail("asked"))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", [archive.HEAD, archive.END])
def test_json_that_is_nested_too_deeply_is_refused(tmp_path: Path, name: str) -> None:
    head = json.dumps(HEAD | {"format": 1}).encode()
    before = [] if name == archive.HEAD else [(archive.HEAD, head, {})]
    (tmp_path / "odd").write_bytes(tar(*before, (name, NESTED, {})))
    refused(tmp_path / "odd", tmp_path / "data")


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "odd").open("wb") as file:
        archive.ArchiveWriter(file, HEAD | {"created_at": "2026-03-01T12:00:00"}).close()
    assert "begin as a backup" in refused(tmp_path / "odd", tmp_path / "data")


REWRITTEN = "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql"


@pytest.mark.parametrize(
    "program",
    [
        "CREATE TRIGGER t AFTER INSERT ON Uploads BEGIN DELETE FROM FaceMetadata; END",
        "CREATE VIEW v AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "CREATE VIRTUAL TABLE f USING fts5(x)",
        f"CREATE VIRTUAL TABLE f USING fts5(x); {REWRITTEN}, 'CREATE VIRTUAL', 'CREATE  VIRTUAL')",
        f"CREATE VIRTUAL TABLE f USING fts5(x); {REWRITTEN}, 'CREATE VIRTUAL', 'CREATE/**/VIRTUAL')",
    ],
    ids=["trigger", "view", "virtual table", "virtual table after spaces", "virtual table after a comment"],
)
def test_programs_in_the_database_are_not_restored(tmp_path: Path, program: str) -> None:
    contents = backed_up(tmp_path)
    database = tmp_path / "changed.db"
    database.write_bytes(contents["mien.db"])
    connection = sqlite3.connect(database)
    connection.executescript(program)
    connection.commit()
    connection.close()
    with (tmp_path / "odd").open("wb") as file:
        writer = archive.ArchiveWriter(file, HEAD)
        for name, body in (contents | {"mien.db": database.read_bytes()}).items():
            writer.add_bytes(name, body)
        writer.close()
    assert "database holds" in refused(tmp_path / "odd", tmp_path / "data")


def backed_up(tmp_path: Path) -> dict[str, bytes]:
    """The files of a backup of an empty data folder."""
    backend = open_folder(tmp_path / "old")
    with backend.app:
        back_up(backend, tmp_path / "whole")
    contents = {}
    with (tmp_path / "whole").open("rb") as file:
        for entry in archive.entries(file):
            contents[entry.name] = entry.stream.read()
    return {name: body for name, body in contents.items() if name != archive.HEAD}
