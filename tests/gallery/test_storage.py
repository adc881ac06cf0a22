"""Faults of the storage: a kill, a full disk, damage, a newer version, a folder that cannot be created."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mien.domain.errors import StorageBusy, StorageDamaged, StorageError, StorageFull
from mien.gallery import Gallery
from mien.gallery.store import database
from mien.gallery.store.schema import VERSION
from tests.gallery.faces import MODEL, embedding, embeddings, face, image_id
from tests.support.forks import holds_in_child

KILLS = 24

WRITER = """
import sys
from pathlib import Path
from mien.gallery import Gallery
from tests.gallery.faces import MODEL, embeddings, face, image_id

gallery, start = Gallery(Path(sys.argv[1]), MODEL), int(sys.argv[2])
print("open", flush=True)
for number in range(start, start + 1_000_000):
    (one,) = gallery.faces.index("people", [face(number)], image_id=image_id(number))
    print("added", one.face_id, number, flush=True)
    several = gallery.faces.add_embeddings("people", embeddings(50, seed=number))
    print("bulk", *several, flush=True)
    gallery.users.associate("people", "ann", [one.face_id], threshold=0)
    gallery.users.disassociate("people", "ann", [one.face_id])
    gallery.faces.delete("people", several)
    print("deleted", *several, flush=True)
"""


@pytest.mark.slow
def test_every_answered_write_survives_a_kill(tmp_path: Path) -> None:
    with closing(Gallery(tmp_path, MODEL)) as gallery:
        gallery.collections.create("people")
        gallery.users.create("people", "ann")
    chance = random.Random(1)
    alive: dict[str, int | None] = {}
    for start in range(0, KILLS * 1000, 1000):
        lines = _killed_writer(tmp_path, start, after=chance.randint(1, 12))
        doubtful = _play(lines, alive)
        with closing(Gallery(tmp_path, MODEL)) as gallery:
            _agree(gallery, alive, doubtful)


def _killed_writer(folder: Path, start: int, after: int) -> list[str]:
    """Return the complete lines of a writer that is killed after printing this many."""
    command = [sys.executable, "-c", WRITER, str(folder), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout
        lines = [writer.stdout.readline() for _ in range(after)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    return [line for line in lines if line.endswith("\n")]


def _play(lines: list[str], alive: dict[str, int | None]) -> set[str]:
    """Apply to `alive` what was answered; return the ids whose deletion may have been in progress."""
    assert lines[0] == "open\n"
    doubtful: set[str] = set()
    for verb, *words in map(str.split, lines[1:]):
        if verb == "added":
            alive[words[0]] = int(words[1])
        elif verb == "bulk":
            alive |= dict.fromkeys(words)
            doubtful = set(words)
        else:
            doubtful = set()
            for face_id in words:
                del alive[face_id]
    return doubtful


def _agree(gallery: Gallery, alive: dict[str, int | None], doubtful: set[str]) -> None:
    """Compare the gallery with `alive`, and adopt what was committed but not answered before the kill."""
    stored = {found.face_id for found in gallery.faces.list("people").items}
    assert stored >= alive.keys() - doubtful
    assert doubtful <= stored or not doubtful & stored
    assert gallery.collections.describe("people").face_count == len(stored)
    for face_id in doubtful - stored:
        del alive[face_id]
    alive |= dict.fromkeys(stored - alive.keys())
    gallery.check()
    some = list(alive)[-60:]
    found = gallery.search.faces("people", gallery.faces.embeddings("people", some), threshold=99)
    assert all(face_id in {match.face.face_id for match in hits} for face_id, hits in zip(some, found, strict=True))


def test_a_full_disk_refuses_additions_and_keeps_the_stored_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PRAGMAS", database.PRAGMAS + "PRAGMA max_page_count=120;")
    with closing(Gallery(tmp_path, MODEL)) as gallery:
        gallery.collections.create("people")
        kept = gallery.faces.add_embeddings("people", embeddings(100))
        with pytest.raises(StorageFull, match="full"):
            gallery.faces.add_embeddings("people", embeddings(5000))
        assert [found.face_id for found in gallery.faces.list("people").items] == list(kept)
        assert gallery.faces.delete("people", kept[:50]).deleted == kept[:50]
        gallery.faces.index("people", [face(1)], image_id=image_id(1))
        assert gallery.search.faces("people", embedding(1)[np.newaxis])[0]


def test_check_finds_damaged_pages(tmp_path: Path) -> None:
    with closing(Gallery(tmp_path, MODEL)) as gallery:
        gallery.collections.create("people")
        gallery.faces.add_embeddings("people", embeddings(500))
        gallery.check()
    path = tmp_path / "mien.db"
    content = bytearray(path.read_bytes())
    for place in range(5 * database.PAGE_BYTES, len(content), database.PAGE_BYTES):
        content[place : place + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(StorageDamaged, match="backup"), closing(Gallery(tmp_path, MODEL)) as gallery:
        gallery.check()


def test_a_file_that_is_no_database_is_reported_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "mien.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(StorageDamaged, match=r"mien\.db"):
        Gallery(tmp_path, MODEL)


def test_a_newer_schema_is_refused_untouched(gallery: Gallery, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mien.db")) as connection, connection:
        connection.execute("UPDATE gallery_schema SET version = ?", (VERSION + 1,))
    with pytest.raises(StorageError, match="newer version"):
        Gallery(tmp_path, MODEL)


def test_a_folder_that_cannot_be_created_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be"):
        Gallery(tmp_path / "file" / "folder", MODEL)


def test_waiting_for_another_writer_times_out(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    other = Gallery(tmp_path, MODEL)
    with closing(sqlite3.connect(tmp_path / "mien.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert other.collections.describe("people").face_count == 0
        with pytest.raises(StorageBusy, match="Another process"):
            Gallery(tmp_path, MODEL)
        holder.execute("ROLLBACK")
    other.close()


def test_a_forked_child_is_refused_and_its_parent_goes_on(gallery: Gallery, tmp_path: Path) -> None:
    gallery.faces.index("people", [face(1)], image_id=image_id(1))

    def is_refused() -> bool:
        with pytest.raises(StorageError, match="open it only after the fork"):
            gallery.search.faces("people", embedding(1)[None])
        gallery.close()
        return True

    assert holds_in_child(is_refused)
    gallery.faces.index("people", [face(2)], image_id=image_id(2))
    with closing(Gallery(tmp_path, MODEL)) as again:
        assert again.collections.describe("people").face_count == 2


def test_a_closed_gallery_raises_a_storage_error(gallery: Gallery) -> None:
    gallery.close()
    with pytest.raises(StorageError, match="closed"):
        gallery.collections.list()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_sorted_is_never_written_to_temporary_files(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000)"
    statement = f"{numbers} SELECT hex(randomblob(50)) AS name FROM n ORDER BY name"
    with closing(database.Database(tmp_path / "any.db")) as any_database, any_database.rows(statement) as rows:
        next(iter(rows))
        opened = {os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    assert any(path.endswith("any.db") for path in opened)
    assert not [path for path in opened if "etilqs" in path]
