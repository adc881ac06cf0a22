"""A data folder that can only be read: reading goes on, without an entry in the audit log; writing is refused."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mien.config import open_embedded
from mien.domain.errors import StorageReadOnly
from mien.settings import Settings
from tests.support.painter import photo_of
from tests.support.process import MIEN_ON_FAKE_ENGINE

READING = [
    ["people"],
    ["faces", "--user", "Ada"],
    ["recognize", "new.jpg", "--no-store"],
    ["detect", "new.jpg"],
    ["compare", "new.jpg", "new.jpg"],
    ["inspect"],
    ["audit"],
    ["audit", "--verify"],
    ["consent", "Ada"],
    ["reject", "Ada"],
    ["repair", "--report"],
    ["verify-erased", "Hedy"],
    ["keys", "list"],
]
WRITING = [
    ["enroll", "new.jpg", "--user", "Hedy"],
    ["recognize", "new.jpg"],
    ["forget", "Ada", "--yes"],
    ["forget", "--unnamed-recognitions", "--yes"],
    ["rename", "Ada", "Augusta"],
    ["merge", "Ada", "Grace"],
    ["consent", "Ada", "2090-01-01"],
    ["reject", "Ada", "new.jpg"],
    ["repair"],
    ["keys", "create", "door"],
    ["serve", "--port", "0"],
]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def known(mien, people, tmp_path):
    """Ada and Grace are enrolled, and a photo of nobody was recognised."""
    mien("enroll", people)
    (tmp_path / "new.jpg").write_bytes(photo_of("Ada", photo=4))
    (tmp_path / "stranger.jpg").write_bytes(photo_of("Hedy"))
    mien("recognize", "stranger.jpg")
    mien("enroll", "stranger.jpg", "--user", "Hedy")
    mien("forget", "Hedy", "--yes")
    return mien


def protect(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as on a disk that is mounted read-only: root may write wherever it is not."""
    access = os.access

    def on_read_only_disk(path: str | Path, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and Path(path).is_relative_to(folder))

    monkeypatch.setattr(os, "access", on_read_only_disk)


@pytest.fixture
def read_only(known, tmp_path, monkeypatch):
    protect(tmp_path / "data", monkeypatch)
    return known


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_goes_on_with_a_warning_and_changes_nothing(read_only, tmp_path, words):
    before = contents(tmp_path / "data")
    answer = read_only(*words)
    assert answer.code == 0, answer.err
    assert "read-only, so the audit log does not record this command" in answer.err
    assert contents(tmp_path / "data") == before


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_writing_is_refused_and_changes_nothing(read_only, tmp_path, words):
    before = contents(tmp_path / "data")
    answer = read_only(*words)
    assert answer.code == 4, answer.out
    assert "The data folder is read-only" in answer.err
    assert contents(tmp_path / "data") == before


def test_the_doctor_says_it_and_goes_on(read_only):
    answer = read_only("doctor", "--json")
    assert answer.code == 4
    checks = {check["check"]: check for check in answer.json["checks"]}
    assert [name for name, check in checks.items() if not check["works"]] == ["data folder"]
    assert "read-only" in checks["data folder"]["detail"]
    assert "intact" in checks["database"]["detail"]


def test_a_key_is_not_made_elsewhere_without_an_entry(read_only, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_API_KEYS_FILE", str(tmp_path / "keys.json"))
    assert read_only("keys", "create", "door").code == 4
    assert not (tmp_path / "keys.json").exists()


def test_photos_stay_when_their_records_cannot_go(read_only, tmp_path):
    with open_embedded(Settings(data_dir=tmp_path / "data")).app as app:
        (face, *_) = app.faces().items
        with pytest.raises(StorageReadOnly):
            app.delete_face(face.face_id)
        assert app.image(face.image_path).body


def _copy_of_open_folder(data: Path, copy: Path) -> None:
    """Copy a folder as a process that is killed leaves it, with its last write in SQLite's log only."""
    backend = open_embedded(Settings(data_dir=data))
    with backend.app as app:
        backend.catalog.put(replace(app.find_person("Grace"), name="Grace Hopper"))
        assert (data / "mien.db-wal").stat().st_size
        shutil.copytree(data, copy)


def test_what_a_process_that_was_killed_left_in_the_log_is_read_or_said(known, tmp_path, monkeypatch):
    _copy_of_open_folder(tmp_path / "data", tmp_path / "copy")
    protect(tmp_path / "copy", monkeypatch)
    assert "Grace Hopper" in known("people", "--data-dir", tmp_path / "copy").out
    (tmp_path / "copy" / "mien.db-shm").unlink()
    answer = known("people", "--data-dir", tmp_path / "copy")
    assert answer.code == 4
    assert "mien.db-wal" in answer.err


def test_a_folder_of_an_earlier_version_has_to_be_written_once(known, tmp_path, monkeypatch):
    backend = open_embedded(Settings(data_dir=tmp_path / "data"))
    with backend.app, backend.database.write() as transaction:
        transaction.execute("DROP TABLE Consents")
    protect(tmp_path / "data", monkeypatch)
    answer = known("people")
    assert answer.code == 4
    assert "earlier version" in answer.err


def _as_owner_without_privileges() -> None:
    """Obey the permissions of files, as root as well: takes CAP_DAC_OVERRIDE from what the process starts."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@pytest.fixture
def protected(known: Callable[..., object], tmp_path: Path):
    """The data folder, without the permission to write."""
    data = tmp_path / "data"
    for path in [*data.rglob("*"), data]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield data
    for path in [data, *data.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize(("words", "code"), [(["people"], 0), (["forget", "Ada", "--yes"], 4)], ids=["read", "write"])
def test_permissions_are_enough(protected, words, code):
    done = subprocess.run(
        [*MIEN_ON_FAKE_ENGINE, *words, "--data-dir", str(protected)],
        preexec_fn=_as_owner_without_privileges,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "read-only" in done.stderr) == (code, True), done.stderr
