"""Recognising, finding and comparing: the answers, their exit codes and annotated images."""

from __future__ import annotations

import pytest
from PIL import Image

from mien.backends.embedded import maintenance
from mien.cli import output
from mien.gallery import Gallery
from mien.gallery.scoring import Calibration
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of


@pytest.fixture
def known(mien, people):
    """Ada and Grace are enrolled."""
    assert mien("enroll", people).code == 0
    return mien


@pytest.fixture
def shown(tmp_path):
    """A folder of new photos."""
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "ada.jpg").write_bytes(photo_of("Ada", photo=7))
    (folder / "group.jpg").write_bytes(photo_of("Edith", "Grace", photo=7))
    (folder / "nobody.jpg").write_bytes(photo_of(photo=7))
    return folder


def test_everybody_on_every_photo_is_named(known, shown):
    answer = known("recognize", shown, "--json")
    assert answer.code == 0
    assert [[face["name"] for face in photo["faces"]] for photo in answer.json["photos"]] == [
        ["Ada"],
        [None, "Grace"],
        [],
    ]
    assert {face["status"] for photo in answer.json["photos"] for face in photo["faces"]} == {"matched", "unknown"}


def test_a_person_reads_names_and_similarities(known, shown):
    answer = known("recognize", shown)
    assert "Ada" in answer.out
    assert "unknown" in answer.out
    assert "no face" in answer.out


def test_nobody_recognised_is_exit_code_1(known, shown):
    assert known("recognize", shown / "nobody.jpg").code == 1


def test_the_threshold_decides_who_is_recognised(known, shown):
    (shown / "edith.jpg").write_bytes(photo_of("Edith", photo=7))
    assert known("recognize", shown / "edith.jpg").code == 1
    assert known("recognize", shown / "edith.jpg", "--threshold", "0").code == 0


def test_a_photo_that_cannot_be_used_is_exit_code_3(known, shown):
    (shown / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    answer = known("recognize", shown, "--json")
    assert answer.code == 3
    assert [photo["error"]["code"] for photo in answer.json["photos"] if "error" in photo] == ["damaged_image"]


def test_answers_are_kept_unless_they_shall_not(known, shown):
    known("recognize", shown / "ada.jpg", "--no-store")
    assert known("forget", "Ada", "--yes", "--json").json["recognitions"] == 0
    known("recognize", shown / "group.jpg")
    assert known("forget", "Grace", "--yes", "--json").json["recognitions"] == 1


@pytest.mark.parametrize("name", ["out.jpg", "out.png", "out.webp"])
def test_one_photo_is_annotated(known, shown, tmp_path, name):
    assert known("recognize", shown / "group.jpg", "--annotate", name).code == 0
    with Image.open(tmp_path / name) as drawn:
        assert len(drawn.convert("RGB").getcolors(1 << 20)) > 3


def test_several_photos_become_a_contact_sheet(known, shown, tmp_path):
    known("recognize", shown, "--annotate", "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.width > 3 * 400


def test_a_contact_sheet_has_an_end(known, shown):
    answer = known("recognize", *[shown / "ada.jpg"] * 201, "--annotate", "sheet.jpg")
    assert answer.code == 2
    assert "at most 200" in answer.err


@pytest.mark.parametrize("name", ["out.txt", "out", "nowhere/out.jpg"])
def test_an_image_that_cannot_be_written_is_said_before_the_work(known, shown, name):
    answer = known("recognize", shown, "--annotate", name, "--json")
    assert answer.code == 2
    assert answer.json["error"]["code"] == "invalid_input"


def test_faces_are_found(mien, shown):
    answer = mien("detect", shown / "group.jpg", "--json")
    assert answer.code == 0
    assert len(answer.json["photos"][0]["faces"]) == 2
    assert {"bounding_box", "landmarks", "confidence", "pose", "quality"} <= set(answer.json["photos"][0]["faces"][0])


@pytest.mark.parametrize(("columns", "is_whole"), [(80, False), (140, True)])
def test_a_table_of_faces_fits_into_the_window(mien, shown, monkeypatch, columns, is_whole):
    monkeypatch.setattr(output, "PIPED_WIDTH", columns)
    photo = (shown / "group.jpg").rename("a-photo-of-the-longest-name-shown.jpg")
    answer = mien("detect", photo)
    heading, _, *rows = answer.out.strip().splitlines()
    assert heading.split()[:2] == ["Photo", "Face"]
    assert len(rows) == 2
    assert max(map(len, answer.out.splitlines())) <= columns
    assert ("pitch" in heading, "wider window" in answer.err) == (is_whole, not is_whole)


def test_no_face_found_is_exit_code_1(mien, shown):
    answer = mien("detect", shown / "nobody.jpg")
    assert answer.code == 1
    assert "no face" in answer.out


def test_the_same_person_on_two_photos(mien, people, shown):
    answer = mien("compare", shown / "ada.jpg", people / "Ada" / "0.jpg", "--json")
    assert answer.code == 0
    assert answer.json["same_person"] is True


def test_different_people_on_two_photos(mien, people, shown):
    answer = mien("compare", shown / "ada.jpg", people / "Grace" / "0.jpg")
    assert answer.code == 1
    assert "another person" in answer.out


def test_a_source_without_a_face_is_said(mien, shown):
    answer = mien("compare", shown / "nobody.jpg", shown / "ada.jpg", "--json")
    assert answer.code == 3
    assert answer.json["error"]["code"] == "no_face"
    assert answer.err


@pytest.mark.parametrize(("threshold", "same"), [("80", 0), ("fmr=0.5", 0), ("1e-4", 0), ("100", 1)])
def test_compare_takes_error_rates(mien, shown, threshold, same):
    (shown / "again.jpg").write_bytes(photo_of("Ada", photo=8))
    answer = mien("compare", shown / "ada.jpg", shown / "again.jpg", "--threshold", threshold)
    assert answer.code == same
    assert "pairs of strangers" in answer.err


def test_the_usual_threshold_may_be_an_error_rate(known, shown, monkeypatch):
    monkeypatch.setenv("MIEN_THRESHOLD", "fmr=1e-4")
    (photo,) = known("recognize", shown / "ada.jpg", "--json").json["photos"]
    assert photo["threshold"] == pytest.approx(80)
    assert photo["threshold_fmr"] == pytest.approx(1e-4)
    assert photo["threshold_fpir"] == pytest.approx(3e-4, rel=1e-3)  # three faces are enrolled


def test_compare_speaks_of_the_same_similarity_as_recognize(known, people, shown, tmp_path):
    (shown / "grace.jpg").write_bytes(photo_of("Grace", photo=8))
    gallery = Gallery(tmp_path / "data", FakeFaceEngine().model_version)
    maintenance.set_calibration(gallery, "face-collection", Calibration(offset=0.4, comparisons=1000))
    gallery.close()
    (photo,) = known("recognize", shown / "grace.jpg", "--threshold", "0", "--json").json["photos"]
    (found,) = known("compare", people / "Grace" / "0.jpg", shown / "grace.jpg", "--json").json["faces"]
    assert found["similarity"] < 99.99  # by the shipped calibration it is more
    assert photo["faces"][0]["similarity"] == pytest.approx(found["similarity"], abs=1e-3)


def test_an_image_that_was_not_written_is_not_said_to_be(known, shown, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(photo_of("Ada")[:2000])
    answer = known("recognize", tmp_path / "broken.jpg", "--annotate", tmp_path / "names.jpg")
    assert "Written" not in answer.err
    assert not (tmp_path / "names.jpg").exists()
    no_group = known("groups", "list", "--sheet", tmp_path / "groups.jpg", "--json").json
    assert (no_group["sheet"], (tmp_path / "groups.jpg").exists()) == (None, False)


@pytest.mark.parametrize("command", ["recognize", "detect"])
def test_a_folder_without_photos_is_told_so(known, tmp_path, command):
    (tmp_path / "empty").mkdir()
    assert known(command, tmp_path / "empty").out == "No photos were found.\n"


def test_a_photo_in_which_no_face_can_be_sought_is_named_below_the_others(known, shown, tmp_path):
    (shown / "broken.jpg").write_bytes(photo_of("Ada")[:2000])
    answer = known("detect", shown)
    assert answer.code == 3
    assert "broken.jpg" not in answer.out
    assert "broken.jpg: The photo is damaged or cut short." in " ".join(answer.err.split())
