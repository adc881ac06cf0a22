"""Naming on the command line: people are enrolled, renamed and merged by name, and ids do not tell it."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from tests.support.painter import photo_of


def enrolled(mien) -> dict[str, dict[str, object]]:
    return {person["name"]: person for person in mien("people", "--json").json["people"]}


def test_a_folder_of_people_makes_ids_that_do_not_tell_names(mien, people, tmp_path):
    answer = mien("enroll", people, "--json").json
    assert {photo["name"] for photo in answer["photos"]} == {"Ada", "Grace"}
    assert all(re.fullmatch("p-[a-z0-9]{16}", person["user_id"]) for person in enrolled(mien).values())
    assert not any(name in str(path) for path in (tmp_path / "data").rglob("*") for name in ("Ada", "Grace"))


def test_a_person_is_renamed_and_enrolled_under_the_new_name(mien, people):
    mien("enroll", people)
    user_id = enrolled(mien)["Ada"]["user_id"]
    assert mien("rename", "Ada", "Ada Lovelace", "--json").json["user_id"] == user_id
    assert "Ada Lovelace" in mien("recognize", people / "Ada" / "0.jpg").out
    (people / "Ada" / "9.jpg").write_bytes(photo_of("Ada", photo=9))
    mien("enroll", people / "Ada" / "9.jpg", "--user", "Ada Lovelace")
    assert enrolled(mien)["Ada Lovelace"]["faces"] == 3
    assert mien("rename", user_id, "Grace").code == 2
    assert mien("rename", user_id, "grace").err.endswith("Did you mean Grace?\n")
    assert mien("rename", "Nobody", "Name").code == 1
    assert mien("forget", "Ada Lovelace", "--yes").code == 0
    for text in ("Ada Lovelace", user_id):
        assert mien("verify-erased", text).code == 0


def test_an_erased_person_is_verified_by_name_though_nobody_has_it_any_more(mien, people, tmp_path):
    mien("enroll", people)
    user_id = enrolled(mien)["Ada"]["user_id"]
    assert f"To verify it: mien verify-erased {user_id}\n" in mien("forget", "Ada", "--yes").out
    assert mien("verify-erased", "Ada").code == mien("verify-erased", user_id).code == 0
    left = tmp_path / "data" / "bucket" / "uploaded" / str(user_id)
    left.mkdir()
    (left / "left.jpg").write_bytes(photo_of("Ada"))
    for text in ("Ada", "ada", user_id):
        answer = mien("verify-erased", text)
        assert (answer.code, answer.out) == (1, f"Data of {text} remains in: bucket.\n")


def test_everybody_who_was_merged_is_verified_by_the_name_and_the_id_of_the_erased_person(mien, people, tmp_path):
    mien("enroll", people)
    ids = {name: str(person["user_id"]) for name, person in enrolled(mien).items()}
    mien("merge", "Ada", "Grace")
    mien("forget", "Grace", "--yes")
    left = tmp_path / "data" / "bucket" / "uploaded" / ids["Ada"]
    left.mkdir()
    (left / "left.jpg").write_bytes(photo_of("Ada"))
    for text in ("Grace", ids["Grace"], "Ada", ids["Ada"]):
        assert mien("verify-erased", text).code == 1


def test_nothing_is_verified_of_whom_no_receipt_tells(mien, people):
    mien("enroll", people)
    mien("forget", "Ada", "--yes")
    for text in ("Adam", "p-0123456789abcdef"):
        answer = mien("verify-erased", text)
        assert (answer.code, answer.err) == (1, "Nobody was erased under this name or id.\n")


def test_a_receipt_of_an_earlier_version_is_found_by_id(mien, people, tmp_path):
    mien("enroll", people)
    user_id = enrolled(mien)["Ada"]["user_id"]
    mien("forget", "Ada", "--yes")
    with sqlite3.connect(tmp_path / "data" / "mien.db") as database:
        database.execute("UPDATE ErasureReceipts SET Item = json_remove(Item, '$.SealedIds')")
    assert mien("verify-erased", user_id).code == 0
    assert mien("verify-erased", "Ada").code == 1


def test_no_file_tells_the_name_or_the_id_of_an_erased_person(mien, people, tmp_path):
    mien("enroll", people)
    user_id = str(enrolled(mien)["Ada"]["user_id"])
    mien("forget", "Ada", "--yes")
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    for text in ("Ada", user_id, user_id.encode().hex()):
        assert text.encode() not in stored


def test_a_folder_that_looks_like_another_person_is_refused_and_the_others_are_taken(mien, people):
    mien("enroll", people)
    (people / "Ada").rename(people / "ada")
    answer = mien("enroll", people, "--json")
    assert answer.code == 3
    assert {Path(p["photo"]).parent.name for p in answer.json["photos"] if p["outcome"] == "refused"} == {"ada"}
    assert set(enrolled(mien)) == {"Ada", "Grace"}


def test_two_people_are_merged_and_told_apart_again(mien, people):
    mien("enroll", people)
    ada = enrolled(mien)["Ada"]["user_id"]
    assert mien("merge", "Ada", "Grace", "--json").json["merged"] == [ada]
    assert {name: person["faces"] for name, person in enrolled(mien).items()} == {"Grace": 3}
    assert "Grace" in mien("recognize", people / "Ada" / "0.jpg").out
    assert mien("merge", "Ada").code == 2
    assert mien("merge", "--undo", ada).out == "Ada is a person of their own again.\n"
    assert {name: person["faces"] for name, person in enrolled(mien).items()} == {"Ada": 2, "Grace": 1}
