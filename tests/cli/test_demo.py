"""The demo shows what happened, whatever that is."""

from __future__ import annotations

import pytest
from PIL import Image

from mien.demo import photos
from tests.support.painter import photo_of

FILES = {
    "biden.jpg": ("Biden",),
    "obama.jpg": ("Obama",),
    "obama2.jpg": ("Obama",),
    "obama3.jpg": ("Obama", "Bystander"),
}


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Pictures in place of the photos from the registry."""

    def set_up(files: dict[str, tuple[str, ...]]) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        for number, (name, people) in enumerate(files.items()):
            (folder / name).write_bytes(photo_of(*people, photo=number))
        monkeypatch.setattr(photos, "demo_photos", lambda cache: sorted(folder.iterdir()))

    return set_up


def test_the_demo_names_who_is_known_and_writes_a_contact_sheet(mien, stage, tmp_path):
    stage(FILES)
    answer = mien("demo")
    assert answer.code == 0
    assert "Barack Obama" in answer.out
    assert "unknown" in answer.out
    assert "mien-demo.jpg" in answer.out
    assert " serve " in answer.out.rstrip().splitlines()[-1]
    with Image.open(tmp_path / "mien-demo.jpg") as sheet:
        assert sheet.width > 1000


def test_the_stranger_is_known_once_enrolled(mien, stage):
    stage(FILES)
    first, second = mien("demo", "--json").json["acts"]
    before = next(photo for photo in first["photos"] if photo["photo"].endswith("biden.jpg"))
    after = next(photo for photo in second["photos"] if photo["photo"].endswith("biden.jpg"))
    assert before["faces"][0]["status"] == "unknown"
    assert after["faces"][0]["name"] == "Joe Biden"


def test_every_name_comes_from_the_recognition_not_from_the_file(mien, stage):
    stage({**FILES, "obama2.jpg": ("Hedy",)})
    first, _ = mien("demo", "--json").json["acts"]
    answers = {photo["photo"].rpartition("/")[2]: photo["faces"][0]["name"] for photo in first["photos"]}
    assert answers == {"obama2.jpg": None, "obama3.jpg": "Barack Obama", "biden.jpg": None}


def test_the_users_own_people_are_left_alone(mien, stage, people):
    mien("enroll", people)
    stage(FILES)
    mien("demo")
    assert {person["name"] for person in mien("people", "--json").json["people"]} == {"Ada", "Grace"}


def test_the_photos_can_be_kept_to_go_on_with(mien, stage):
    stage(FILES)
    mien("demo", "--keep", "photos")
    assert mien("enroll", "photos/people", "--json").json["enrolled"] == 2
    answer = mien("recognize", "photos/new", "--json").json
    assert [photo["faces"][0]["name"] for photo in answer["photos"]] == ["Barack Obama", "Barack Obama"]


def test_without_network_and_cache_it_says_what_it_could_not_fetch(mien, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    answer = mien("demo", "--json")
    assert answer.code == 4
    assert photos.ARCHIVE in answer.json["error"]["message"]


def test_the_demo_may_be_repeated_and_replaces_nothing(mien, stage, tmp_path):
    stage(FILES)
    own = tmp_path / "kept" / "new" / "biden.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"somebody's own")
    (tmp_path / "mien-demo.jpg").write_bytes(b"somebody's own")
    assert "mien-demo-2.jpg" in mien("demo", "--keep", tmp_path / "kept").out
    assert mien("demo", "--sheet", "mien-demo.jpg").code == 2
    assert own.read_bytes() == (tmp_path / "mien-demo.jpg").read_bytes() == b"somebody's own"
