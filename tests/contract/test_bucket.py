"""What every Bucket does."""

from __future__ import annotations

import pytest

from mien.domain.errors import ImageNotFound
from tests.contract.backends import Ports

KEY = "uploaded/Zoë O'Neill/one+two three.jpg"
JPEG = b"\xff\xd8\xff some bytes"


def test_keeps_bytes_content_type_and_metadata(ports: Ports) -> None:
    ports.bucket.put(KEY, JPEG, "image/jpeg", {"user-id": "x"})
    image = ports.bucket.get(KEY)
    assert (image.body, image.content_type, image.metadata) == (JPEG, "image/jpeg", {"user-id": "x"})


def test_replaces_an_object_of_the_same_key(ports: Ports) -> None:
    ports.bucket.put(KEY, b"before", "image/png", {})
    ports.bucket.put(KEY, JPEG, "image/jpeg", {})
    assert ports.bucket.get(KEY).body == JPEG
    assert list(ports.bucket.keys("uploaded/")) == [KEY]


def test_says_what_is_not_there(ports: Ports) -> None:
    with pytest.raises(ImageNotFound):
        ports.bucket.get(KEY)


def test_lists_keys_by_prefix(ports: Ports) -> None:
    keys = {"uploaded/a/1.jpg", "uploaded/a/11.jpg", "uploaded/ab/1.jpg", "uploaded/_/1.jpg"}
    for key in keys:
        ports.bucket.put(key, JPEG, "image/jpeg", {})
    assert set(ports.bucket.keys("uploaded/")) == keys
    assert set(ports.bucket.keys("uploaded/a/")) == {"uploaded/a/1.jpg", "uploaded/a/11.jpg"}
    assert list(ports.bucket.keys("uploaded/a/1.jpg")) == ["uploaded/a/1.jpg"]
    assert list(ports.bucket.keys("uploaded/nobody/")) == []


def test_lists_more_keys_than_a_page_of_s3(ports: Ports) -> None:
    keys = {f"uploaded/many/{number}.jpg" for number in range(1100)}
    for key in keys:
        ports.bucket.put(key, b"x", "image/jpeg", {})
    assert set(ports.bucket.keys("uploaded/many/")) == keys
    assert ports.bucket.delete(sorted(keys)) == 1100


def test_deletes_and_counts(ports: Ports) -> None:
    ports.bucket.put(KEY, JPEG, "image/jpeg", {})
    assert ports.bucket.delete([KEY, "uploaded/a/none.jpg"]) == 1
    assert ports.bucket.delete([KEY]) == 0
    assert list(ports.bucket.keys("uploaded/")) == []


def test_deletes_a_folder_and_nothing_beside_it(ports: Ports) -> None:
    keys = ["uploaded/a/1.jpg", "uploaded/a/b/2.jpg", "uploaded/ab/1.jpg", "uploaded/_/1.jpg"]
    for key in keys:
        ports.bucket.put(key, JPEG, "image/jpeg", {})
    assert ports.bucket.holds("uploaded/a/")
    assert ports.bucket.delete_folder("uploaded/a/") == 2
    assert not ports.bucket.holds("uploaded/a/")
    assert ports.bucket.delete_folder("uploaded/a/") == 0
    assert set(ports.bucket.keys("uploaded/")) == set(keys[2:])


def test_remains_go_and_an_object_stays(ports: Ports) -> None:
    ports.bucket.put(KEY, JPEG, "image/jpeg", {"user-id": "x"})
    ports.bucket.delete_remains(KEY)
    assert ports.bucket.get(KEY).body == JPEG
    ports.bucket.delete([KEY])
    ports.bucket.delete_remains(KEY)
    assert not ports.bucket.holds(KEY.rpartition("/")[0] + "/")


def test_signs_a_form_for_one_key(ports: Ports) -> None:
    form = ports.bucket.presign(KEY, "image/jpeg", 1000, 60)
    assert form.image_path == KEY
    assert form.fields["key"] == KEY
    assert form.fields["Content-Type"] == "image/jpeg"
    assert form.expires_at.tzinfo is not None
