"""The scheduled function on the deployed stack, with its own role."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config

from tests.aws import local
from tests.aws.conftest import Deployment
from tests.aws.rekognition import COLLECTION

pytestmark = pytest.mark.aws


def test_a_face_without_metadata_is_removed(deployment: Deployment, venus: list[bytes]) -> None:
    rekognition = boto3.client("rekognition", endpoint_url=deployment.rekognition_url, **local.CREDENTIALS)
    image = {"Bytes": venus[1]}
    (record,) = rekognition.index_faces(CollectionId=COLLECTION, Image=image, MaxFaces=1)["FaceRecords"]
    patient = Config(read_timeout=300, retries={"max_attempts": 0})
    functions = boto3.client("lambda", endpoint_url=deployment.stack.endpoint, config=patient, **local.CREDENTIALS)
    answer = functions.invoke(FunctionName="mien-dev-reconcile", Payload=b"{}")
    assert "FunctionError" not in answer
    faces = rekognition.list_faces(CollectionId=COLLECTION)["Faces"]
    assert record["Face"]["FaceId"] not in {face["FaceId"] for face in faces}
