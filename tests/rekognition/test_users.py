"""Users: people with several faces, searched as one."""

from __future__ import annotations

import io
import uuid

import pytest
from PIL import Image


@pytest.fixture
def faces(client, collection, album):
    """Bea's two faces and Carl's, by label."""
    photos = {"bea-1": album.same[0], "bea-2": album.same[1], "carl": album.stranger}
    answers = {k: client.index_faces(CollectionId=collection, Image={"Bytes": v}) for k, v in photos.items()}
    return {label: answer["FaceRecords"][0]["Face"]["FaceId"] for label, answer in answers.items()}


@pytest.fixture
def bea(client, collection):
    client.create_user(CollectionId=collection, UserId="bea")
    return "bea"


def associate(client, collection, user, *face_ids, **more):
    return client.associate_faces(CollectionId=collection, UserId=user, FaceIds=list(face_ids), **more)


def statuses(client, collection):
    return {u["UserId"]: u["UserStatus"] for u in client.list_users(CollectionId=collection)["Users"]}


def test_a_user_is_created_and_becomes_active_with_faces(client, collection, bea, faces):
    assert statuses(client, collection) == {"bea": "CREATED"}
    answer = associate(client, collection, bea, faces["bea-1"], faces["bea-2"])
    assert answer["UserStatus"] in ("UPDATING", "ACTIVE")
    assert {face["FaceId"] for face in answer["AssociatedFaces"]} == {faces["bea-1"], faces["bea-2"]}
    assert answer["UnsuccessfulFaceAssociations"] == []
    assert statuses(client, collection) == {"bea": "ACTIVE"}
    listed = client.list_faces(CollectionId=collection, UserId=bea)["Faces"]
    assert {face["UserId"] for face in listed} == {"bea"}
    assert client.describe_collection(CollectionId=collection)["UserCount"] == 1


def test_a_strangers_face_is_not_associated(client, collection, bea, faces):
    associate(client, collection, bea, faces["bea-1"])
    (failed,) = associate(client, collection, bea, faces["carl"])["UnsuccessfulFaceAssociations"]
    assert failed["Reasons"] == ["LOW_MATCH_CONFIDENCE"]
    assert failed["Confidence"] < 75
    assert associate(client, collection, bea, faces["carl"], UserMatchThreshold=0)["AssociatedFaces"]


def test_a_face_belongs_to_one_user_and_once(client, collection, bea, faces):
    associate(client, collection, bea, faces["bea-1"])
    again = associate(client, collection, bea, faces["bea-1"])
    assert (again["AssociatedFaces"], again["UnsuccessfulFaceAssociations"]) == ([], [])
    client.create_user(CollectionId=collection, UserId="eve")
    unknown = str(uuid.uuid4())
    failed = associate(client, collection, "eve", faces["bea-1"], unknown)["UnsuccessfulFaceAssociations"]
    told = {face["FaceId"]: (face["Reasons"], face.get("UserId")) for face in failed}
    assert told[faces["bea-1"]] == (["ASSOCIATED_TO_A_DIFFERENT_USER"], "bea")
    assert told[unknown][0] == ["FACE_NOT_FOUND"]


def test_faces_are_disassociated_from_a_user(client, collection, bea, faces):
    associate(client, collection, bea, faces["bea-1"])
    given = [faces["bea-1"], str(uuid.uuid4())]
    answer = client.disassociate_faces(CollectionId=collection, UserId=bea, FaceIds=given)
    assert answer["DisassociatedFaces"] == [{"FaceId": faces["bea-1"]}]
    assert [face["Reasons"] for face in answer["UnsuccessfulFaceDisassociations"]] == [["FACE_NOT_FOUND"]]
    assert client.list_faces(CollectionId=collection, UserId=bea)["Faces"] == []


def test_a_deleted_user_leaves_its_faces(client, collection, bea, faces):
    associate(client, collection, bea, faces["bea-1"])
    client.delete_user(CollectionId=collection, UserId=bea)
    assert statuses(client, collection) == {}
    assert client.describe_collection(CollectionId=collection)["FaceCount"] == 3
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.delete_user(CollectionId=collection, UserId=bea)


def test_a_repeated_call_is_done_once(client, collection, bea):
    for _ in range(2):
        client.create_user(CollectionId=collection, UserId="ann", ClientRequestToken="same")
    with pytest.raises(client.exceptions.ConflictException):
        client.create_user(CollectionId=collection, UserId="ann", ClientRequestToken="new")


def test_the_101st_face_is_over_the_quota(client, collection, album):
    client.create_user(CollectionId=collection, UserId="bea")
    made = []
    for number in range(21):
        answer = client.index_faces(
            CollectionId=collection, Image={"Bytes": album.five}, ExternalImageId=str(number), QualityFilter="NONE"
        )
        made += [record["Face"]["FaceId"] for record in answer["FaceRecords"]]
    assert len(associate(client, collection, "bea", *made[:100], UserMatchThreshold=0)["AssociatedFaces"]) == 100
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        associate(client, collection, "bea", made[100], UserMatchThreshold=0)


def test_users_are_found_by_user_and_by_face(client, collection, bea, faces):
    associate(client, collection, bea, faces["bea-1"])
    client.create_user(CollectionId=collection, UserId="twin")
    associate(client, collection, "twin", faces["bea-2"])
    client.create_user(CollectionId=collection, UserId="faceless")
    by_user = client.search_users(CollectionId=collection, UserId="bea")
    assert [match["User"] for match in by_user["UserMatches"]] == [{"UserId": "twin", "UserStatus": "ACTIVE"}]
    assert by_user["SearchedUser"] == {"UserId": "bea"}
    by_face = client.search_users(CollectionId=collection, FaceId=faces["carl"])
    assert by_face["UserMatches"] == []
    assert by_face["SearchedFace"] == {"FaceId": faces["carl"]}
    everyone = client.search_users(CollectionId=collection, FaceId=faces["carl"], UserMatchThreshold=0, MaxUsers=1)
    assert len(everyone["UserMatches"]) == 1
    for terms in ({}, {"UserId": "bea", "FaceId": faces["carl"]}):
        with pytest.raises(client.exceptions.InvalidParameterException):
            client.search_users(CollectionId=collection, **terms)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.search_users(CollectionId=collection, UserId="nobody")


def by_image(client, collection, photo, **more):
    return client.search_users_by_image(CollectionId=collection, Image={"Bytes": photo}, **more)


def test_users_are_found_by_photo(client, collection, bea, faces, album):
    associate(client, collection, bea, faces["bea-1"])
    answer = by_image(client, collection, album.same[1])
    assert [match["User"]["UserId"] for match in answer["UserMatches"]] == ["bea"]
    assert "Landmarks" in answer["SearchedFace"]["FaceDetail"]
    assert answer["UnsearchedFaces"] == []
    group = by_image(client, collection, album.five)
    assert [face["Reasons"] for face in group["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]] * 4
    assert all("BoundingBox" in face["FaceDetails"] for face in group["UnsearchedFaces"])


def test_a_photo_without_a_face_finds_nobody(client, collection, album):
    answer = by_image(client, collection, album.nobody)
    assert answer["UserMatches"] == []
    assert "SearchedFace" not in answer


def test_a_face_that_the_filter_keeps_out_is_not_searched(client, collection, album):
    small = Image.open(io.BytesIO(album.five))
    stream = io.BytesIO()
    small.resize((small.width // 4, small.height // 4)).save(stream, "JPEG")
    answer = by_image(client, collection, stream.getvalue(), QualityFilter="HIGH")
    assert "SearchedFace" not in answer
    assert "SMALL_BOUNDING_BOX" in answer["UnsearchedFaces"][0]["Reasons"]


def test_the_paginator_walks_all_users(client, collection):
    for name in ("ann", "bob", "cleo"):
        client.create_user(CollectionId=collection, UserId=name)
    pages = client.get_paginator("list_users").paginate(CollectionId=collection, PaginationConfig={"PageSize": 1})
    assert sorted(user["UserId"] for page in pages for user in page["Users"]) == ["ann", "bob", "cleo"]
