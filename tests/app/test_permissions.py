"""What is in a data folder is for its owner's eyes only."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mien.backends.embedded.backend import CONTENT
from mien.config import open_embedded
from mien.gallery.store import private_files
from mien.security.api_keys import KeyFile, Scope
from mien.settings import Settings
from tests.support.fake_engine import use_fake_engine
from tests.support.painter import photo_of


def modes(folder: Path) -> set[str]:
    entries = [folder, *folder.rglob("*")]
    return {f"{stat.S_IFMT(path.lstat().st_mode) == stat.S_IFDIR} {path.stat().st_mode & 0o777:o}" for path in entries}


PRIVATE = {"True 700", "False 600"}


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    use_fake_engine(monkeypatch)
    return Settings(data_dir=tmp_path / "parent" / "data")


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def use(settings: Settings) -> None:
    backend = open_embedded(settings)
    with backend.app as app:
        app.enroll(photo_of("Ada"), "Ada")
        app.recognize(photo_of("Ada", photo=1))
        KeyFile(settings.default_keys_file).create("door", list(Scope))
        assert modes(settings.data_dir) == PRIVATE


def test_what_is_made_is_for_its_owner_only(settings):
    use(settings)
    assert settings.data_dir.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_today_is_closed_when_it_is_opened(settings):
    use(settings)
    for path in [settings.data_dir, *settings.data_dir.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    open_embedded(settings).app.close()
    assert modes(settings.data_dir) == PRIVATE


def test_keys_that_come_first_make_a_closed_folder(settings):
    KeyFile(settings.default_keys_file).create("door", list(Scope))
    assert modes(settings.data_dir) == PRIVATE


def test_photos_that_are_copied_by_hand_are_closed_when_the_worker_starts(settings):
    backend = open_embedded(settings)
    with backend.app:
        folder = settings.data_dir / "bucket" / "uploaded" / "Grace"
        folder.mkdir(0o755)
        (folder / "1.jpg").write_bytes(photo_of("Grace"))
        backend.worker(threads=1)
        assert modes(settings.data_dir / "bucket") == PRIVATE


def test_what_is_not_miens_own_is_left_alone(settings, tmp_path):
    use(settings)
    elsewhere = tmp_path / "elsewhere.jpg"
    elsewhere.write_bytes(b"")
    letter = settings.data_dir / "letter.txt"
    letter.write_bytes(b"")
    link = settings.data_dir / "bucket" / "uploaded" / "link.jpg"
    link.symlink_to(elsewhere)
    (settings.data_dir / "bucket" / "uploaded" / "dangling").symlink_to("/nowhere")
    settings.data_dir.chmod(0o755)
    open_embedded(settings).app.close()
    assert letter.stat().st_mode & 0o777 == 0o644
    assert elsewhere.stat().st_mode & 0o777 == 0o644
    assert settings.data_dir.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_closed_still_opens(settings, monkeypatch):
    use(settings)
    settings.data_dir.chmod(0o755)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    with open_embedded(settings).app as app:
        assert [person.user_id for person in app.people().items] == ["Ada"]
    assert private_files.has_open_permissions(settings.data_dir)


def test_the_log_beside_the_database_is_closed_while_it_is_open(settings):
    backend = open_embedded(settings)
    with backend.app as app:
        app.enroll(photo_of("Ada"), "Ada")
        beside = list(settings.data_dir.glob("mien.db*"))
        assert len(beside) > 1
        assert {path.stat().st_mode & 0o777 for path in beside} == {0o600}


def test_closing_a_folder_keeps_the_locks_of_its_database(settings):
    """Files that SQLite holds are never opened beside it, or its locks would be lost."""
    use(settings)
    program = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], timeout=0)\n"
        "try:\n    db.execute('BEGIN IMMEDIATE')\nexcept sqlite3.OperationalError:\n    print('locked')\n"
    )
    backend = open_embedded(settings)
    with backend.app, backend.database.write():
        private_files.restrict(settings.data_dir, CONTENT)
        private_files.restrict_tree(settings.data_dir / "mien.db")
        command = [sys.executable, "-c", program, str(settings.data_dir / "mien.db")]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "locked\n"
