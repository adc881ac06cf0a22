"""What a command writes for its caller is a new file: none that exists is lost, and the data folder gets none."""

from __future__ import annotations

import os
import stat

import pytest

from mien.cli import new_files
from mien.domain.errors import AlreadyExists
from tests.support.painter import photo_of

KEPT = b"somebody's own"


@pytest.fixture
def known(mien, people, tmp_path):
    """Two people are enrolled, a stranger is grouped, and photo.jpg shows Ada."""
    assert mien("enroll", people).code == 0
    (tmp_path / "stranger.jpg").write_bytes(photo_of("Edith"))
    assert mien("discover", tmp_path / "stranger.jpg").code == 0
    (tmp_path / "photo.jpg").write_bytes(photo_of("Ada", photo=8))
    return mien


@pytest.fixture(params=["recognize", "discover", "groups list", "groups faces", "audit", "evaluate"])
def write(request, known, people):
    """Runs each command that writes a file, on a file of the caller's choice."""

    def group() -> str:
        return known("groups", "list", "--min-faces", "1", "--json").json["groups"][0]["group_id"]

    words = {
        "recognize": lambda: ("recognize", "photo.jpg", "--annotate"),
        "discover": lambda: ("discover", "stranger.jpg", "--min-faces", "1", "--sheet"),
        "groups list": lambda: ("groups", "list", "--min-faces", "1", "--sheet"),
        "groups faces": lambda: ("groups", "faces", group(), "--sheet"),
        "audit": lambda: ("audit", "--export"),
        "evaluate": lambda: ("evaluate", people, "--report"),
    }[request.param]()
    return lambda file: known(*words, file)


def test_a_file_that_exists_is_never_replaced(write, tmp_path):
    (tmp_path / "own.jpg").write_bytes(KEPT)
    answer = write("own.jpg")
    assert (answer.code, answer.err) == (
        2,
        "own.jpg exists already, and Mien never replaces a file: name another one, or remove it first.\n",
    )
    assert (tmp_path / "own.jpg").read_bytes() == KEPT


def test_a_new_file_is_written_whole_and_nothing_is_left_beside_it(write, tmp_path):
    before = set(tmp_path.iterdir())
    assert write("new.jpg").code == 0
    assert (tmp_path / "new.jpg").stat().st_size > 0
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "new.jpg", tmp_path / "state"}


@pytest.mark.parametrize("place", ["data/new.jpg", "data/bucket/uploaded/new.jpg", "shortcut/new.jpg"])
def test_nothing_is_written_into_the_data_folder(write, tmp_path, place):
    (tmp_path / "shortcut").symlink_to("data/bucket")
    answer = write(place)
    assert answer.code == 2
    assert "data folder" in answer.err
    assert not (tmp_path / place).exists()


def test_nothing_is_written_to_where_the_folder_of_photos_was_moved(write, tmp_path):
    (tmp_path / "data" / "bucket").rename(tmp_path / "disk")
    (tmp_path / "data" / "bucket").symlink_to(tmp_path / "disk")
    assert write("disk/new.jpg").code == 2
    assert not (tmp_path / "disk" / "new.jpg").exists()


def test_a_photo_is_not_replaced_by_its_own_picture(known, tmp_path):
    photo = (tmp_path / "photo.jpg").read_bytes()
    assert known("recognize", "photo.jpg", "--annotate", "photo.jpg").code == 2
    assert (tmp_path / "photo.jpg").read_bytes() == photo


def test_links_are_not_followed_and_a_pipe_does_not_hang(known, tmp_path):
    (tmp_path / "dangling.jsonl").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert known("audit", "--export", "dangling.jsonl").code == 2
    assert known("audit", "--export", "pipe.jsonl").code == 2
    assert not (tmp_path / "elsewhere").exists()


def test_an_export_of_the_audit_log_is_for_its_owner_only(known, tmp_path):
    assert known("audit", "--export", "log.jsonl").code == 0
    assert stat.S_IMODE((tmp_path / "log.jsonl").stat().st_mode) == 0o600


def test_a_name_that_is_taken_meanwhile_stays_with_whoever_took_it(tmp_path):
    file = tmp_path / "new"

    def write_late() -> None:
        with new_files.writing(file) as stream:
            stream.write(b"late")
            file.write_bytes(KEPT)

    with pytest.raises(AlreadyExists, match="exists already"):
        write_late()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert file.read_bytes() == KEPT


def test_an_error_leaves_no_file(tmp_path):
    def write_half() -> None:
        with new_files.writing(tmp_path / "new") as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []
