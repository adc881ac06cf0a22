"""Photos are sorted by person from the command line, without losing any, and back."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from hashlib import sha256
from pathlib import Path

import pytest

from mien.cli import placing, whole_files
from mien.cli.journal import JOURNAL
from mien.cli.placing import Folder, Placing, Undone, opened
from mien.cli.sidecars import Region, sidecar
from mien.cli.sort import _folder_names, folder_name
from mien.domain.errors import InvalidInput, StorageBusy, StorageError, StorageFull
from mien.domain.faces import Box
from tests.support.painter import photo_of


@pytest.fixture(autouse=True)
def key_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def photos(folder: Path) -> set[str]:
    return {name for name in files(folder) if name.endswith((".jpg", ".xmp"))}


def test_the_plan_of_sorting_changes_nothing(mien, named, tmp_path):
    answer = mien("sort", named, "--into", tmp_path / "out", "--json")
    assert (answer.code, answer.json["done"]) == (0, False)
    assert set(answer.json["folders"]) >= {"Ada", "No faces"}
    assert not (tmp_path / "out").exists()


def test_photos_are_sorted_by_person_and_back(mien, named, tmp_path):
    before, out = files(named), tmp_path / "out"
    assert mien("sort", named, "--into", out, "--yes").code == 0
    sorted_photos = photos(out)
    assert {"Ada/a.jpg", "Ada/b.jpg", "Ada/both.jpg", "No faces/hills.jpg"} <= sorted_photos
    assert any(name.startswith("Unknown/g-") and name.endswith("both.jpg") for name in sorted_photos)
    assert files(named) == before
    assert mien("sort", named, "--into", out, "--yes").code == 0
    assert photos(out) == sorted_photos
    assert mien("sort", "--undo", out).code == 0
    assert not out.exists()


def test_moved_photos_are_put_back(mien, named, tmp_path):
    before, out = files(named), tmp_path / "out"
    assert mien("sort", named, "--into", out, "--move", "--yes").code == 0
    assert photos(named) == set()
    assert mien("sort", "--undo", out, "--json").json["restored"] == 5
    assert files(named) == before
    assert files(out) == {}


def test_links_share_the_photo(mien, named, tmp_path):
    mien("sort", named, "--into", tmp_path / "out", "--link", "--yes")
    assert (tmp_path / "out" / "Ada" / "a.jpg").samefile(named / "a.jpg")
    assert mien("sort", "--undo", tmp_path / "out").code == 0
    assert (named / "a.jpg").is_file()


def test_sidecars_name_the_faces(mien, named, tmp_path):
    mien("sort", named, "--into", tmp_path / "out", "--sidecar", "--yes")
    xmp = ET.fromstring((tmp_path / "out" / "Ada" / "a.jpg.xmp").read_bytes())
    regions = "{http://www.metadataworkinggroup.com/schemas/regions/}"
    assert [each.get(f"{regions}Name") for each in xmp.iter() if each.get(f"{regions}Name")] == ["Ada"]


@pytest.mark.parametrize(("orientation", "place"), [(1, (0.2, 0.3)), (3, (0.8, 0.7)), (6, (0.3, 0.8)), (8, (0.7, 0.2))])
def test_a_sidecar_follows_the_orientation(orientation, place):
    xmp = sidecar([Region('<Ada & "co">', Box(0.1, 0.2, 0.2, 0.2))], 400, 300, orientation).decode()
    assert f'stArea:x="{place[0]:.6f}" stArea:y="{place[1]:.6f}"' in xmp.replace("\n", " ")
    ET.fromstring(xmp)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a/b:c", "a_b_c"),
        ("CON", "CON_"),
        ("..", "_"),
        ("Ann. ", "Ann"),
        ("李伟", "李伟"),
        ("a\u202eb", "a_b"),
        ("é" * 150, "é" * 100),
    ],
)
def test_folders_have_names_that_every_system_allows(name, folder):
    assert folder_name(name) == folder


def test_people_whose_folders_would_be_the_same_have_two(mien, tmp_path):
    for name, person in (("A/B", "Ada"), ("A:B", "Grace")):
        (tmp_path / f"{person}.jpg").write_bytes(photo_of(person))
        mien("enroll", tmp_path / f"{person}.jpg", "--user", name)
    answer = mien("sort", tmp_path / "Ada.jpg", tmp_path / "Grace.jpg", "--into", tmp_path / "out", "--json")
    assert len(answer.json["folders"]) == 2


def test_another_photo_of_the_same_name_is_not_overwritten(tmp_path):
    (tmp_path / "x").mkdir()
    for folder, content in (("x", b"one"), (".", b"two")):
        (tmp_path / folder / "p.jpg").write_bytes(content)
    out = Folder(tmp_path / "out")
    out.place(tmp_path / "x" / "p.jpg", ["Ada"], Placing.COPY)
    out.place(tmp_path / "p.jpg", ["Ada"], Placing.COPY)
    assert {(tmp_path / "out" / "Ada" / name).read_bytes() for name in ("p.jpg", "p (2).jpg")} == {b"one", b"two"}


@pytest.mark.parametrize("way", list(Placing))
def test_a_full_disk_loses_nothing_and_the_command_can_be_repeated(tmp_path, monkeypatch, way):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(whole_files.shutil, "copyfile", fail)
        full.setattr(os, "link", fail)
        with pytest.raises(StorageFull):
            Folder(out).place(source, ["Ada", "Grace"], way)
    assert source.read_bytes() == b"photo"
    Folder(out).place(source, ["Ada", "Grace"], way)
    assert [(out / name / "p.jpg").read_bytes() for name in ("Ada", "Grace")] == [b"photo"] * 2
    assert Folder(out).undo().kept == ()
    assert source.read_bytes() == b"photo"
    assert files(out) == {}


def test_a_sidecar_for_which_there_is_no_space_leaves_no_draft(tmp_path, monkeypatch):
    out = tmp_path / "out"
    (tmp_path / "p.jpg").write_bytes(b"photo")
    Folder(out).place(tmp_path / "p.jpg", ["Ada"], Placing.COPY)

    def fail(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(whole_files, "sync", fail)
    with pytest.raises(StorageFull):
        Folder(out).write(out / "Ada" / "p.jpg.xmp", b"<xmp/>")
    assert photos(out) == {"Ada/p.jpg"}
    assert not list(out.glob(f"**/{whole_files.DRAFT}*"))


def test_undoing_keeps_what_was_changed_and_the_only_copy(tmp_path):
    out = tmp_path / "out"
    for name in ("changed.jpg", "gone.jpg"):
        (tmp_path / name).write_bytes(name.encode())
        Folder(out).place(tmp_path / name, ["Ada"], Placing.COPY)
    (out / "Ada" / "changed.jpg").write_bytes(b"edited")
    (tmp_path / "gone.jpg").unlink()
    undone = Folder(out).undo()
    assert sorted(undone.kept) == ["Ada/changed.jpg", "Ada/gone.jpg"]
    assert (out / JOURNAL).exists()
    assert (out / "Ada" / "gone.jpg").read_bytes() == b"gone.jpg"


def test_a_moved_photo_does_not_take_the_place_of_another(tmp_path):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    Folder(out).place(source, ["Ada"], Placing.MOVE)
    source.write_bytes(b"another")
    assert Folder(out).undo().kept == ("Ada/p.jpg",)
    assert (source.read_bytes(), (out / "Ada" / "p.jpg").read_bytes()) == (b"another", b"photo")


def test_a_journal_that_was_cut_off_is_continued_and_undone(tmp_path):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    Folder(out).place(source, ["Ada"], Placing.MOVE)
    with (out / JOURNAL).open("a") as journal:
        journal.write('{"made": "Grace/p.j')
    (tmp_path / "q.jpg").write_bytes(b"another")
    Folder(out).place(tmp_path / "q.jpg", ["Grace"], Placing.MOVE)
    assert Folder(out).undo() == Undone(2, 2, ())
    assert (source.read_bytes(), (tmp_path / "q.jpg").read_bytes()) == (b"photo", b"another")


@pytest.mark.parametrize("line", ['{"made": "%s", "source": null, "digest": "%s"}', "[1]", '{"file": 1}', "[" * 60_000])
def test_a_journal_of_somebody_else_changes_nothing(tmp_path, line):
    outside, out = tmp_path / "mine.txt", tmp_path / "out"
    outside.write_bytes(b"mine")
    out.mkdir()
    (out / JOURNAL).write_text(line.replace("%s", "../mine.txt", 1).replace("%s", sha256(b"mine").hexdigest()))
    with pytest.raises(InvalidInput):
        Folder(out).undo()
    assert outside.exists()


def test_a_file_that_is_larger_than_any_photo_is_not_read(tmp_path, monkeypatch):
    out = tmp_path / "out"
    (out / "Ada").mkdir(parents=True)
    with (out / "Ada" / "p.jpg").open("wb") as hole:
        hole.truncate(whole_files.MAX_BYTES + 1)
    (out / JOURNAL).write_text(json.dumps({"made": "Ada/p.jpg", "source": None, "digest": "0" * 64}) + "\n")
    monkeypatch.setattr(whole_files, "digest_of", lambda path: pytest.fail(f"{path} was read"))
    assert Folder(out).undo().kept == ("Ada/p.jpg",)


def test_undoing_leaves_empty_folders_that_others_made(tmp_path):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    (out / "mine").mkdir(parents=True)
    Folder(out).place(source, ["Unknown/g-1"], Placing.COPY)
    Folder(out).undo()
    assert [each.name for each in out.iterdir()] == ["mine"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENODEV, errno.ENOENT])
@pytest.mark.parametrize("way", list(Placing))
def test_a_disk_that_is_pulled_out_loses_nothing_and_says_so(tmp_path, monkeypatch, way, number):
    source, other, out = tmp_path / "p.jpg", tmp_path / "q.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    other.write_bytes(b"other")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    folder = Folder(out)
    folder.place(other, ["Ada"], way)
    with monkeypatch.context() as pulled:
        pulled.setattr(whole_files.shutil, "copyfile", fail)
        pulled.setattr(os, "link", fail)
        with pytest.raises(StorageError, match=str(out)):
            folder.place(source, ["Ada", "Grace"], way)
    assert source.read_bytes() == b"photo"
    assert Folder(out).undo().kept == ()
    assert (source.read_bytes(), other.read_bytes()) == (b"photo", b"other")


def test_a_folder_that_vanishes_is_not_made_again_on_another_disk(tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"photo")
    folder = Folder(tmp_path / "disk")
    folder.place(tmp_path / "p.jpg", ["Ada"], Placing.COPY)
    shutil.rmtree(tmp_path / "disk")
    with pytest.raises(StorageError, match="pulled out"):
        folder.place(tmp_path / "p.jpg", ["Grace"], Placing.MOVE)
    assert not (tmp_path / "disk").exists()
    assert (tmp_path / "p.jpg").exists()


def test_a_command_that_ends_early_says_how_far_it_came(mien, named, tmp_path, monkeypatch):
    copy, copied = shutil.copyfile, []

    def fill(source: Path, target: Path) -> None:
        if len(copied) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        copied.append(copy(source, target))

    monkeypatch.setattr(whole_files.shutil, "copyfile", fill)
    answer = mien("sort", named, "--into", tmp_path / "out", "--yes")
    assert answer.code == 4
    assert "2 photos copied into 1 folder" in " ".join(answer.out.split())
    assert "3 photos not reached" in " ".join(answer.out.split())
    assert "no space left" in answer.err
    assert "--undo" in answer.out
    monkeypatch.setattr(whole_files.shutil, "copyfile", copy)
    assert mien("sort", "--undo", tmp_path / "out", "--json").json["kept"] == []
    assert files(tmp_path / "out") == {}


def test_a_journal_that_somebody_edited_puts_no_photo_elsewhere(tmp_path, mien):
    source, out, elsewhere = tmp_path / "p.jpg", tmp_path / "out", tmp_path / "home" / "startup"
    source.write_bytes(b"photo")
    Folder(out).place(source, ["Ada"], Placing.MOVE)
    entry = json.loads((out / JOURNAL).read_text())
    (out / JOURNAL).write_text(json.dumps(entry | {"source": str(elsewhere)}) + "\n")
    assert Folder(out).undo() == Undone(0, 0, unsealed=("Ada/p.jpg",))
    assert not elsewhere.parent.exists()
    assert (out / "Ada" / "p.jpg").read_bytes() == b"photo"
    answer = mien("sort", "--undo", out)
    assert (answer.code, "--trust-journal" in answer.err) == (3, True)
    assert mien("sort", "--undo", out, "--trust-journal").code == 0
    assert elsewhere.read_bytes() == b"photo"


def test_undoing_twice_seals_nobody_elses_moves(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "Ada").mkdir(parents=True)
    (out / "Ada" / "p.jpg").write_bytes(b"photo")
    entry = {"made": "Ada/p.jpg", "source": str(elsewhere), "digest": sha256(b"photo").hexdigest(), "moved": True}
    (out / JOURNAL).write_text(json.dumps(entry) + "\n")
    for _ in range(2):
        assert Folder(out).undo().unsealed == ("Ada/p.jpg",)
    assert not elsewhere.exists()


def test_another_users_journal_puts_no_photo_back_by_itself(tmp_path, monkeypatch):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    Folder(out).place(source, ["Ada"], Placing.MOVE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert Folder(out).undo().unsealed == ("Ada/p.jpg",)
    assert Folder(out).undo(trusting=True).restored == 1
    assert source.read_bytes() == b"photo"


def test_undoing_does_not_follow_a_link_out_of_the_folder(tmp_path):
    source, out, outside = tmp_path / "p.jpg", tmp_path / "out", tmp_path / "outside"
    source.write_bytes(b"photo")
    Folder(out).place(source, ["Ada"], Placing.COPY)
    (out / "Ada").rename(outside)
    (out / "Ada").symlink_to(outside)
    assert Folder(out).undo().kept == ("Ada/p.jpg",)
    assert (outside / "p.jpg").exists()
    with pytest.raises(StorageError, match="leads out"):
        Folder(out).place(source, ["Ada"], Placing.COPY)


@pytest.mark.parametrize("way", ["--copy", "--move"])
def test_links_out_of_the_source_are_passed_over_and_said(mien, named, tmp_path, way):
    album = tmp_path / "album"
    album.mkdir()
    (album / "secret.jpg").write_bytes(photo_of("Ada", photo=3))
    (named / "album").symlink_to(album)
    (named / "link.jpg").symlink_to(album / "secret.jpg")
    (named / "inner.jpg").symlink_to(named / "a.jpg")
    answer = mien("sort", named, "--into", tmp_path / "out", way, "--yes")
    assert "Passed over 2 photos to which links lead out" in " ".join(answer.err.split())
    assert not any("secret" in name or "link" in name for name in photos(tmp_path / "out"))
    assert (album / "secret.jpg").exists()


def test_strangers_are_sorted_by_group_without_being_discovered_first(mien, pile, tmp_path):
    answer = mien("sort", pile, "--into", tmp_path / "out", "--json")
    groups = {name: count for name, count in answer.json["folders"].items() if name.startswith("Unknown/g-")}
    assert sorted(groups.values()) == [2, 3]
    assert answer.json["skipped"] == 21
    assert not (tmp_path / "out").exists()
    assert mien("sort", pile, "--into", tmp_path / "out", "--yes", "--json").json["folders"] == answer.json["folders"]


def test_strangers_are_left_together_on_wish_and_nothing_is_kept_of_them(mien, pile, tmp_path):
    answer = mien("sort", pile, "--into", tmp_path / "out", "--no-groups", "--json")
    assert answer.json["folders"] == {"No faces": 1, "Unknown": 4}
    assert mien("groups", "list", "--json").json["groups"] == []


def test_a_photo_in_five_groups_is_in_the_folder_of_each(mien, tmp_path):
    names = ("Ada", "Grace", "Edith", "Robert", "Venus")
    folder = tmp_path / "pile"
    folder.mkdir()
    (folder / "all.jpg").write_bytes(photo_of(*names))
    for name in names:
        (folder / f"{name}.jpg").write_bytes(photo_of(name, photo=1))
    assert mien("sort", folder, "--into", tmp_path / "out", "--yes").code == 0
    folders = {Path(name).parent for name in photos(tmp_path / "out") if name.endswith("all.jpg")}
    assert len(folders) == 5
    assert all(len(list((tmp_path / "out" / each).iterdir())) == 2 for each in folders)


def test_three_photos_among_many_videos_are_sorted(mien, tmp_path):
    folder = tmp_path / "pile"
    folder.mkdir()
    for number in range(2000):
        (folder / f"{number}.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(photo_of("Ada", photo=number))
    answer = mien("sort", folder, "--into", tmp_path / "out", "--yes")
    assert "2,000 files that are no photos (2,000 .mp4)" in " ".join(answer.err.split())
    assert len(photos(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    "name", ["李伟", "Зоя Ковалёва", "محمد علي", "अनीता", "Ζωή", "👩‍🚀 Ada", "שלום", "x" * 200, "Dr. Ann.", "aux"]
)
def test_a_person_of_any_name_has_a_folder_and_is_undone(mien, tmp_path, name):
    (tmp_path / "p.jpg").write_bytes(photo_of("Ada"))
    assert mien("enroll", tmp_path / "p.jpg", "--user", name).code == 0
    assert mien("sort", tmp_path / "p.jpg", "--into", tmp_path / "out", "--move", "--yes").code == 0
    (sorted_photo,) = photos(tmp_path / "out")
    assert Path(sorted_photo).parent.name.rstrip("_").startswith(name.rstrip(".")[:40])
    assert mien("sort", "--undo", tmp_path / "out", "--json").json["restored"] == 1
    assert (tmp_path / "p.jpg").read_bytes() == photo_of("Ada")


@pytest.mark.parametrize(
    "names",
    [
        ("Tom", "tom"),
        ("x" * 199 + "/", "x" * 199 + ":"),
        ("CON", "con."),
        ("Unknown", "no faces"),
        ("a?", "a*", "a_", "a_ (2)"),
        ("é" * 100 + "?", "é" * 100 + "*"),
    ],
)
def test_no_two_people_share_a_folder(names):
    folders = _folder_names({f"p-{number}": name for number, name in enumerate(names)})
    folded = {folder.casefold() for folder in folders.values()}
    assert len(folded | {"unknown", "no faces"}) == len(names) + 2
    assert all(len(folder.encode()) <= 200 for folder in folders.values())


def test_a_name_that_the_disk_does_not_allow_stops_only_that_photo(tmp_path, monkeypatch, mien, named):
    copy = shutil.copyfile

    def refuse(source: Path, target: Path) -> None:
        if Path(source).name == "b.jpg":
            raise OSError(errno.EINVAL, "Invalid argument")
        copy(source, target)

    monkeypatch.setattr(whole_files.shutil, "copyfile", refuse)
    answer = mien("sort", named, "--into", tmp_path / "out", "--yes")
    assert answer.code == 3
    assert "b.jpg: It cannot be copied: Invalid argument" in " ".join(answer.err.split())
    assert "Ada/a.jpg" in photos(tmp_path / "out")


def refuse_hard_links(*_: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


@pytest.mark.parametrize("way", [Placing.COPY, Placing.MOVE])
def test_a_symbolic_link_becomes_a_copy_before_its_photo_goes(tmp_path, monkeypatch, way):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    monkeypatch.setattr(os, "link", refuse_hard_links)
    Folder(out).place(source, ["Ada"], Placing.LINK)
    assert (out / "Ada" / "p.jpg").is_symlink()
    assert Folder(out).place(source, ["Ada"], way) == ([out / "Ada" / "p.jpg"], False)
    assert not (out / "Ada" / "p.jpg").is_symlink()
    assert (out / "Ada" / "p.jpg").read_bytes() == b"photo"
    assert source.exists() == (way is Placing.COPY)
    assert Folder(out).undo() == Undone(1, int(way is Placing.MOVE))
    assert (source.read_bytes(), files(out)) == (b"photo", {})


def test_a_photo_whose_place_is_the_photo_itself_is_not_removed(tmp_path, monkeypatch):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    Folder(out).place(source, ["Ada"], Placing.COPY)
    monkeypatch.setattr(Path, "samefile", lambda *_: True)  # as where one folder is mounted twice
    assert Folder(out).place(source, ["Ada"], Placing.MOVE)[1]
    assert source.read_bytes() == b"photo"


def test_undoing_keeps_a_copy_to_which_its_photo_has_become_a_link(tmp_path):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    Folder(out).place(source, ["Ada"], Placing.COPY)
    source.unlink()
    source.symlink_to(out / "Ada" / "p.jpg")
    assert Folder(out).undo().kept == ("Ada/p.jpg",)
    assert source.read_bytes() == b"photo"


@pytest.mark.parametrize("first", [Placing.COPY, Placing.LINK])
def test_a_photo_that_was_moved_after_it_was_copied_or_linked_is_put_back(tmp_path, first):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    for way in (first, Placing.MOVE):
        Folder(out).place(source, ["Ada"], way)
    assert not source.exists()
    assert Folder(out).undo() == Undone(1, 1)
    assert (source.read_bytes(), files(out)) == (b"photo", {})


def test_identical_photos_that_were_moved_are_all_put_back(tmp_path):
    sources, out = [tmp_path / name / "p.jpg" for name in ("x", "y")], tmp_path / "out"
    for source in sources:
        source.parent.mkdir()
        source.write_bytes(b"photo")
        Folder(out).place(source, ["Ada", "Grace"], Placing.MOVE)
    assert photos(out) == {"Ada/p.jpg", "Grace/p.jpg"}
    assert Folder(out).undo() == Undone(2, 2)
    assert [source.read_bytes() for source in sources] == [b"photo"] * 2
    assert files(out) == {}


def test_undoing_leaves_the_journal_to_whom_it_belongs(tmp_path, monkeypatch):
    out = tmp_path / "out"
    for name in ("p.jpg", "q.jpg"):
        (tmp_path / name).write_bytes(name.encode())
        Folder(out).place(tmp_path / name, ["Ada"], Placing.MOVE)
    (out / JOURNAL).chmod(0o664)
    before = (out / JOURNAL).stat()
    with monkeypatch.context() as other:
        other.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
        assert Folder(out).undo().unsealed == ("Ada/p.jpg", "Ada/q.jpg")
    assert (out / JOURNAL).stat() == before
    (out / "Ada" / "q.jpg").write_bytes(b"edited")
    assert Folder(out).undo().kept == ("Ada/q.jpg",)
    after = (out / JOURNAL).stat()
    assert (after.st_mode, after.st_gid) == (before.st_mode, before.st_gid)


def test_a_journal_that_cannot_be_read_is_refused(mien, tmp_path):
    (tmp_path / "out" / JOURNAL).mkdir(parents=True)
    answer = mien("sort", "--undo", tmp_path / "out", "--json")
    assert (answer.code, "cannot be read" in answer.json["error"]["message"]) == (4, True)


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_journal_that_somebody_planted_adds_nothing_to_another_file(mien, named, tmp_path, plant):
    startup = tmp_path / ".bashrc"
    startup.write_text("# mine\n")
    (tmp_path / "out").mkdir()
    plant(tmp_path / "out" / JOURNAL, startup)
    answer = mien("sort", named, "--into", tmp_path / "out", "--yes")
    assert (answer.code, JOURNAL in answer.err) == (4 if plant is Path.symlink_to else 2, True)
    assert startup.read_text() == "# mine\n"
    assert mien("sort", "--undo", tmp_path / "out").code == answer.code


def test_a_pipe_in_the_place_of_the_journal_is_not_waited_for(tmp_path):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / JOURNAL)
    with pytest.raises(StorageError, match="no file"):
        Folder(tmp_path / "out").undo()


def test_what_somebody_planted_stops_neither_a_sidecar_nor_undoing(tmp_path):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    (out / "Ada" / f"{whole_files.DRAFT}x").mkdir(parents=True)
    (out / "Ada" / "p.jpg.xmp").symlink_to(tmp_path / "nowhere")
    folder = Folder(out)
    folder.place(source, ["Ada"], Placing.COPY)
    folder.write(out / "Ada" / "p.jpg.xmp", b"who")
    assert not (tmp_path / "nowhere").exists()
    assert folder.undo() == Undone(1, 0)


@pytest.mark.parametrize("damage", [{"source": "/tmp/\ud800"}, {"moved": []}])
def test_a_journal_with_impossible_values_is_refused(tmp_path, damage):
    (tmp_path / "out").mkdir()
    entry = {"made": "Ada/p.jpg", "source": None, "digest": "", "moved": True} | damage
    (tmp_path / "out" / JOURNAL).write_text(json.dumps(entry) + "\n")
    with pytest.raises(InvalidInput, match="does not write"):
        Folder(tmp_path / "out").undo()


def test_a_key_that_was_cut_off_signs_no_move(tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"photo")
    (tmp_path / "state" / "mien").mkdir(parents=True)
    (tmp_path / "state" / "mien" / "sort.key").write_bytes(b"")
    with pytest.raises(StorageError, match="damaged"):
        Folder(tmp_path / "out").place(tmp_path / "p.jpg", ["Ada"], Placing.MOVE)
    assert (tmp_path / "p.jpg").exists()


def test_where_nothing_was_sorted_there_is_nothing_to_undo(mien, tmp_path):
    (tmp_path / "pile").mkdir()
    assert "--undo" not in mien("sort", tmp_path / "pile", "--into", tmp_path / "out", "--yes").out


@pytest.mark.parametrize("number", [0, errno.EINVAL])  # EINVAL is the answer of file systems that sync no folders
def test_a_photo_goes_only_after_its_new_folders_are_stored(tmp_path, monkeypatch, number):
    source, out, stored = tmp_path / "p.jpg", tmp_path / "out", list[int]()
    source.write_bytes(b"photo")

    def sync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode) and source.exists() and (out / "Unknown").exists():
            stored.append(status.st_ino)
            if number and status.st_ino in {each.stat().st_ino for each in (out, out / "Unknown")}:
                raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    assert Folder(out).place(source, ["Unknown/g-1"], Placing.MOVE)[1] is False
    assert {each.stat().st_ino for each in (out, out / "Unknown", out / "Unknown" / "g-1")} <= set(stored)


@pytest.mark.parametrize("command", [["--undo"], ["--into"]])
def test_a_second_run_in_one_folder_is_refused_at_once_and_loses_nothing(mien, named, tmp_path, command):
    out = tmp_path / "out"
    assert mien("sort", named, "--into", out, "--yes").code == 0
    sorted_files = files(out)
    arguments = ["sort", *command, out] if command == ["--undo"] else ["sort", named, *command, out, "--move", "--yes"]
    with opened(out, make=True):
        refused = mien(*arguments, "--json")
        assert mien("sort", named, "--into", out).code == 0  # a plan reads and writes no journal
    assert (refused.code, refused.json["error"]["code"]) == (5, "storage_busy")
    assert f"Another `mien sort` is at work in {out}." in refused.json["error"]["message"]
    assert files(out) == sorted_files
    assert mien("sort", "--undo", out).code == 0
    assert files(out) == {}


def test_a_run_that_is_killed_holds_its_folder_no_longer(tmp_path):
    out = tmp_path / "out"
    script = "import sys, time, pathlib; from mien.cli.placing import opened\n"
    script += "with opened(pathlib.Path(sys.argv[1]), make=True): print('open', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script, out], stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"open\n"
        with pytest.raises(StorageBusy), opened(out, make=True):
            pass
        run.send_signal(signal.SIGKILL)
    source = tmp_path / "p.jpg"
    source.write_bytes(b"a photo")
    with opened(out, make=True) as folder:
        assert folder.place(source, ["Ada"], Placing.COPY) == ([out / "Ada" / "p.jpg"], False)


def test_a_folder_that_was_made_in_vain_is_gone_again_and_others_stay(mien, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert mien("sort", tmp_path / "nothing", "--into", tmp_path / "out", "--yes").code == 0
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    assert mien("sort", tmp_path / "nothing", "--into", tmp_path / "out", "--yes").code == 0
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize("below", [".", "holidays"])
def test_photos_in_the_folder_itself_are_not_passed_over_in_silence(mien, named, below):
    (named / "holidays").mkdir()
    refused = mien("sort", named / below, "--into", named, "--yes")
    assert refused.code == 2
    assert "is not sorted again: name another folder." in " ".join(refused.err.split())


def test_a_command_whose_photos_the_shell_lists_can_be_repeated_beside_its_folder(mien, named):
    out, listed = named / "sorted", list(named.glob("*.jpg"))
    assert mien("sort", *listed, "--into", out, "--yes").code == 0
    sorted_photos = photos(out)
    assert mien("sort", *listed, out, "--into", out, "--yes").code == 0  # as `photos/*` names it now
    assert photos(out) == sorted_photos


def test_a_photo_that_cannot_be_sorted_is_named(mien, named, tmp_path):
    (named / "broken.jpg").write_bytes((named / "a.jpg").read_bytes()[:2000])
    answer = mien("sort", named, "--into", tmp_path / "out")
    assert answer.code == 3
    assert "broken.jpg: The photo is damaged or cut short." in " ".join(answer.err.split())
    (named / "broken.jpg").unlink()
    (named / "gone.jpg").symlink_to(named / "nowhere")
    for command in (("sort", named, "--into", tmp_path / "out"), ("discover", named), ("detect", named)):
        assert mien(*command).err.count("gone.jpg") == 1


def test_a_folder_that_the_run_before_removed_is_locked_anew(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    lock, removed = placing._lock_descriptor, []

    def remove_meanwhile(descriptor: int, root: Path) -> None:
        lock(descriptor, root)
        if not removed:
            removed.append(shutil.rmtree(root))
            root.mkdir()

    monkeypatch.setattr(placing, "_lock_descriptor", remove_meanwhile)
    with opened(out, make=True), pytest.raises(StorageBusy), opened(out, make=True):
        pass


def test_a_file_system_without_locks_is_sorted_into_all_the_same(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(placing.fcntl, "flock", refuse)
    source = tmp_path / "p.jpg"
    source.write_bytes(b"a photo")
    with opened(tmp_path / "out", make=True) as folder:
        assert folder.place(source, ["Ada"], Placing.COPY)[0][0].is_file()
