"""Enrolling: whole folders, bad photos among good ones, again, and cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.painter import photo_of, write_people
from tests.support.process import MIEN_ON_FAKE_ENGINE, PATIENCE_SECONDS, wait_for


def test_a_folder_of_people_is_enrolled(mien, people):
    answer = mien("enroll", people, "--json")
    assert answer.code == 0
    assert (answer.json["enrolled"], answer.json["refused"]) == (3, 0)
    assert {person["name"]: person["faces"] for person in mien("people", "--json").json["people"]} == {
        "Ada": 2,
        "Grace": 1,
    }


def test_enrolling_again_takes_nothing_twice(mien, people):
    mien("enroll", people)
    (people / "Ada" / "new.jpg").write_bytes(photo_of("Ada", photo=9))
    again = mien("enroll", people, "--json").json
    assert (again["enrolled"], again["already_enrolled"]) == (1, 3)
    assert len(mien("faces", "--user", "Ada", "--json").json["faces"]) == 3


def test_one_bad_photo_among_a_hundred_is_reported_and_the_others_are_taken(mien, tmp_path):
    folder = tmp_path / "many" / "Ada"
    folder.mkdir(parents=True)
    for number in range(99):
        (folder / f"{number:02}.jpg").write_bytes(photo_of("Ada", photo=number))
    (folder / "bad.jpg").write_bytes(photo_of("Ada")[:60])
    answer = mien("enroll", tmp_path / "many", "--json")
    assert answer.code == 3
    assert (answer.json["enrolled"], answer.json["refused"]) == (99, 1)
    (refused,) = (photo for photo in answer.json["photos"] if photo["outcome"] == "refused")
    assert Path(refused["photo"]).name == "bad.jpg"
    assert [reason.partition(":")[0] for reason in refused["reasons"]] == ["The photo is damaged"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("text.jpg", b"hello", "not a photo of a known format"),
        ("empty.jpg", b"", "no bytes"),
        ("nobody.jpg", photo_of(), "no face"),
        ("huge.jpg", b"\xff\xd8\xff" + bytes(16 * 1024 * 1024), "more than"),
    ],
)
def test_what_cannot_be_enrolled_is_rejected_with_a_reason(mien, people, name, content, sentence):
    (people / "Ada" / name).write_bytes(content)
    answer = mien("enroll", people)
    assert answer.code == 3
    assert name in answer.out
    assert sentence in answer.out
    assert "3 enrolled, 0 already enrolled, 1 rejected." in answer.out


def test_a_file_in_no_persons_folder_is_rejected(mien, people):
    (people / "loose.jpg").write_bytes(photo_of("Ada"))
    answer = mien("enroll", people, "--json").json
    assert [photo["user_id"] for photo in answer["photos"] if photo["outcome"] == "refused"] == [None]


def test_what_systems_leave_in_folders_is_no_photo(mien, people):
    (people / "Ada" / ".DS_Store").write_bytes(b"x")
    (people / "Ada" / "Thumbs.db").write_bytes(b"x")
    assert mien("enroll", people).code == 0


def test_photos_of_one_person(mien, people):
    assert mien("enroll", people / "Ada", people / "Ada" / "0.jpg", "--user", "Ada L.").code == 0
    assert [person["name"] for person in mien("people", "--json").json["people"]] == ["Ada L."]


def test_a_bystander_is_not_enrolled_silently(mien, people):
    (people / "Ada" / "both.jpg").write_bytes(photo_of("Ada", "Grace"))
    answer = mien("enroll", people)
    assert "only the largest was enrolled" in answer.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["people/Ada/0.jpg"], "--user NAME"),
        (["people/Ada"], "no sub-folders"),
        (["nothing"], "no file or folder nothing"),
        (["people", "--user", "x" * 300], ""),
    ],
)
def test_what_cannot_be_understood_is_said(mien, people, words, sentence):
    answer = mien("enroll", *words)
    assert answer.code in {2, 3}
    assert sentence in answer.err


def test_names_are_shown_as_they_are(mien, people):
    (people / "Ada").rename(people / "[red]Ada")
    mien("enroll", people)
    assert "[red]Ada" in mien("people").out


HESITANT = """
import os, time
from itertools import count
from pathlib import Path
import mien.engine
from tests.support.fake_engine import FakeFaceEngine

class Engine(FakeFaceEngine):
    reads = count()

    def read(self, image, max_faces=100, **options):
        while next(self.reads) >= 20 and not Path(os.environ["GO_ON"]).exists():
            time.sleep(0.01)
        return super().read(image, max_faces)

mien.engine.FaceEngine = Engine
from mien.cli.main import main
main()
"""
HESITANT_MIEN = (sys.executable, "-c", HESITANT)
"""Waits in the middle of its photos until there is a file that the environment names."""


def start(mien: Sequence[str], folder: Path, data: Path, go_on: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*mien, "enroll", str(folder), "--data-dir", str(data), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "MIEN_BACKEND": "embedded", "GO_ON": str(go_on)},
        # A shell that runs the tests in the background has told them to ignore it, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def enrolled(data: Path) -> int:
    """How many faces another process sees."""
    words = [*MIEN_ON_FAKE_ENGINE, "faces", "--data-dir", str(data), "--limit", "100000", "--json"]
    return len(json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["faces"])


def photos_in(data: Path) -> int:
    return len(list((data / "bucket" / "uploaded").rglob("*.jpg")))


@pytest.fixture
def crowd(tmp_path):
    """A hundred people, enough for a run to be cut off in the middle."""
    return write_people(tmp_path / "crowd", range(100), photos=2)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_cut_off_keeps_what_it_has_and_can_go_on(crowd, tmp_path, end):
    data, go_on = tmp_path / "data", tmp_path / "go on"
    photos = len(list(crowd.glob("*/*.jpg")))
    cut_off = start(HESITANT_MIEN, crowd, data, go_on)
    wait_for(lambda: photos_in(data) >= 10)
    cut_off.send_signal(end)
    go_on.touch()
    out, _ = cut_off.communicate(timeout=PATIENCE_SECONDS)
    kept = enrolled(data)
    assert 0 < kept < photos
    if end is signal.SIGINT:
        assert cut_off.returncode == 130
        assert 0 < json.loads(out)["enrolled"] <= kept
    again = start(MIEN_ON_FAKE_ENGINE, crowd, data, go_on)
    answer = json.loads(again.communicate(timeout=300)[0])
    assert again.returncode == 0
    assert answer["enrolled"] + answer["already_enrolled"] == photos == enrolled(data)


def test_many_people_are_summarised_and_listed_on_demand(mien, tmp_path):
    for number in range(25):
        (tmp_path / "many" / f"Person {number:02}").mkdir(parents=True)
        (tmp_path / "many" / f"Person {number:02}" / "p.jpg").write_bytes(photo_of(number))
        (tmp_path / "many" / f"Person {number:02}" / "hills.jpg").write_bytes(photo_of())
    answer = mien("enroll", tmp_path / "many")
    assert "Person 19" in answer.out
    assert "Person 20" not in answer.out.split("Note")[0]
    assert "… and 5 more people: --verbose lists all." in answer.out
    assert "… and 5 more remarks: --verbose lists all." in answer.out
    assert "25 enrolled, 0 already enrolled, 25 rejected." in answer.out
    verbose = mien("enroll", tmp_path / "many", "--verbose").out
    assert "Person 24" in verbose
    assert "--verbose" not in verbose
