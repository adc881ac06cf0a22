"""The coverage page is up to date, and true: answers have the members that it claims and no others."""

from __future__ import annotations

import json
from pathlib import Path

from botocore.model import ListShape, MapShape, StructureShape

from mien.rekognition.coverage import answered_members, document
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.parsing import operation_model

PAGE = Path(__file__).parents[2] / "docs" / "rekognition-coverage.md"
TYPES = {"string": str, "integer": int, "long": int, "float": float, "timestamp": float}


def test_the_page_is_what_the_generator_writes():
    assert PAGE.read_text("utf-8") == document()


def members(shape, value, path=""):
    """Paths in an answer; fails on a member or a type that the model does not know."""
    if isinstance(shape, StructureShape):
        assert value.keys() <= shape.members.keys(), path
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from members(shape.members[name], inner, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for inner in value:
            yield from members(shape.member, inner, f"{path}[]")
    elif isinstance(shape, MapShape):
        assert all(isinstance(item, str) for pair in value.items() for item in pair), path
    else:
        assert isinstance(value, TYPES[shape.type_name]), (path, value)
        assert not isinstance(value, str) or value in (getattr(shape, "enum", None) or [value]), (path, value)
        assert "max" not in shape.metadata or not isinstance(value, float) or value <= shape.metadata["max"], path


class Recorder:
    """Calls operations with boto3 and notes which members the raw answers hold."""

    def __init__(self, client):
        self.seen = {name: set() for name in OPERATIONS}
        client.meta.events.register("after-call.rekognition.*", self._note)

    def _note(self, http_response, model, **_):
        answer = json.loads(http_response.content)
        self.seen[model.name] |= set(members(model.output_shape, answer))


def test_answers_have_exactly_the_members_that_the_page_claims(server, album):
    client = server.client()
    recorder = Recorder(client)
    here = {"CollectionId": "covered"}
    one, two, five = ({"Bytes": photo} for photo in (album.same[0], album.same[1], album.five))
    arn = client.create_collection(**here, Tags={"a": "b"})["CollectionArn"]
    client.tag_resource(ResourceArn=arn, Tags={"c": "d"})
    client.untag_resource(ResourceArn=arn, TagKeys=["c"])
    client.list_tags_for_resource(ResourceArn=arn)
    client.create_collection(CollectionId="covered-too")
    client.list_collections(MaxResults=1)
    client.delete_collection(CollectionId="covered-too")
    bea = [
        client.index_faces(**here, Image=image, ExternalImageId="bea")["FaceRecords"][0]["Face"]["FaceId"]
        for image in (one, two)
    ]
    group = client.index_faces(**here, Image=five, QualityFilter="NONE", MaxFaces=2)["FaceRecords"]
    stranger, other = (record["Face"]["FaceId"] for record in group)
    for user, face in (("bea", bea[0]), ("eve", stranger), ("bea-too", bea[1])):
        client.create_user(**here, UserId=user)
        client.associate_faces(**here, UserId=user, FaceIds=[face])
    client.associate_faces(**here, UserId="bea", FaceIds=[stranger, other])
    client.disassociate_faces(**here, UserId="bea", FaceIds=[stranger])
    client.list_users(**here, MaxResults=1)
    client.list_faces(**here)
    client.list_faces(**here, MaxResults=1)
    client.describe_collection(**here)
    client.search_faces(**here, FaceId=bea[0])
    client.search_faces_by_image(**here, Image=one)
    client.search_users(**here, FaceId=bea[0])
    client.search_users(**here, UserId="bea")
    client.search_users_by_image(**here, Image=one)
    client.search_users_by_image(**here, Image=five)
    client.compare_faces(SourceImage=five, TargetImage=five)
    client.detect_faces(Image=five, Attributes=["ALL"])
    client.disassociate_faces(**here, UserId="eve", FaceIds=[stranger])
    client.delete_faces(**here, FaceIds=[bea[0], stranger])
    client.delete_user(**here, UserId="bea")
    client.delete_collection(**here)
    for name, seen in recorder.seen.items():
        claimed = set(answered_members(operation_model(name).output_shape))
        assert {p for p in claimed if not never(p)} == seen - {p for p in seen if never(p)}, name


def never(path: str) -> bool:
    """Members of Face that only some answers hold: a new face has no user and no version, a stored one may."""
    return path.endswith((".IndexFacesModelVersion", ".UserId", ".ExternalImageId"))
