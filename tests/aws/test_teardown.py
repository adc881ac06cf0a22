"""The stacks go and come back: the data stays in between, unless it is told to go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.aws import emulator, local
from tests.aws.test_deployed import until
from tests.support.fake_engine import FakeFaceEngine

pytestmark = pytest.mark.aws

TABLES = {"FaceMetadata", "RecognitionResults", "MienRecords"}


def test_the_application_goes_and_comes_back_and_the_data_goes_when_it_is_named(
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
        with pytest.raises(emulator.CommandFailed, match="make destroy STAGE=dev"):
            emulator.stage("erase", first.endpoint, tmp_path, "--confirm", bucket)

        said = emulator.stage("destroy", first.endpoint, tmp_path)
        assert f"kept bucket {bucket}" in said
        assert set(dynamodb.list_tables()["TableNames"]) == TABLES
        assert s3.get_object(Bucket=bucket, Key="uploaded/Robert/1.jpg")["Body"].read() == robert[0]

        s3.put_object(Bucket=bucket, Key="uploaded/Venus/1.jpg", Body=venus[0])  # while there is no application
        emulator.stage("deploy", first.endpoint, tmp_path)
        until(lambda: _enrolled(dynamodb) == {"Robert", "Venus"})

        assert "there is none" in emulator.stage("destroy", first.endpoint, tmp_path, name="other")
        emulator.stage("destroy", first.endpoint, tmp_path)
        with pytest.raises(emulator.CommandFailed, match="Nothing was erased"):
            emulator.stage("erase", first.endpoint, tmp_path, "--confirm", "yes")
        assert set(dynamodb.list_tables()["TableNames"]) == TABLES
        said = emulator.stage("erase", first.endpoint, tmp_path, "--confirm", bucket)
        assert "Nothing is left of the stage dev" in said
        assert dynamodb.list_tables()["TableNames"] == []
        assert bucket not in [each["Name"] for each in s3.list_buckets()["Buckets"]]


def _enrolled(dynamodb: Any) -> set[str]:
    return {item["UserId"]["S"] for item in dynamodb.scan(TableName="FaceMetadata")["Items"]}
