"""Files of keys: whole or as before, locked, out of others' reach, and never out of date."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mien.config import open_embedded
from mien.domain.errors import InvalidInput, NotAuthenticated, SetupError
from mien.security import secret_files
from mien.security.api_keys import KeyFile, Scope, key_id_of
from mien.security.signing import Signer
from mien.settings import Settings


def test_a_write_that_fails_leaves_the_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    secret_files.write(path, b"first")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        secret_files.write(path, b"second")
    with pytest.raises(OSError, match="No space"):
        secret_files.create(tmp_path / "other", b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("keys", b"first")]
    assert path.stat().st_mode & 0o077 == 0


def test_the_first_of_several_creators_wins(tmp_path: Path) -> None:
    secrets = [bytes([number]) * 32 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda secret: secret_files.create(tmp_path / "secret", secret), secrets))
    won = (tmp_path / "secret").read_bytes()
    assert won in secrets
    secret_files.create(tmp_path / "secret", b"late")
    assert (tmp_path / "secret").read_bytes() == won
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_there_are_no_hard_links_the_first_creator_wins_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for secret in (b"first", b"late"):
        secret_files.create(tmp_path / "secret", secret)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"first"]


def test_a_watched_file_is_read_again_after_every_change(tmp_path: Path) -> None:
    path = tmp_path / "value"
    value = secret_files.WatchedFile(path, Path.read_text, "none")
    assert value() == "none"
    for text in ("one", "two", "six"):  # of the same length, and within one tick of the file system's clock
        path.write_text(text)
        os.utime(path, ns=(1, 1))
        assert value() == text
    path.unlink()
    assert value() == "none"


def test_what_cannot_be_read_is_refused_until_it_can(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    key = keys.create("door", [Scope.UPLOAD])
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    for _ in range(2):
        with pytest.raises(SetupError):
            keys.check(key)
    for content in (b"", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(SetupError):
            keys.check(key)
    path.write_bytes(whole)
    assert keys.check(key).name == "door"


def test_keys_that_everybody_may_change_are_refused_and_reading_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    key = keys.create("door", [Scope.UPLOAD])
    path.chmod(0o644)
    assert keys.check(key).name == "door"
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o666)
    with pytest.raises(SetupError, match="chmod 600"):
        keys.check(key)


def test_creating_and_revoking_at_once_loses_and_revives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    doomed = [KeyFile(path).create(f"doomed {number}", [Scope.UPLOAD]) for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        revoking = [pool.submit(KeyFile(path).revoke, key_id_of(key)) for key in doomed]
        created = list(pool.map(lambda number: KeyFile(path).create(f"new {number}", [Scope.MANAGE]), range(12)))
        for work in revoking:
            work.result()
    keys = KeyFile(path)
    assert sorted(keys.check(key).name for key in created) == sorted(f"new {number}" for number in range(12))
    for key in doomed:
        with pytest.raises(NotAuthenticated):
            keys.check(key)
    with pytest.raises(InvalidInput):
        keys.revoke(key_id_of(doomed[0]))


@pytest.mark.parametrize("left", [b"", b"x", b"x" * 31])
def test_a_folders_secret_that_is_not_whole_is_refused(tmp_path: Path, left: bytes) -> None:
    settings = Settings(data_dir=tmp_path)
    open_embedded(settings).close()
    secret = tmp_path / "secret"
    whole = secret.read_bytes()
    assert (len(whole), secret.stat().st_mode & 0o077) == (32, 0)
    secret.write_bytes(left)
    with pytest.raises(SetupError, match="Restore it"):
        open_embedded(settings)
    assert secret.read_bytes() == left
    secret.write_bytes(whole)
    open_embedded(settings).close()
    with pytest.raises(SetupError, match="16 bytes"):
        Signer(b"")


ENTRY = '{"name": "door", "scopes": ["manage"], "sha256": "%s"}'


@pytest.mark.parametrize(
    "content",
    [
        f'{{"00000000": {ENTRY % ("0" * 64)}, "00000000": {ENTRY % ("1" * 64)}}}',
        f'{{"00000000": {ENTRY % ("é" * 64)}}}',
        '{"00000000": {"name": "door", "scopes": [], "sha256": 5}}',
        '{"00000000": {"name": ["door"], "scopes": [], "sha256": "%s"}}' % ("0" * 64),
        "\ufeff{}",
    ],
    ids=["a key twice", "letters", "number", "name", "byte order mark"],
)
def test_a_file_of_keys_that_was_edited_wrongly_has_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys").write_text(content, "utf-8")
    keys = KeyFile(tmp_path / "keys")
    for use in (keys.list, lambda: keys.check(f"mien_00000000_{'A' * 43}"), lambda: keys.create("new", [])):
        with pytest.raises(SetupError):
            use()
    assert (tmp_path / "keys").read_text("utf-8") == content
