"""IndexFaces, ListFaces, DeleteFaces and the stateless operations."""

from __future__ import annotations

import io
import uuid

import pytest
from PIL import Image

from tests.support.painter import Portrait, encoded, encoded_with_orientation, paint


def index(client, collection, photo, **more):
    return client.index_faces(CollectionId=collection, Image={"Bytes": photo}, **more)


def count(client, collection):
    return client.describe_collection(CollectionId=collection)["FaceCount"]


def ids(answer):
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def test_a_photo_without_a_face_indexes_nothing(client, collection, album):
    answer = index(client, collection, album.nobody)
    assert (answer["FaceRecords"], answer["UnindexedFaces"]) == ([], [])
    assert client.detect_faces(Image={"Bytes": album.nobody})["FaceDetails"] == []


def test_the_largest_faces_are_indexed_and_the_others_named(client, collection, album):
    answer = index(client, collection, album.five, QualityFilter="NONE")
    areas = [r["Face"]["BoundingBox"]["Width"] * r["Face"]["BoundingBox"]["Height"] for r in answer["FaceRecords"]]
    assert len(areas) == 5
    assert areas == sorted(areas, reverse=True)
    answer = index(client, collection, album.five, QualityFilter="NONE", MaxFaces=1, ExternalImageId="one")
    assert len(answer["FaceRecords"]) == 1
    assert [face["Reasons"] for face in answer["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]] * 4
    assert all("BoundingBox" in face["FaceDetail"] for face in answer["UnindexedFaces"])


def test_the_same_photo_again_stores_nothing_new(client, collection, album):
    first, again = (index(client, collection, album.stranger, ExternalImageId="carl") for _ in range(2))
    assert ids(first) == ids(again)
    assert count(client, collection) == 1
    other = index(client, collection, album.stranger, ExternalImageId="carla")
    assert ids(other) != ids(first)
    assert other["FaceRecords"][0]["Face"]["ImageId"] == first["FaceRecords"][0]["Face"]["ImageId"]
    assert count(client, collection) == 2


def test_a_new_face_knows_its_photo_but_no_user_yet(client, collection, album, engine):
    record = index(client, collection, album.stranger, ExternalImageId="team:carl")["FaceRecords"][0]
    assert record["Face"].keys() == {"FaceId", "BoundingBox", "ImageId", "Confidence", "ExternalImageId"}
    assert str(uuid.UUID(record["Face"]["FaceId"])) == record["Face"]["FaceId"]
    assert record["FaceDetail"].keys() == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    (listed,) = client.list_faces(CollectionId=collection)["Faces"]
    assert listed["FaceId"] == record["Face"]["FaceId"]
    assert listed["IndexFacesModelVersion"].replace(".", "").isdigit()
    for side, value in record["Face"]["BoundingBox"].items():
        assert listed["BoundingBox"][side] == pytest.approx(value, abs=1e-6)


def test_list_faces_pages_and_filters(client, collection, album):
    made = ids(index(client, collection, album.five, QualityFilter="NONE"))
    pages = list(client.get_paginator("list_faces").paginate(CollectionId=collection, PaginationConfig={"PageSize": 2}))
    assert [len(page["Faces"]) for page in pages] == [2, 2, 1]
    assert {face["FaceId"] for page in pages for face in page["Faces"]} == set(made)
    assert all(page["FaceModelVersion"] for page in pages)
    some = client.list_faces(CollectionId=collection, FaceIds=[made[3], str(uuid.uuid4())])["Faces"]
    assert [face["FaceId"] for face in some] == [made[3]]
    token = client.list_faces(CollectionId=collection, MaxResults=2)["NextToken"]
    with pytest.raises(client.exceptions.InvalidPaginationTokenException):
        client.list_faces(CollectionId=collection, MaxResults=2, NextToken=token, FaceIds=made)


def test_delete_faces_tells_what_it_did_not_delete(client, collection, album):
    made = ids(index(client, collection, album.five, QualityFilter="NONE"))
    unknown = str(uuid.uuid4())
    client.create_user(CollectionId=collection, UserId="ann")
    client.associate_faces(CollectionId=collection, UserId="ann", FaceIds=made[:1])
    answer = client.delete_faces(CollectionId=collection, FaceIds=[made[0], made[1], unknown])
    assert answer["DeletedFaces"] == [made[1]]
    failed = {face["FaceId"]: face for face in answer["UnsuccessfulFaceDeletions"]}
    assert failed[made[0]]["Reasons"] == ["ASSOCIATED_TO_AN_EXISTING_USER"]
    assert failed[made[0]]["UserId"] == "ann"
    assert failed[unknown]["Reasons"] == ["FACE_NOT_FOUND"]
    assert count(client, collection) == 4


def test_detect_faces_gives_what_is_measured_and_invents_nothing(client, album):
    faces = client.detect_faces(Image={"Bytes": album.five}, Attributes=["ALL"])["FaceDetails"]
    assert len(faces) == 5
    for face in faces:
        assert face.keys() == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
        kinds = [point["Type"] for point in face["Landmarks"]]
        assert kinds == ["eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose"]
        box, nose = face["BoundingBox"], face["Landmarks"][4]
        assert box["Left"] < nose["X"] < box["Left"] + box["Width"]
        assert box["Top"] < nose["Y"] < box["Top"] + box["Height"]
        assert 0 <= face["Quality"]["Sharpness"] <= 100


def compare(client, source, target, **more):
    return client.compare_faces(SourceImage={"Bytes": source}, TargetImage={"Bytes": target}, **more)


def test_compare_puts_every_target_face_in_one_list(client, album):
    everyone = compare(client, album.five, album.five, SimilarityThreshold=0)
    assert (len(everyone["FaceMatches"]), len(everyone["UnmatchedFaces"])) == (5, 0)
    scores = [match["Similarity"] for match in everyone["FaceMatches"]]
    assert scores == sorted(scores, reverse=True)
    strict = compare(client, album.five, album.five, SimilarityThreshold=99)
    assert (len(strict["FaceMatches"]), len(strict["UnmatchedFaces"])) == (1, 4)
    assert strict["FaceMatches"][0]["Face"]["BoundingBox"] == strict["SourceImageFace"]["BoundingBox"]
    strictest = compare(client, album.same[0], album.same[1], SimilarityThreshold=100)
    assert (len(strictest["FaceMatches"]), len(strictest["UnmatchedFaces"])) == (0, 1)
    assert "Similarity" not in strictest["UnmatchedFaces"][0]


def test_compare_tells_one_person_from_another(client, album):
    assert compare(client, *album.same)["FaceMatches"][0]["Similarity"] > 80
    assert compare(client, album.same[0], album.stranger)["FaceMatches"] == []


def test_compare_needs_a_face_on_both_sides(client, album):
    for pair in ((album.nobody, album.five), (album.five, album.nobody)):
        with pytest.raises(client.exceptions.InvalidParameterException, match="Request has invalid parameters"):
            compare(client, *pair)


@pytest.mark.parametrize("turn", [3, 6, 8])
def test_exif_orientations_give_the_same_upright_boxes(client, turn):
    def boxes(content):
        return [list(f["BoundingBox"].values()) for f in client.detect_faces(Image={"Bytes": content})["FaceDetails"]]

    picture = paint("Ada", Portrait("Grace", side=160))
    upright = boxes(encoded(picture))
    assert len(upright) == 2
    assert boxes(encoded_with_orientation(picture, turn)) == [pytest.approx(box, abs=0.02) for box in upright]


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [("RGBA", "PNG", {}), ("CMYK", "JPEG", {}), ("L", "JPEG", {}), ("RGB", "JPEG", {"progressive": True})],
    ids=["alpha", "cmyk", "grey", "progressive"],
)
def test_kinds_of_jpeg_and_png(client, album, mode, kind, options):
    stream = io.BytesIO()
    Image.open(io.BytesIO(album.stranger)).convert(mode).save(stream, kind, **options)
    assert len(client.detect_faces(Image={"Bytes": stream.getvalue()})["FaceDetails"]) == 1
    assert compare(client, album.stranger, stream.getvalue())["FaceMatches"]
