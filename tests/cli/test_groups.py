"""Unknown faces of a folder are grouped and named, and photos sorted by person, from the command line."""

from __future__ import annotations

import errno
import os
import xml.etree.ElementTree as ET
from hashlib import sha256
from pathlib import Path

import pytest

from mien.cli import placing
from mien.cli.placing import JOURNAL, Folder, Placing, Undone
from mien.cli.sidecars import Region, sidecar
from mien.cli.sort import folder_name
from mien.domain.errors import InvalidInput, StorageFull
from mien.domain.faces import Box
from tests.support.painter import photo_of


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    """Two photos of Ada, one of Grace, one of both, a landscape, and what is no photo."""
    folder = tmp_path / "pile"
    folder.mkdir()
    shown = {"a.jpg": ("Ada", 0), "b.jpg": ("Ada", 1), "c.jpg": ("Grace", 0)}
    for name, (person, photo) in shown.items():
        (folder / name).write_bytes(photo_of(person, photo=photo))
    (folder / "both.jpg").write_bytes(photo_of("Ada", "Grace", photo=2))
    (folder / "hills.jpg").write_bytes(photo_of())
    for number in range(20):
        (folder / f"{number}.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (folder / "a.jpg.json").write_text("{}")
    return folder


@pytest.fixture
def named(mien, pile):
    """The pile is discovered, and Ada's group has her name."""
    largest, *_ = mien("discover", pile, "--json").json["groups"]
    mien("groups", "name", largest["group_id"], "Ada")
    return pile


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def photos(folder: Path) -> set[str]:
    return {name for name in files(folder) if name.endswith((".jpg", ".xmp"))}


def test_a_folder_is_discovered_and_videos_are_counted(mien, pile):
    answer = mien("discover", pile, "--json")
    assert (answer.code, answer.json["photos"], answer.json["skipped"]) == (0, 5, 21)
    assert [(group["faces"], len(group["photos"])) for group in answer.json["groups"]] == [(3, 3), (2, 2)]
    assert "Passed over 21 files that are no photos (20 .mp4, 1 .json)." in mien("discover", pile).err


def test_discovering_says_what_is_not_shown_and_what_to_do_next(mien, pile):
    out = mien("discover", pile).out
    assert "5 photos: 0 faces of 0 known people, 5 unknown faces." in out
    assert "--min-faces 1 shows them" in out
    assert "mien groups list --sheet" in out
    assert "mien groups name g-" in out
    assert "--min-faces 1 shows them" not in mien("discover", pile, "--min-faces", "1").out


def test_a_group_that_is_given_to_somebody_known_says_so_and_a_similar_name_whose_it_is(mien, pile):
    ada, grace = (group["group_id"] for group in mien("discover", pile, "--json").json["groups"])
    assert mien("groups", "name", ada, "Ada").out.startswith("Ada: 3 faces enrolled.")
    refused = mien("groups", "name", grace, "ada")
    assert refused.code == 2
    assert refused.err.endswith("Did you mean Ada?\n")
    assert mien("groups", "name", grace, "Ada").out.startswith("Ada, who was enrolled already: 2 faces enrolled.")


def test_a_file_that_was_named_by_hand_is_complained_of(mien, pile):
    answer = mien("discover", pile / "0.mp4", "--json")
    assert (answer.code, len(answer.json["refused"])) == (3, 1)


def test_photos_of_tomorrow_join_the_groups_of_today(mien, pile):
    mien("discover", pile)
    (pile / "later.jpg").write_bytes(photo_of("Ada", photo=3))
    assert [group["faces"] for group in mien("discover", pile, "--json").json["groups"]] == [4, 2]


def test_groups_are_named_skipped_divided_merged_and_erased(mien, pile):
    ada, grace = (group["group_id"] for group in mien("discover", pile, "--json").json["groups"])
    assert mien("groups", "name", ada, "李伟", "--json").json["enrolled"] == 3
    assert mien("groups", "name", ada, "Ada").code == 1
    assert [person["name"] for person in mien("people", "--json").json["people"]] == ["李伟"]
    assert mien("groups", "unname", ada, "--json").json["faces"] == 3
    assert mien("people", "--json").json["people"] == []
    mien("groups", "skip", grace)
    assert [group["group_id"] for group in mien("groups", "list", "--json").json["groups"]] == [ada]
    parts = mien("groups", "split", ada, "--json").json["groups"]
    assert sum(part["faces"] for part in parts) == 3
    assert mien("groups", "merge", parts[1]["group_id"], ada, "--json").json["faces"] == 3
    assert mien("groups", "erase", ada, "--yes", "--json").json["faces"] == 3
    assert mien("verify-erased", ada).code == 0
    assert mien("groups", "list").code == 0


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
    assert files(out) == {}


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
        full.setattr(placing.shutil, "copyfile", fail)
        full.setattr(os, "link", fail)
        with pytest.raises(StorageFull):
            Folder(out).place(source, ["Ada", "Grace"], way)
    assert source.read_bytes() == b"photo"
    Folder(out).place(source, ["Ada", "Grace"], way)
    assert [(out / name / "p.jpg").read_bytes() for name in ("Ada", "Grace")] == [b"photo"] * 2
    assert Folder(out).undo().kept == ()
    assert source.read_bytes() == b"photo"
    assert files(out) == {}


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


@pytest.mark.parametrize("line", ['{"made": "%s", "source": null, "digest": "%s"}', "[1]", '{"file": 1}'])
def test_a_journal_of_somebody_else_changes_nothing(tmp_path, line):
    outside, out = tmp_path / "mine.txt", tmp_path / "out"
    outside.write_bytes(b"mine")
    out.mkdir()
    (out / JOURNAL).write_text(line.replace("%s", "../mine.txt", 1).replace("%s", sha256(b"mine").hexdigest()))
    with pytest.raises(InvalidInput):
        Folder(out).undo()
    assert outside.exists()


def test_undoing_leaves_empty_folders_that_others_made(tmp_path):
    source, out = tmp_path / "p.jpg", tmp_path / "out"
    source.write_bytes(b"photo")
    (out / "mine").mkdir(parents=True)
    Folder(out).place(source, ["Unknown/g-1"], Placing.COPY)
    Folder(out).undo()
    assert [each.name for each in out.iterdir()] == ["mine"]
