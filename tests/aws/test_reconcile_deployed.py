"""The scheduled function on the deployed stack, with its own role."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config

from mien.domain.object_keys import installation_mark
from tests.aws import local
from tests.aws.conftest import Deployment
from tests.aws.rekognition import COLLECTION

pytestmark = pytest.mark.aws


def test_own_faces_are_removed_and_those_of_others_stay(deployment: Deployment, venus: list[bytes]) -> None:
    rekognition = boto3.client("rekognition", endpoint_url=deployment.rekognition_url, **local.CREDENTIALS)
    mark = installation_mark(deployment.bucket)
    own, foreign, unmarked = (
        _index(rekognition, photo, external_id)
        for photo, external_id in zip(venus, (f"{mark}Bo", f"{installation_mark('other')}Bo", "Bo"), strict=False)
    )
    patient = Config(read_timeout=600, retries={"max_attempts": 0})
    functions = boto3.client("lambda", endpoint_url=deployment.stack.endpoint, config=patient, **local.CREDENTIALS)
    answer = functions.invoke(FunctionName="mien-dev-reconcile", Payload=b'{"mode": "repair"}')
    assert "FunctionError" not in answer, answer["Payload"].read()
    faces = {face["FaceId"] for face in rekognition.list_faces(CollectionId=COLLECTION)["Faces"]}
    assert faces & {own, foreign, unmarked} == {foreign, unmarked}
    rekognition.delete_faces(CollectionId=COLLECTION, FaceIds=[foreign, unmarked])


def _index(rekognition: Any, photo: bytes, external_id: str) -> str:
    (record,) = rekognition.index_faces(
        CollectionId=COLLECTION, Image={"Bytes": photo}, MaxFaces=1, ExternalImageId=external_id
    )["FaceRecords"]
    face_id: str = record["Face"]["FaceId"]
    return face_id
