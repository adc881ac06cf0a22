"""The stacks go and come back: the data stays in between, unless it is told to go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws import emulator, local, stack
from tests.aws.test_deployed import until
from tests.support.fake_engine import FakeFaceEngine

pytestmark = pytest.mark.aws

TABLES = {"FaceMetadata", "RecognitionResults", "MienRecords"}


def test_stages_come_from_the_single_stack_go_and_come_back_and_are_erased_by_name(
    tmp_path: Path, robert: list[bytes], venus: list[bytes]
) -> None:
    emulator.write_templates(tmp_path)
    with (
        local.switchable(tmp_path / "gallery", FakeFaceEngine()) as (_, url),
        emulator.ministack(tmp_path) as endpoint,
    ):
        local.recognizer(url)
        account = Account(endpoint, tmp_path, f"RekognitionEndpoint={url}")
        keys = account.make_single_stack()
        account.s3.put_object(Bucket=account.bucket, Key="uploaded/_/before.jpg", Body=b"x")
        with pytest.raises(emulator.CommandFailed, match="make migrate STAGE=dev"):
            account.make("deploy")
        assert "takes up bucket" in account.make("migrate")
        assert account.s3.get_object(Bucket=account.bucket, Key="uploaded/_/before.jpg")["Body"].read() == b"x"
        assert account.secrets.get_secret_value(SecretId="mien-dev-keys")["SecretString"] == keys
        assert "has not changed" in account.make("deploy")

        account.enrol("Robert", robert[0])
        account.make("deploy", stage="prod")
        assert account.tables() == TABLES | {f"{name}-prod" for name in TABLES}
        with pytest.raises(emulator.CommandFailed, match="make destroy STAGE=dev"):
            account.make("erase", "--confirm", account.bucket)
        assert f"kept bucket {account.bucket}" in account.make("destroy")
        account.s3.put_object(Bucket=account.bucket, Key="uploaded/Venus/1.jpg", Body=venus[0])  # without application
        account.make("deploy")
        until(lambda: _enrolled(account.dynamodb) == {"Robert", "Venus"})

        account.make("destroy")
        assert "there is none" in account.make("destroy")
        with pytest.raises(emulator.CommandFailed, match="Nothing was erased"):
            account.make("erase", "--confirm", "yes")
        assert account.tables() > TABLES
        assert "Nothing is left of the stage dev" in account.make("erase", "--confirm", account.bucket)
        assert account.tables() == {f"{name}-prod" for name in TABLES}  # nothing that was not named

        account.make("destroy", stage="prod")
        account.stacks.delete_stack(StackName="mien-prod-data")  # by hand: the data is retained
        until(lambda: not account.has_stack("mien-prod-data"))
        bucket = account.bucket.replace("bucket-", "bucket-prod-", 1)
        assert f"erased bucket {bucket}" in account.make("erase", "--confirm", bucket, stage="prod")
        assert account.tables() == set()
        assert not [each for each in account.s3.list_buckets()["Buckets"] if "facial" in each["Name"]]


class Account:
    """The emulator as an owner of stages sees it."""

    bucket = f"facial-recognition-bucket-000000000000-{stack.REGION}"

    def __init__(self, endpoint: str, folder: Path, *given: str) -> None:
        self._endpoint, self._folder, self._given = endpoint, folder, given
        client = emulator.Stack(endpoint, {}).client
        self.s3, self.dynamodb, self.secrets = client("s3"), client("dynamodb"), client("secretsmanager")
        self.stacks = client("cloudformation")

    def make(self, command: str, *options: str, stage: str = "dev") -> str:
        return emulator.stage(command, self._endpoint, self._folder, *options, *self._given, name=stage)

    def make_single_stack(self) -> str:
        """Deploy what the data of an earlier version's stack was; return its API keys."""
        self.stacks.create_stack(StackName="mien-dev", TemplateBody=json.dumps(_single_stack()))
        until(lambda: self.has_stack("mien-dev", "CREATE_COMPLETE"))
        keys = json.dumps({"keys": {}, "signing": "s" * 48})
        self.secrets.put_secret_value(SecretId="old-keys", SecretString=keys)
        return keys

    def enrol(self, person: str, photo: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"uploaded/{person}/1.jpg", Body=photo)
        until(lambda: person in _enrolled(self.dynamodb))

    def tables(self) -> set[str]:
        return set(self.dynamodb.list_tables()["TableNames"])

    def has_stack(self, name: str, status: str = "") -> bool:
        try:
            (found,) = self.stacks.describe_stacks(StackName=name)["Stacks"]
        except ClientError:
            return False
        return found["StackStatus"] == status if status else found["StackStatus"] != "DELETE_COMPLETE"


def _single_stack() -> dict[str, Any]:
    """The data of the former infra/template.yaml: the same tables, names by parameter, released by DataStores."""
    parameters = {
        name: {"Type": "String", "Default": default}
        for name, default in {
            "Stage": "dev",
            "BucketName": "facial-recognition-bucket",
            "CollectionId": "face-collection",
            "FacesTableName": "FaceMetadata",
            "RecognitionsTableName": "RecognitionResults",
            "RecordsTableName": "MienRecords",
            "DataStores": "create",
            "SimilarityThreshold": "85",
            "RequestsPerSecond": "20",
        }.items()
    }
    kept = {"Condition": "CreateData", "DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    bucket = {"BucketName": {"Fn::Sub": "${BucketName}-${AWS::AccountId}-${AWS::Region}"}}
    tables = {
        name: {"Type": "AWS::DynamoDB::Table", **kept, "Properties": {key: table[key] for key in local.SCHEMA}}
        for name, table in stack.resources("AWS::DynamoDB::Table").items()
    }
    return {
        "Parameters": parameters,
        "Conditions": {"CreateData": {"Fn::Equals": [{"Ref": "DataStores"}, "create"]}},
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", **kept, "Properties": bucket},
            **tables,
            "UploadQueue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "mien-dev-uploads"}},
            "ApiKeys": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "old-keys"}},
        },
    }


def _enrolled(dynamodb: Any) -> set[str]:
    return {item["UserId"]["S"] for item in dynamodb.scan(TableName="FaceMetadata")["Items"]}
