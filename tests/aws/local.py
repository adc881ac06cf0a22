"""The aws backend without AWS: moto holds the bucket and the tables of the template, our wire API recognises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws

from mien.backends.aws.bucket import S3Bucket
from mien.backends.aws.catalog import DynamoCatalog
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.backends.aws.tables import tables
from mien.domain.object_keys import installation_mark
from mien.gallery import Gallery
from tests.aws import stack
from tests.aws.rekognition import COLLECTION, Rekognition
from tests.rekognition.wire_server import running
from tests.support.fake_engine import FakeFaceEngine

BUCKET = "test-bucket"
CREDENTIALS = {
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "region_name": stack.REGION,
}
SCHEMA = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode", "TableName")


def table_schemas() -> list[dict[str, Any]]:
    """What CreateTable takes, out of the template."""
    tables = stack.resources("AWS::DynamoDB::Table").values()
    return [{name: stack.resolve(table[name]) for name in SCHEMA} for table in tables]


def create_tables(dynamodb: Any) -> DynamoCatalog:
    schemas = table_schemas()
    for schema in schemas:
        dynamodb.create_table(**schema)
    by_key = {schema["KeySchema"][0]["AttributeName"]: schema["TableName"] for schema in schemas}
    names = tables(by_key["FaceId"], by_key["RecognitionId"], by_key["RecordId"])
    return DynamoCatalog(dynamodb, names, result_days=90)


@contextmanager
def storage() -> Iterator[tuple[S3Bucket, DynamoCatalog]]:
    with mock_aws():
        s3 = boto3.client("s3", **CREDENTIALS)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": stack.REGION})
        yield S3Bucket(s3, BUCKET), create_tables(boto3.client("dynamodb", **CREDENTIALS))


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The URL under which an ASGI app answers on loopback."""
    with running(app) as server:
        yield server.url


def recognizer(url: str) -> RekognitionRecognizer:
    client = boto3.client("rekognition", endpoint_url=url, **CREDENTIALS)
    client.create_collection(CollectionId=COLLECTION)
    return RekognitionRecognizer(client, COLLECTION, installation_mark(BUCKET))


@contextmanager
def wire_api(folder: Path, engine: FakeFaceEngine) -> Iterator[str]:
    """Our own Rekognition on loopback, on the fake engine."""
    with switchable(folder, engine) as (_, url):
        yield url


@contextmanager
def switchable(folder: Path, engine: FakeFaceEngine) -> Iterator[tuple[Rekognition, str]]:
    gallery = Gallery(folder, engine.model_version)
    rekognition = Rekognition(engine, gallery)
    with served(rekognition) as url:
        yield rekognition, url
    gallery.close()
