"""Folders as they are: links, loops, litter, names that are not Unicode. One bad entry never stops the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mien.cli import output
from mien.cli.photos import PhotoReader, photo_files
from mien.domain.errors import ImageError, ImageTooLarge
from mien.domain.image_types import UNKNOWN_FORMAT, is_ignored
from mien.evaluation.dataset import read_folder
from tests.support.nesting import nested
from tests.support.painter import photo_of
from tests.support.process import MIEN_ON_FAKE_ENGINE

LITTER = [
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "__MACOSX",
    ".thumbnails",
    ".stfolder",
    ".Trash-1000",
    ".git",
]


@pytest.mark.parametrize("name", [*LITTER, ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "._0.jpg"])
def test_litter_is_known(name):
    assert is_ignored(name)


@pytest.mark.parametrize("name", ["Ada", "0.jpg", "thumbs", "eaDir", "@Ada", "#1.jpg", "recycle", "my.stfolder"])
def test_a_photo_or_a_person_is_no_litter(name):
    assert not is_ignored(name)


def fill(folder: Path, photo: bytes) -> None:
    folder.mkdir()
    (folder / "0.jpg").write_bytes(photo)


@pytest.mark.parametrize("name", LITTER)
def test_litter_becomes_nobody_and_is_counted(mien, people, name):
    fill(people / name, photo_of("Edith"))
    fill(people / "Ada" / name, photo_of("Edith", photo=1))
    (people / "Ada" / "Thumbs.db").write_bytes(b"")
    answer = mien("enroll", people, "--json")
    assert (answer.code, answer.json["enrolled"], answer.json["skipped"]) == (0, 3, 3)
    assert "Passed over 3 entries" in mien("enroll", people).err
    assert {person["name"] for person in mien("people", "--json").json["people"]} == {"Ada", "Grace"}
    assert mien("recognize", people, "--json").json["skipped"] == 3
    assert mien("detect", people, "--json").json["skipped"] == 3
    assert "Passed over" not in mien("recognize", people / "Grace").err


def dangling(folder: Path) -> None:
    (folder / "bad.jpg").symlink_to("/nowhere/at/all.jpg")


def link_to_itself(folder: Path) -> None:
    (folder / "bad.jpg").symlink_to(folder / "bad.jpg")


def loop(folder: Path) -> None:
    (folder / "bad").symlink_to(folder)


def loop_above(folder: Path) -> None:
    (folder / "bad").symlink_to(folder.parent)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "bad.jpg")


def empty(folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"")


BAD_ENTRIES = pytest.mark.parametrize("spoil", [dangling, link_to_itself, loop, loop_above, pipe, empty])


@BAD_ENTRIES
def test_a_bad_entry_is_refused_and_the_others_are_enrolled(mien, people, spoil):
    spoil(people / "Ada")
    answer = mien("enroll", people, "--json")
    assert (answer.code, answer.json["enrolled"], answer.json["error"]) == (3, 3, None)
    refused = [photo for photo in answer.json["photos"] if photo["outcome"] == "refused"]
    assert [Path(photo["photo"]).name.startswith("bad") for photo in refused] == [True]
    assert refused[0]["reasons"][0].endswith(".")


@BAD_ENTRIES
def test_a_bad_entry_beside_the_people_is_refused_too(mien, people, spoil):
    spoil(people)
    answer = mien("enroll", people, "--json")
    assert answer.code == 3
    assert answer.json["enrolled"] == 3
    assert answer.json["refused"] == 1


@BAD_ENTRIES
def test_the_other_photos_are_recognised(mien, people, spoil):
    mien("enroll", people)
    spoil(people / "Ada")
    for command in ("recognize", "detect"):
        answer = mien(command, people, "--json")
        assert answer.code == 3
        assert sum("error" in photo for photo in answer.json["photos"]) == 1
        assert len(answer.json["photos"]) == 4
        assert mien(command, people).code == 3


@BAD_ENTRIES
def test_the_other_photos_are_sorted(mien, people, tmp_path, spoil):
    mien("enroll", people)
    spoil(people / "Ada")
    answer = mien("sort", people, "--into", tmp_path / "out", "--yes", "--json")
    assert (answer.code, answer.json["error"]) in ((3, None), (0, None))
    assert sum(answer.json["folders"].values()) == 3
    assert len(list((tmp_path / "out").glob("*/*.*"))) == 3


@BAD_ENTRIES
def test_the_other_photos_are_evaluated(people, spoil):
    spoil(people / "Ada")
    folder = read_folder(people)
    assert len(folder.photos) in {3, 4}, "an empty file is a photo whose error the evaluation counts"
    if spoil not in {loop, loop_above, empty}:
        assert any("passed over" in note for note in folder.notes)


def test_enrolling_and_recognising_name_the_same_formats(mien, people):
    (people / "Ada" / "0.jpg").write_text("hello")
    enrolled, recognised = mien("enroll", people), mien("recognize", people / "Ada" / "0.jpg")
    assert UNKNOWN_FORMAT in enrolled.out
    assert UNKNOWN_FORMAT in recognised.out


def test_a_dangling_link_for_a_person_is_no_person(people):
    (people / "Nobody").symlink_to("/nowhere")
    assert read_folder(people).people == ("Ada", "Grace")


def test_a_linked_folder_is_followed_once(mien, people, tmp_path):
    fill(tmp_path / "elsewhere", photo_of("Edith"))
    (people / "Edith").symlink_to(tmp_path / "elsewhere")
    assert mien("enroll", people, "--json").json["enrolled"] == 4
    (people / "Ada" / "more").symlink_to(tmp_path / "elsewhere")
    (people / "Ada" / "again").symlink_to(tmp_path / "elsewhere")
    assert len(photo_files([people / "Ada"]).photos) == 4, "two links to one folder are no loop"


def test_folders_are_walked_however_deep_they_are_nested(tmp_path):
    with nested(tmp_path / "photos", levels=1500) as folder:
        (folder / "e.jpg").write_bytes(b"")
        first, second = photo_files([folder]).photos
        assert (len(first.relative_to(folder).parts), first.name) == (1501, "x.jpg")
        assert second.name == "e.jpg"


def test_a_folder_too_deep_to_be_reached_is_listed_in_its_place(mien, people, tmp_path):
    with nested(people / "Ada" / "deep"):
        answer = mien("enroll", people, "--json")
    assert (answer.code, answer.json["enrolled"], answer.json["error"]) == (3, 3, None)
    (refused,) = [photo for photo in answer.json["photos"] if photo["outcome"] == "refused"]
    assert "deep/d/d" in refused["photo"]


def test_a_folder_that_cannot_be_read_is_refused(mien, people, monkeypatch):
    fill(people / "Edith", photo_of("Edith"))
    listing = Path.iterdir

    def iterdir(folder: Path):
        if folder.name == "Edith":
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    answer = mien("enroll", people, "--json")
    assert (answer.code, answer.json["enrolled"], answer.json["refused"]) == (3, 3, 1)
    assert "cannot be read" in mien("enroll", people).out
    assert len(read_folder(people).photos) == 3


@pytest.mark.parametrize(
    "name", [b"M\xfcller.jpg", b"\xff.jpg", "Müller 名前.jpg".encode(), b"a\nb.jpg", b"\x1b[2J.jpg"]
)
def test_any_file_name_can_be_printed(mien, people, name):
    path = os.fsencode(people / "Ada") + b"/" + name
    Path(os.fsdecode(path)).write_bytes(photo_of("Ada", photo=5))
    answer = mien("enroll", people, "--json")
    assert answer.json["enrolled"] == 4
    assert path in {os.fsencode(photo["photo"]) for photo in answer.json["photos"]}
    table = mien("recognize", people / "Ada")
    assert table.code == 0
    assert "\x1b" not in table.out
    assert len(mien("recognize", people / "Ada", "--json").json["photos"]) == 3


def test_a_person_whose_name_is_not_unicode_is_refused_alone(mien, people):
    folder = Path(os.fsdecode(os.fsencode(people) + b"/M\xfcller"))
    fill(folder, photo_of("Edith"))
    answer = mien("enroll", people, "--json")
    assert (answer.code, answer.json["enrolled"], answer.json["refused"]) == (3, 3, 1)
    assert "M\\udcfcller" in mien("enroll", people).out


@pytest.mark.parametrize("encoding", ["utf-8", "ascii:strict", "latin-1"])
def test_json_is_json_on_every_terminal(people, encoding, tmp_path):
    for number, name in enumerate((b"M\xfcller.jpg", "Ü 😀.jpg".encode())):
        Path(os.fsdecode(os.fsencode(people / "Ada") + b"/" + name)).write_bytes(photo_of("Ada", photo=5 + number))
    for options in (["--json"], []):
        done = subprocess.run(
            [*MIEN_ON_FAKE_ENGINE, "detect", str(people), *options],
            env=os.environ | {"PYTHONIOENCODING": encoding, "MIEN_DATA_DIR": str(tmp_path / "data")},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        if options:
            assert len(json.loads(done.stdout.decode(encoding.partition(":")[0]))["photos"]) == 5


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/ada/Pictures/2026/summer/beach.jpg", "…/ada/Pictures/2026/summer/beach.jpg"),
        (
            "/home/ada/a name that is longer than the column is wide.jpg",
            "…/a name that is longer than the column is wide.jpg",
        ),
    ],
)
def test_a_long_path_loses_its_first_folders_on_a_terminal_only(path, shown, monkeypatch):
    assert output.photo_cell(Path(path)) == path
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert output.photo_cell(Path(path)) == shown
    assert output.photo_cell(Path("a/b.jpg")) == "a/b.jpg"


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(1, "known person", "1 known person"), (1200, "known person", "1,200 known people"), (0, "entry", "0 entries")],
)
def test_numbers_have_the_plural_of_their_noun(number, noun, words):
    assert output.count(number, noun) == words


def test_what_cannot_be_printed_is_escaped():
    assert output.printable("Zoë\n\x1b[0m\udcfc") == "Zoë\n\\x1b[0m\\udcfc"
    assert output.printable("Ann\u202egpj.exe\u2069") == "Ann\\u202egpj.exe\\u2069"
    assert output.printable("محمد می\u200cخواهم 👩\u200d🚀") == "محمد می\u200cخواهم 👩\u200d🚀"


class Pipe:
    """Standard input with a photo in it."""

    def __init__(self, content: bytes, terminal: bool = False) -> None:
        self.buffer, self._terminal = BytesIO(content), terminal

    def isatty(self) -> bool:
        return self._terminal


def test_a_photo_may_come_by_standard_input(mien, people, monkeypatch, tmp_path):
    def run(*words: object, photo: bytes = photo_of("Ada", photo=7)):
        return mien(*words, answer=photo)

    mien("enroll", people)
    seen = run("recognize", "-", "--json", "--annotate", tmp_path / "out.jpg")
    assert [face["name"] for face in seen.json["photos"][0]["faces"]] == ["Ada"]
    assert seen.json["photos"][0]["photo"] == "-"
    assert Image.open(tmp_path / "out.jpg").size
    assert len(run("detect", "-", people / "Ada", "--json").json["photos"]) == 3
    assert run("compare", "-", people / "Ada" / "0.jpg").code == 0
    assert run("compare", people / "Grace" / "0.jpg", "-").code == 1
    assert run("compare", "-", "-").code == 2
    assert run("enroll", "-", "--user", "Edith", photo=photo_of("Edith")).code == 0
    assert run("enroll", "-", photo=photo_of("Edith")).code == 2
    assert run("recognize", "-", photo=b"").code == 3
    assert run("recognize", "-", photo=b"no photo").code == 3


def test_standard_input_is_read_once_and_up_to_the_limit(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Pipe(b"12345"))
    read = PhotoReader(max_bytes=5)
    assert [read(Path("-")), read(Path("-"))] == [b"12345"] * 2
    monkeypatch.setattr(sys, "stdin", Pipe(b"123456"))
    with pytest.raises(ImageTooLarge, match="more than 5 bytes"):
        PhotoReader(max_bytes=5)(Path("-"))
    monkeypatch.setattr(sys, "stdin", Pipe(b"", terminal=True))
    with pytest.raises(ImageError, match="terminal"):
        PhotoReader(max_bytes=5)(Path("-"))


def test_names_that_are_not_unicode_are_evaluated(mien, people, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(people) + b"/M\xfcller"))
    fill(folder, photo_of("Edith"))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(photo_of("Edith", photo=1))
    (folder / ".DS_Store").write_bytes(b"")
    report = tmp_path / "report.html"
    for options in ([], ["--json"], ["--report", report]):
        answer = mien("evaluate", people, *options)
        assert answer.code == 0, answer.err
    assert report.read_text(encoding="utf-8").count("passed over") == 1
