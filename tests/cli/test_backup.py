"""A data folder is backed up while it is in use, and restored completely or not at all."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pyrage
import pytest

from mien.backends.embedded import archive, backup, restore
from mien.backends.embedded.backend import RESTORING, EmbeddedBackend
from mien.domain.errors import InvalidInput, StorageBusy, StorageDamaged
from mien.domain.policy import Policy
from mien.gallery.store import deep_folders
from tests.support.fake_engine import FakeFaceEngine
from tests.support.nesting import nested
from tests.support.painter import photo_of


@pytest.fixture
def known(mien: Any, people: Path) -> Any:
    """Ada and Grace are enrolled, and there is an API key."""
    assert mien("enroll", people).code == 0
    assert mien("keys", "create", "door").code == 0
    return mien


def open_folder(folder: Path) -> EmbeddedBackend:
    return EmbeddedBackend(folder, "face-collection", Policy(), FakeFaceEngine)


def names(mien: Any, folder: Path) -> list[str]:
    return sorted(person["name"] for person in mien("people", "--json", "--data-dir", folder).json["people"])


def test_a_restored_folder_recognises_lists_and_verifies_as_the_one_that_was_backed_up(known, people, tmp_path):
    made = known("backup", "a.mien", "--json").json
    assert (made["people"], made["faces"], made["photos"]) == (2, 3, 3)
    restored = known("restore", "a.mien", "--data-dir", "new", "--json").json
    assert (restored["people"], restored["faces"], restored["photos"], restored["has_keys"]) == (2, 3, 3, False)
    assert "Ada" in known("recognize", people / "Ada" / "1.jpg", "--data-dir", "new").out
    for face in known("faces", "--json", "--data-dir", "new").json["faces"]:
        photo = Path(face["image_path"])
        old, new = tmp_path / "data" / "bucket" / photo, tmp_path / "new" / "bucket" / photo
        assert new.read_bytes() == old.read_bytes()
        assert new.stat().st_mtime_ns == old.stat().st_mtime_ns
    assert known("doctor", "--data-dir", "new").code == 0
    assert known("repair", "--report", "--data-dir", "new").out == "Nothing to repair.\n"
    assert known("audit", "--verify", "--data-dir", "new").code == 0
    actions = [entry["action"] for entry in known("audit", "--json", "--data-dir", "new").json["entries"]]
    assert "restore" in actions
    assert known("keys", "list", "--json", "--data-dir", "new").json == {"keys": []}


def test_the_file_and_the_restored_folder_are_for_their_owner_only(known, tmp_path):
    known("backup", "a.mien")
    known("restore", "a.mien", "--data-dir", "new")
    paths = [tmp_path / "a.mien", tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert [path for path in paths if path.stat().st_mode & 0o077] == []


def test_keys_are_backed_up_on_wish(known):
    known("backup", "a.mien", "--with-keys")
    assert known("restore", "a.mien", "--data-dir", "new", "--json").json["has_keys"]
    (key,) = known("keys", "list", "--json", "--data-dir", "new").json["keys"]
    assert key["name"] == "door"
    assert "`mien keys list`" in known("restore", "a.mien", "--data-dir", "third").err


@pytest.mark.parametrize("has_keys", [True, False])
def test_a_backup_brings_api_keys_only_if_it_says_so(known, tmp_path, monkeypatch, has_keys):
    head = backup._head
    monkeypatch.setattr(backup, "_head", lambda *about, **_: head(*about, has_keys=has_keys))
    known("backup", "a.mien", *[] if has_keys else ["--with-keys"])
    assert "whether it holds API keys" in known("restore", "a.mien", "--data-dir", "new").err
    assert not (tmp_path / "new").exists()


def test_an_encrypted_backup_needs_its_passphrase_and_tells_nothing_without_it(known, tmp_path):
    (tmp_path / "phrase").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("battery staple\n")
    known("backup", "plain.mien")
    assert known("backup", "a.mien", "--passphrase-file", "phrase", "--json").json["is_encrypted"]
    assert b"SQLite format 3" in (tmp_path / "plain.mien").read_bytes()
    assert b"SQLite format 3" not in (tmp_path / "a.mien").read_bytes()
    wrong = known("restore", "a.mien", "--data-dir", "new", "--passphrase-file", "wrong")
    assert (wrong.code, wrong.err) == (2, "The passphrase is not that of this backup.\n")
    assert not (tmp_path / "new").exists()
    assert known("restore", "a.mien", "--data-dir", "new", "--passphrase-file", "phrase").code == 0
    assert names(known, tmp_path / "new") == ["Ada", "Grace"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [((), (0.0, 0.1, 0.5, 0.9, 0.99)), (("--passphrase-file", "phrase"), (0.5,))],
    ids=["plain", "encrypted"],
)
def test_a_backup_that_is_cut_off_or_altered_restores_nothing(known, tmp_path, options, parts):
    (tmp_path / "phrase").write_text("correct horse")
    known("backup", "a.mien", *options)
    whole = (tmp_path / "a.mien").read_bytes()
    for place in (int(len(whole) * part) for part in parts):
        altered = bytearray(whole)
        altered[place] ^= 1
        check_nothing_is_restored(known, tmp_path, (whole[:place], bytes(altered)), options)


def check_nothing_is_restored(known: Any, tmp_path: Path, files: tuple[bytes, ...], options: tuple[str, ...]) -> None:
    for damaged in files:
        (tmp_path / "b.mien").write_bytes(damaged)
        answer = known("restore", "b.mien", "--data-dir", "new", *options)
        if answer.code == 0:  # a byte of padding, which means nothing
            assert names(known, tmp_path / "new") == ["Ada", "Grace"]
            shutil.rmtree(tmp_path / "new")
        else:
            assert answer.code in {2, 4}
            assert answer.err
            assert not (tmp_path / "new").exists()


def test_a_restore_never_replaces_data_and_a_backup_never_a_file(known, tmp_path):
    known("backup", "a.mien")
    again = known("backup", "a.mien")
    assert (again.code, again.err) == (2, "a.mien exists already; a backup never replaces a file.\n")
    refused = known("restore", "a.mien")
    assert refused.code == 2
    assert "is not empty" in refused.err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.txt").write_text("mine")
    assert known("restore", "a.mien", "--data-dir", "other").code == 2
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["holiday.txt"]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("words", [[], ["--passphrase-file", "passphrase"]])
def test_a_full_disk_is_one_sentence_and_leaves_no_file(known, tmp_path, monkeypatch, words):
    (tmp_path / "passphrase").write_text("open sesame")
    before = set(tmp_path.iterdir())

    def full(self: archive.ArchiveWriter) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archive.ArchiveWriter, "close", full)
    answer = known("backup", "a.mien", *words)
    gc.collect()
    assert (answer.code, answer.err) == (4, "The disk is full.\n")
    assert set(tmp_path.iterdir()) == before


def test_rejected_faces_are_not_counted(known, people, tmp_path):
    known("reject", "Ada", people / "Grace" / "0.jpg")
    made = known("backup", "a.mien", "--json").json
    assert made["faces"] == known("restore", "a.mien", "--data-dir", "new", "--json").json["faces"] == 3


def test_a_backup_does_not_go_into_the_data_folder(known, tmp_path):
    assert "outside of the data folder" in known("backup", tmp_path / "data" / "a.mien").err
    assert known("backup", "a.mien", "--data-dir", "typo").code == 2
    assert not (tmp_path / "typo").exists()


def test_who_was_forgotten_since_is_forgotten_in_the_restored_folder_and_its_receipt_is_kept(known, tmp_path):
    known("backup", "a.mien")
    assert "the last one was made on" in known("forget", "Ada", "--yes").err
    assert "Backups are not searched" in known("verify-erased", "Ada").err
    unnoticed = known("restore", "a.mien", "--data-dir", "plain")
    assert "Whoever was forgotten after" in unnoticed.err
    assert names(known, tmp_path / "plain") == ["Ada", "Grace"]
    answer = known("restore", "a.mien", "--data-dir", "new", "--forgotten-in", "data", "--json").json
    assert answer["forgotten"] == 1
    assert names(known, tmp_path / "new") == ["Grace"]
    assert known("verify-erased", "Ada", "--data-dir", "new").code == 0
    with sqlite3.connect(tmp_path / "data" / "mien.db") as old, sqlite3.connect(tmp_path / "new" / "mien.db") as new:
        ids = "SELECT ErasureId FROM ErasureReceipts"
        assert set(old.execute(ids)) <= set(new.execute(ids))


def test_who_was_forgotten_since_is_forgotten_again_though_the_clock_was_set_back(known, tmp_path):
    known("forget", "Grace", "--yes")
    known("backup", "a.mien")
    known("forget", "Ada", "--yes")
    with sqlite3.connect(tmp_path / "data" / "mien.db") as database:
        early = "2000-01-01T00:00:00.000000Z"
        database.execute(
            "UPDATE ErasureReceipts SET Timestamp = ?, Item = json_set(Item, '$.Timestamp', ?)", (early, early)
        )
    answer = known("restore", "a.mien", "--data-dir", "new", "--forgotten-in", "data", "--json").json
    assert (answer["forgotten"], answer["people"]) == (1, 0)


def test_who_was_enrolled_again_before_the_backup_stays(known, people, tmp_path):
    known("forget", "Ada", "--yes")
    known("enroll", people / "Ada", "--user", "Ada")
    known("backup", "a.mien")
    answer = known("restore", "a.mien", "--data-dir", "new", "--forgotten-in", "data", "--json").json
    assert answer["forgotten"] == 0
    assert names(known, tmp_path / "new") == ["Ada", "Grace"]


def test_an_erasure_that_was_under_way_in_the_backup_and_is_done_now_is_finished_by_the_restore(known, tmp_path):
    with open_folder(tmp_path / "data").app as app:
        app.request_erasure(app.find_person("Ada").user_id)
    known("backup", "a.mien")
    known("repair")
    answer = known("restore", "a.mien", "--data-dir", "new", "--forgotten-in", "data", "--json").json
    assert (answer["forgotten"], names(known, tmp_path / "new")) == (1, ["Grace"])


def test_two_who_were_one_person_are_forgotten_again(known, tmp_path):
    known("merge", "Ada", "Grace")
    known("backup", "a.mien")
    known("forget", "Grace", "--yes")
    answer = known("restore", "a.mien", "--data-dir", "new", "--forgotten-in", "data", "--json").json
    assert (answer["forgotten"], answer["people"], answer["photos"]) == (1, 0, 0)


def test_the_receipts_of_another_installation_are_refused(known, people, tmp_path):
    known("backup", "a.mien")
    known("enroll", people, "--data-dir", "stranger")
    answer = known("restore", "a.mien", "--data-dir", "new", "--forgotten-in", "stranger")
    assert (answer.code, "their secrets differ" in answer.err) == (2, True)
    assert not (tmp_path / "new").exists()


def test_an_erasure_that_was_asked_for_before_the_backup_is_finished_by_the_restore(known, tmp_path):
    with open_folder(tmp_path / "data").app as app:
        app.request_erasure(app.find_person("Ada").user_id)
    known("backup", "a.mien")
    assert known("restore", "a.mien", "--data-dir", "new", "--json").json["forgotten"] == 1
    assert names(known, tmp_path / "new") == ["Grace"]


def test_a_backup_begins_anew_when_somebody_is_forgotten_meanwhile(known, tmp_path, monkeypatch):
    fill = backup._fill
    with open_folder(tmp_path / "data").app as app:

        def fill_and_forget(*arguments: Any) -> int:
            photos = fill(*arguments)
            if left := app.people().items:
                app.forget(left[0].user_id)
            return photos

        monkeypatch.setattr(backup, "_fill", fill_and_forget)
        made = known("backup", "a.mien", "--json").json
    assert (made["people"], made["faces"], made["photos"]) == (0, 0, 0)
    assert known("restore", "a.mien", "--data-dir", "new", "--json").json["people"] == 0


def test_a_backup_that_people_never_stop_being_forgotten_in_fails(known, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "_ERASURES", ("SELECT hex(randomblob(8))",))
    backend = open_folder(tmp_path / "data")
    with backend.app, pytest.raises(StorageBusy):
        backup.back_up(backend, tmp_path / "a.mien")
    assert not list(tmp_path.glob("*a.mien*"))
    assert not (tmp_path / "data" / "backup").exists()


def test_what_is_stored_and_removed_while_the_backup_is_written_leaves_it_whole(known, tmp_path, monkeypatch):
    photos_of = backup._photos_of
    with open_folder(tmp_path / "data").app as app:

        def with_changes(*arguments: Any) -> list[str]:
            keys = list(photos_of(*arguments))
            app.enroll(photo_of("Hedy"), name="Hedy")
            app.delete_face(app.faces(user_id=app.find_person("Grace").user_id).items[0].face_id)
            return keys

        monkeypatch.setattr(backup, "_photos_of", with_changes)
        assert known("backup", "a.mien").code == 0
    assert known("restore", "a.mien", "--data-dir", "new").code == 0
    assert "Hedy" not in names(known, tmp_path / "new")
    report = known("repair", "--yes", "--json", "--data-dir", "new").json
    assert report["photos_deleted_by_hand"] == 1
    assert known("people", "--json", "--data-dir", "new").json["people"][0]["name"] == "Ada"


def test_an_interrupted_restore_is_refused_by_all_commands_and_begun_anew(known, tmp_path, monkeypatch):
    known("backup", "a.mien")
    (tmp_path / "new").mkdir()
    rename = Path.rename

    def die(path: Path, target: Path) -> Path:
        if path.parent.name == RESTORING and path.name == "mien.db":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", die)
        patched.setattr(restore, "_clear", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            restore.restore(tmp_path / "a.mien", tmp_path / "new", open_folder, passphrase=str)
    assert (tmp_path / "new" / "bucket").is_dir()
    assert known("people", "--data-dir", "new").err == (
        "A restore into this data folder was interrupted. Repeat `mien restore FILE`, which begins anew.\n"
    )
    assert known("restore", "a.mien", "--data-dir", "new").code == 0
    assert names(known, tmp_path / "new") == ["Ada", "Grace"]


def test_a_folder_that_a_disk_is_mounted_on_is_restored_into(known, tmp_path):
    known("backup", "a.mien")
    (tmp_path / "new" / "lost+found").mkdir(parents=True)
    assert known("restore", "a.mien", "--data-dir", "new").code == 0
    assert names(known, tmp_path / "new") == ["Ada", "Grace"]


def test_an_archive_of_a_newer_version_or_with_foreign_files_is_refused(tmp_path):
    for name, head, error in (("new", {"format": 99, "version": "9"}, InvalidInput), ("odd", {}, StorageDamaged)):
        with (tmp_path / name).open("wb") as file:
            writer = archive.ArchiveWriter(file, head)
            writer.add_bytes("../../etc/passwd", b"root")
            writer.close()
        with pytest.raises(error):
            restore.restore(tmp_path / name, tmp_path / "data", open_folder, passphrase=str)
        assert not (tmp_path / "data").exists()
    assert not (tmp_path.parent / "etc").exists()


HEAD = {"version": "1", "created_at": "2026-03-01T12:00:00+00:00", "mark": "a1", "has_keys": False}


@pytest.mark.parametrize(
    ("head", "files"),
    [
        (HEAD, [("photos/uploaded/../../../x.jpg", 0)]),
        (HEAD, [("photos/x.jpg", 0)]),
        (HEAD, [("secret", 0), ("secret", 0)]),
        (HEAD, [("photos/uploaded/_/x.jpg", 0), ("photos/uploaded/_/x.jpg/y.jpg", 0)]),
        (HEAD, [("photos/uploaded/_/x.jpg", 10**30)]),
        (HEAD, [("photos/uploaded/_/x.jpg", -1)]),
        (HEAD | {"format": "1"}, []),
        (HEAD | {"created_at": "yesterday"}, []),
        (HEAD | {"created_at": None}, []),
        (HEAD | {"mark": "ü"}, []),
        (HEAD | {"mark": 1}, []),
        ({"version": "1"}, []),
    ],
)
def test_an_archive_that_mien_does_not_write_is_refused_in_a_sentence(tmp_path, head, files):
    with (tmp_path / "odd").open("wb") as file:
        writer = archive.ArchiveWriter(file, head)
        for name, changed_ns in files:
            writer.add_bytes(name, b"x", changed_ns)
        writer.close()
    with pytest.raises(StorageDamaged):
        restore.restore(tmp_path / "odd", tmp_path / "data", open_folder, passphrase=str)
    assert not (tmp_path / "data").exists()


def test_an_encrypted_backup_whose_key_is_cut_off_does_not_blame_the_passphrase(known, tmp_path):
    (tmp_path / "phrase").write_text("correct horse\n")
    known("backup", "a.mien", "--passphrase-file", "phrase")
    for size in (18, 19, 60):
        (tmp_path / "cut.mien").write_bytes((tmp_path / "a.mien").read_bytes()[:size])
        answer = known("restore", "cut.mien", "--data-dir", "new", "--passphrase-file", "phrase")
        assert (answer.code, "cut off" in answer.err) == (4, True)


def test_an_enrolled_photo_that_is_too_large_by_now_is_not_left_out(known, people, tmp_path, monkeypatch):
    """As with a setting that the server has, and the command not: a folder restored without it would lose the face."""
    largest = max(photo.stat().st_size for photo in people.rglob("*.jpg"))
    monkeypatch.setattr("mien.backends.embedded.bucket.USUAL_BYTES", 1)
    monkeypatch.setenv("MIEN_MAX_IMAGE_BYTES", str(largest - 1))
    refused = known("backup", "a.mien")
    assert (refused.code, f"Set MIEN_MAX_IMAGE_BYTES as for the server, to {largest}" in refused.err) == (2, True)
    assert not (tmp_path / "a.mien").exists()
    monkeypatch.setenv("MIEN_MAX_IMAGE_BYTES", str(largest))
    assert known("backup", "a.mien").code == 0


@pytest.mark.parametrize(("busy", "code"), [(4, 0), (5, 5)])
def test_a_passphrase_that_a_busy_computer_does_not_try_is_not_called_wrong(known, tmp_path, monkeypatch, busy, code):
    (tmp_path / "phrase").write_text("correct horse\n")
    known("backup", "a.mien", "--passphrase-file", "phrase")
    decrypt, tried = pyrage.passphrase.decrypt, []

    def decrypt_when_idle(*values):
        tried.append(values)
        if len(tried) <= busy:
            raise pyrage.DecryptError("Excessive work parameter for passphrase.\nDecryption would take a while.")
        return decrypt(*values)

    monkeypatch.setattr(pyrage.passphrase, "decrypt", decrypt_when_idle)
    answer = known("restore", "a.mien", "--data-dir", "new", "--passphrase-file", "phrase")
    assert (answer.code, "too busy" in answer.err) == (code, code != 0)


def test_reset_deletes_what_mien_keeps_and_nothing_else(known, tmp_path):
    (tmp_path / "data" / "note.txt").write_text("mine")
    assert known("reset", answer="n\n").code == 1
    assert known("people", "--json").json["people"]
    assert known("reset", "--yes").code == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["note.txt"]
    again = known("reset", "--yes")
    assert (again.code, "There is nothing to delete" in again.err) == (1, True)


def test_reset_deletes_folders_nested_too_deep_to_be_reached(known, tmp_path):
    with nested(tmp_path / "data" / "bucket" / "uploaded" / "deep"):
        assert known("reset", "--yes").code == 0
        assert list((tmp_path / "data").iterdir()) == []


def test_reset_is_refused_while_a_server_is_running(known, tmp_path):
    backend = open_folder(tmp_path / "data")
    with backend.app:
        worker = backend.worker(threads=1)
        worker.start()
        try:
            refused = known("reset", "--yes")
        finally:
            worker.stop()
    assert (refused.code, refused.err) == (5, "A server is running on this data folder; stop it first.\n")
    assert names(known, tmp_path / "data") == ["Ada", "Grace"]


@pytest.mark.parametrize("part", ["bucket", "mien.db"])
def test_reset_does_not_say_that_it_deleted_what_a_link_leads_to(known, tmp_path, part):
    (tmp_path / "data" / part).rename(tmp_path / "elsewhere")
    (tmp_path / "data" / part).symlink_to(tmp_path / "elsewhere")
    answer = known("reset", "--yes")
    assert (answer.code, "elsewhere" in answer.err, "Nothing is deleted yet" in answer.err) == (2, True, True)
    assert (tmp_path / "data" / "mien.db").exists()
    assert names(known, tmp_path / "data") == ["Ada", "Grace"]


@pytest.mark.parametrize("folder", ["data", "new"])
def test_reset_is_refused_while_another_command_is_at_work(known, people, tmp_path, monkeypatch, folder):
    refused = []

    def interfere(*_: object) -> None:
        answer = known("reset", "--yes", "--data-dir", folder)
        refused.append((answer.code, answer.err))

    monkeypatch.setattr("mien.cli.enroll.expire", interfere)
    assert known("enroll", people, "--data-dir", folder).code == 0
    assert refused == [(5, "Another command is at work in this data folder; wait for its end.\n")]
    assert names(known, tmp_path / folder) == ["Ada", "Grace"]
    assert known("reset", "--yes", "--data-dir", folder).code == 0


def test_a_command_is_refused_while_the_folder_is_being_reset(known, tmp_path, monkeypatch):
    refused = []

    def interfere(path: Path) -> None:
        refused.append(known("people").err)
        shutil.rmtree(path)

    with monkeypatch.context() as patched:
        patched.setattr(deep_folders, "remove", interfere)
        assert known("reset", "--yes").code == 0
    assert set(refused) == {"The data folder is being reset or restored; try again.\n"}


def test_a_command_that_stores_nothing_leaves_no_folder(mien, tmp_path):
    assert mien("recognize", "nothing.jpg").code == 2
    assert not (tmp_path / "data").exists()


def test_a_backup_of_a_disk_that_is_not_mounted_is_refused(known, tmp_path):
    shutil.rmtree(tmp_path / "data" / "bucket")
    assert "is the disk mounted?" in known("backup", "a.mien").err
    assert not (tmp_path / "a.mien").exists()


def test_reset_leaves_a_folder_alone_that_is_not_of_mien(mien, tmp_path):
    for name in ("backup", "index", "secret"):
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home" / "backup" / "thesis.txt").write_text("mine")
    answer = mien("reset", "--yes", "--data-dir", tmp_path / "home")
    assert (answer.code, "no data folder of Mien" in answer.err) == (1, True)
    assert (tmp_path / "home" / "backup" / "thesis.txt").exists()


def test_a_reset_that_was_interrupted_is_finished_by_the_next(known, tmp_path, monkeypatch):
    def die(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deep_folders, "remove", die)
        known("reset", "--yes")
    assert (tmp_path / "data" / "bucket").exists()
    assert known("reset", "--yes").code == 0
    assert list((tmp_path / "data").iterdir()) == []


def test_a_restore_clears_no_folder_that_holds_what_is_not_of_mien(known, tmp_path):
    known("backup", "a.mien")
    for name in (RESTORING, "backup", "plans"):
        (tmp_path / "church" / name).mkdir(parents=True)
    (tmp_path / "church" / "backup" / "thesis.txt").write_text("mine")
    assert "is not empty" in known("restore", "a.mien", "--data-dir", "church").err
    assert (tmp_path / "church" / "backup" / "thesis.txt").exists()


def test_a_second_restore_into_one_folder_leaves_the_first_alone(known, tmp_path):
    known("backup", "a.mien")

    def restore_again(_: EmbeddedBackend) -> None:
        with pytest.raises(StorageBusy, match="under way"):
            restore.restore(tmp_path / "a.mien", tmp_path / "new", open_folder, passphrase=str)

    restore.restore(tmp_path / "a.mien", tmp_path / "new", open_folder, passphrase=str, record=restore_again)
    assert names(known, tmp_path / "new") == ["Ada", "Grace"]
