"""Unknown faces of a folder are grouped and named from the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mien.app.groups import GroupService
from mien.domain.groups import NO_GROUPS
from tests.support.painter import photo_of


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
    assert "See them: people.jpg, or" in mien("discover", pile, "--sheet", "people.jpg").out


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


def test_the_faces_of_a_group_are_listed_by_the_ids_that_divide_it(mien, pile, tmp_path):
    ada = mien("discover", pile, "--json").json["groups"][0]["group_id"]
    listed = mien("groups", "faces", ada, "--sheet", tmp_path / "ada.jpg", "--json").json["faces"]
    assert (tmp_path / "ada.jpg").read_bytes().startswith(b"\xff\xd8")
    ids = [face["face_id"] for face in listed]
    assert len(ids) == 3
    shown = mien("groups", "faces", ada, "--limit", "2").out
    assert [face_id in shown for face_id in ids] == [True, True, False]
    parts = mien("groups", "split", ada, ids[2], "--json").json["groups"]
    second = parts[1]["group_id"]
    assert [face["face_id"] for face in mien("groups", "faces", second, "--json").json["faces"]] == ids[2:]
    assert mien("groups", "faces", "g-0123456789abcdef").code == 1


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


def test_who_is_interrupted_learns_how_far_it_came_and_goes_on(mien, pile, monkeypatch):
    remember_many = GroupService.remember_many

    def interrupted(self: GroupService, images: Iterator[bytes]) -> Iterator[object]:
        yield next(remember_many(self, images))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GroupService, "remember_many", interrupted)
        answer = mien("discover", pile)
        assert answer.code == 130
        assert "4 photos not reached: repeat the command to go on." in answer.out
        assert mien("discover", pile, "--json").json["error"]["message"] == "Interrupted."
    assert "not reached" not in mien("discover", pile).out
    assert [group["faces"] for group in mien("groups", "list", "--json").json["groups"]] == [3, 2]


@pytest.mark.parametrize("words", [["discover", "."], ["groups", "list"], ["groups", "name", "g-1", "Ada"]])
def test_groups_are_refused_on_aws_before_anything_is_asked_of_it(mien, words):
    answer = mien(*words, "--backend", "aws", "--json")
    assert (answer.code, answer.json["error"]["message"]) == (2, NO_GROUPS)
