"""A face lives as long as one of the photos that show it, on every backend."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from mien.domain.errors import FaceNotFound, ImageNotFound
from mien.domain.records import FaceRecord, RecognitionStatus, Upload, UploadStatus
from tests.contract.backends import Ports

COPIES = [f"uploaded/Robert/{name}.jpg" for name in ("one", "two", "three")]


def put(ports: Ports, path: str, photo: bytes) -> Upload:
    ports.bucket.put(path, photo, "image/jpeg", {})
    return ports.app.index_upload(path)


def is_known(ports: Ports, photo: bytes) -> bool:
    return ports.app.recognize(photo, store=False).faces[0].status is RecognitionStatus.MATCHED


def check(ports: Ports) -> None:
    """Every enrolled face has a photo, and every indexed photo has its faces."""
    uploads = [u for u in ports.catalog.find(Upload).items if u.status is UploadStatus.INDEXED]
    shown = {face_id for upload in uploads for face_id in upload.face_ids}
    records = ports.catalog.find(FaceRecord).items
    assert {record.face_id for record in records} == shown
    assert {record.image_path for record in records} <= set(ports.bucket.keys("uploaded/"))
    assert ports.recognizer.face_ids("Robert") == {r.face_id for r in records if r.user_id == "Robert"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_face_lives_until_the_last_copy_of_its_photo_goes(
    ports: Ports, robert: list[bytes], order: tuple[int, ...]
) -> None:
    (face_id,) = {upload.face_ids for upload in (put(ports, path, robert[0]) for path in COPIES)}
    for count, index in enumerate(order):
        assert is_known(ports, robert[1])
        ports.bucket.delete([COPIES[index]])
        if count % 2:
            ports.app.remove_upload(COPIES[index])
        else:
            with pytest.raises(ImageNotFound):
                ports.app.index_upload(COPIES[index])
        check(ports)
        remaining = {COPIES[i] for i in order[count + 1 :]}
        assert {face.image_path for face in ports.app.faces().items} <= remaining
        assert [face.face_id for face in ports.app.faces().items] == (list(face_id) if remaining else [])
    assert not is_known(ports, robert[1])
    assert ports.app.verify_erased("Robert") == ()


def test_copies_that_go_at_once_take_the_face_along(ports: Ports, robert: list[bytes]) -> None:
    for path in COPIES:
        put(ports, path, robert[0])
    ports.bucket.delete(COPIES)
    for path in COPIES:
        ports.app.remove_upload(path)
    check(ports)
    assert ports.app.verify_erased("Robert") == ()


def test_a_copy_that_is_replaced_leaves_the_face_to_the_others(
    ports: Ports, robert: list[bytes], landscape: bytes
) -> None:
    put(ports, COPIES[0], robert[0])
    put(ports, COPIES[1], robert[0])
    put(ports, COPIES[0], robert[2])
    check(ports)
    assert len(ports.app.faces().items) == 2
    assert put(ports, COPIES[1], landscape).status is UploadStatus.REJECTED
    check(ports)
    assert [face.image_path for face in ports.app.faces().items] == [COPIES[0]]


def test_the_same_photo_of_two_people_is_two_faces(ports: Ports, robert: list[bytes]) -> None:
    put(ports, COPIES[0], robert[0])
    put(ports, "uploaded/Bob/one.jpg", robert[0])
    ports.bucket.delete([COPIES[0]])
    ports.app.remove_upload(COPIES[0])
    check(ports)
    assert [face.user_id for face in ports.app.faces().items] == ["Bob"]


def test_copies_of_a_group_keep_all_its_faces(ports: Ports, group: bytes) -> None:
    paths = ["uploaded/_/one.jpg", "uploaded/_/two.jpg"]
    for path in paths:
        put(ports, path, group)
    ports.bucket.delete(paths[:1])
    ports.app.remove_upload(paths[0])
    check(ports)
    assert [face.image_path for face in ports.app.faces().items] == [paths[1]] * 3


def test_forgetting_somebody_on_a_photo_of_nobody_leaves_no_copy_without_its_faces(
    ports: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    put(ports, COPIES[0], robert[0])
    paths = ["uploaded/_/one.jpg", "uploaded/_/two.jpg"]
    for path in paths:
        put(ports, path, robert[1])
    ports.app.recognize_stored(paths[0])
    put(ports, "uploaded/_/venus.jpg", venus[0])
    ports.app.forget("Robert")
    check(ports)
    assert "uploaded/_/venus.jpg" in set(ports.bucket.keys("uploaded/"))
    assert paths[0] not in set(ports.bucket.keys("uploaded/"))


def test_a_deleted_face_is_on_no_copy(ports: Ports, robert: list[bytes], group: bytes) -> None:
    for path in (*COPIES, "uploaded/_/one.jpg", "uploaded/_/two.jpg"):
        put(ports, path, group if path.startswith("uploaded/_") else robert[0])
    ports.app.delete_face(ports.app.upload_status(COPIES[0]).face_ids[0])
    check(ports)
    assert not set(COPIES) & set(ports.bucket.keys("uploaded/"))
    ports.app.delete_face(ports.app.upload_status("uploaded/_/two.jpg").face_ids[1])
    check(ports)
    for path in ("uploaded/_/one.jpg", "uploaded/_/two.jpg"):
        assert len(ports.app.upload_status(path).face_ids) == 2


def test_a_photo_that_is_deleted_while_one_of_its_faces_is_leaves_no_upload(
    ports: Ports, group: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "uploaded/_/group.jpg"
    face_id = put(ports, path, group).face_ids[0]
    catalog: Any = ports.catalog
    store = catalog.put

    def delete_meanwhile(*records: Any, **named: Any) -> bool:
        if path in ports.bucket.keys(path):
            ports.bucket.delete([path])
            ports.app.remove_upload(path)
        return bool(store(*records, **named))

    monkeypatch.setattr(catalog, "put", delete_meanwhile)
    ports.app.delete_face(face_id)
    assert ports.catalog.find(Upload).items == ()
    assert ports.catalog.find(FaceRecord).items == ()


def test_a_photo_that_is_deleted_while_it_is_marked_as_failed_leaves_no_upload(
    ports: Ports, robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports.bucket.put(COPIES[0], robert[0], "image/jpeg", {})
    catalog: Any = ports.catalog
    store = catalog.put

    def delete_first(*records: Any, **named: Any) -> bool:
        ports.bucket.delete([COPIES[0]])
        return bool(store(*records, **named))

    monkeypatch.setattr(catalog, "put", delete_first)
    with pytest.raises(ImageNotFound):
        ports.app.mark_failed(COPIES[0])
    assert ports.catalog.find(Upload).items == ()


def test_a_photo_that_is_stored_again_loses_nothing(ports: Ports, robert: list[bytes]) -> None:
    (face_id,) = put(ports, COPIES[0], robert[0]).face_ids
    ports.app.remove_upload(COPIES[0])
    assert ports.app.face(face_id).image_path == COPIES[0]
    check(ports)


def test_an_indexed_photo_without_its_face_is_indexed_again(ports: Ports, robert: list[bytes]) -> None:
    (face_id,) = put(ports, COPIES[0], robert[0]).face_ids
    ports.recognizer.delete([face_id])
    ports.catalog.delete(FaceRecord, [face_id])
    with pytest.raises(FaceNotFound):
        ports.app.face(face_id)
    ports.app.index_upload(COPIES[0])
    check(ports)
    assert is_known(ports, robert[1])
