"""The stack goes and comes back: the data stays in between, unless it is told to go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.aws import emulator, local
from tests.aws.test_deployed import until
from tests.support.fake_engine import FakeFaceEngine

pytestmark = pytest.mark.aws

TABLES = {"FaceMetadata", "RecognitionResults", "MienRecords"}


def test_destroy_keeps_the_data_and_a_new_stack_takes_it_up(
    tmp_path: Path, robert: list[bytes], venus: list[bytes]
) -> None:
    with (
        local.switchable(tmp_path / "gallery", FakeFaceEngine()) as (_, url),
        emulator.deployed(tmp_path, url) as first,
    ):
        local.recognizer(url)
        bucket = first.outputs["BucketName"]
        s3, dynamodb = first.client("s3"), first.client("dynamodb")
        s3.put_object(Bucket=bucket, Key="uploaded/Robert/1.jpg", Body=robert[0])
        until(lambda: _enrolled(dynamodb) == {"Robert"})

        assert "kept AWS::S3::Bucket" in emulator.destroy(first.endpoint, tmp_path)
        assert set(dynamodb.list_tables()["TableNames"]) == TABLES
        assert s3.get_object(Bucket=bucket, Key="uploaded/Robert/1.jpg")["Body"].read() == robert[0]

        template = tmp_path / "template.yaml"
        emulator.deploy(template, first.endpoint, RekognitionEndpoint=url, DataStores="existing")
        s3.put_object(Bucket=bucket, Key="uploaded/Venus/1.jpg", Body=venus[0])
        until(lambda: _enrolled(dynamodb) == {"Robert", "Venus"})


def test_destroy_erases_the_data_when_told_to(tmp_path: Path) -> None:
    with emulator.deployed(tmp_path, "http://127.0.0.1:9") as stack:
        stack.client("s3").put_object(Bucket=stack.outputs["BucketName"], Key="uploaded/_/1.jpg", Body=b"x")
        emulator.destroy(stack.endpoint, tmp_path, "--erase-data")
        assert stack.client("dynamodb").list_tables()["TableNames"] == []
        buckets = [bucket["Name"] for bucket in stack.client("s3").list_buckets()["Buckets"]]
        assert stack.outputs["BucketName"] not in buckets


def _enrolled(dynamodb: Any) -> set[str]:
    return {item["UserId"]["S"] for item in dynamodb.scan(TableName="FaceMetadata")["Items"]}
