"""Prepared models are kept between runs, and none that others could have changed is used."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from mien.kernels.file_cache import FileCache, open_cache, open_user_cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models"


@pytest.fixture
def opened(folder: Path) -> FileCache:
    cache = open_cache(folder)
    assert cache is not None
    return cache


def good() -> bytes:
    return b"content"


def never() -> bytes:
    raise AssertionError


def test_what_was_made_once_is_kept_for_other_processes(opened: FileCache, folder: Path) -> None:
    assert opened.get_or_make("key", good) == b"content"
    again = open_cache(folder)
    assert again is not None
    assert again.get_or_make("key", never) == b"content"


def test_folder_and_files_are_for_their_owner_only(opened: FileCache, folder: Path) -> None:
    opened.get_or_make("key", good)
    assert (folder.stat().st_mode & 0o777, (folder / "key").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_folder_of_before_that_others_may_read_is_closed(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    assert open_cache(folder) is not None
    assert folder.stat().st_mode & 0o777 == 0o700


def _changed(path: Path) -> None:
    kept = bytearray(path.read_bytes())
    kept[-1] ^= 1
    path.write_bytes(kept)


def _of_another_key(path: Path) -> None:
    FileCache(path.parent).get_or_make("other", lambda: b"planted")
    (path.parent / "other").replace(path)


def _link(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "harm",
    [
        _changed,
        _of_another_key,
        _link,
        _pipe,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"content"),  # as versions without a digest kept it
        lambda path: path.chmod(0o666),
    ],
)
def test_a_file_that_cannot_be_trusted_is_made_anew_and_logged(
    opened: FileCache, folder: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    opened.get_or_make("key", good)
    harm(folder / "key")
    assert opened.get_or_make("key", lambda: b"made anew") == b"made anew"
    assert caplog.text.count("made anew") == 1
    assert opened.get_or_make("key", never) == b"made anew"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    assert open_cache(folder) is None
    assert "other users may write to it" in caplog.text
    assert folder.stat().st_mode & 0o777 == mode


def test_a_folder_that_others_could_replace_is_not_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir(parents=True)
    folder.parent.chmod(0o777)
    assert open_cache(folder) is None
    assert "a folder that it is in" in caplog.text
    folder.parent.chmod(0o1777)  # where nobody can replace what is another's, as in /tmp
    assert open_cache(folder) is not None


def test_a_link_to_a_folder_is_not_used(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.parent.mkdir()
    folder.symlink_to(tmp_path)
    assert open_cache(folder) is None
    assert "a link" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_belongs_to_another_user_is_not_used(
    opened: FileCache, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened.get_or_make("key", good)
    os.chown(folder / "key", 12345, -1)
    assert opened.get_or_make("key", lambda: b"made anew") == b"made anew"
    os.chown(folder, 12345, -1)
    assert open_cache(folder) is None
    assert "it belongs to another user" in caplog.text


def test_a_full_disk_is_done_without_and_nothing_half_written_stays(opened: FileCache, folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        assert opened.get_or_make("key", lambda: bytes(10_000)) == bytes(10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []


def test_what_killed_processes_left_is_removed_but_not_what_others_are_writing(opened: FileCache, folder: Path) -> None:
    abandoned, current = folder / "old.part", folder / "new.part"
    for part in (abandoned, current):
        part.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    opened.get_or_make("key", good)
    assert {path.name for path in folder.iterdir()} == {"key", "new.part"}


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert open_cache(tmp_path / "file" / "models") is None
    assert caplog.text == ""


def test_a_folder_in_place_of_a_file_is_done_without(
    opened: FileCache, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "key").mkdir()
    assert opened.get_or_make("key", good) == b"content"
    assert "cannot be read" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["key"]


def test_a_user_without_a_home_folder_is_served_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)  # as for a number that a container was told to run as
    assert open_user_cache("models") is None


def test_a_read_only_folder_is_read(opened: FileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.get_or_make("key", good)

    def refuse(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("tempfile.mkstemp", refuse)  # root writes whatever the mode says
    assert opened.get_or_make("key", never) == b"content"
    assert opened.get_or_make("another", good) == b"content"
