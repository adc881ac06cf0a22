"""Find, adopt and erase what a stage keeps: the bucket, the collection, the tables and the secret, by their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError
from stacks import Refused

GONE = {"404", "NoSuchBucket", "ResourceNotFoundException"}
SCHEMA = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
MAX_LISTED = 1_000
OWN_STATEMENT = "TlsOnly"
"""The only statement of the bucket's policy in data.yaml, and in the single template of earlier versions."""


@dataclass(frozen=True)
class Kept:
    """A resource that outlives the stacks.

    Attributes:
        logical: Its name in data.yaml.
        kind: What to call it.
        name: Its own name.
        identifier: The property by which CloudFormation imports it, and its value.
    """

    logical: str
    kind: str
    name: str
    identifier: dict[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def names(parameters: dict[str, str], account: str, region: str) -> Iterator[Kept]:
    """Return everything that a stage with these parameters of data.yaml keeps, whether it exists or not."""
    bucket = f"{parameters['BucketPrefix']}-{account}-{region}"
    yield Kept("Bucket", "bucket", bucket, {"BucketName": bucket})
    if not parameters.get("RekognitionEndpoint"):
        collection = parameters["CollectionId"]
        yield Kept("Collection", "collection", collection, {"CollectionId": collection})
    for table in ("Faces", "Recognitions", "Records"):
        name = parameters[f"{table}TableName"]
        yield Kept(f"{table}Table", "table", name, {"TableName": name})
    secret = f"mien-{parameters['Stage']}-keys"
    yield Kept("ApiKeys", "secret", secret, {"Id": secret})


def described(kept: Kept) -> dict[str, Any] | None:
    """Return what AWS says of the resource; None when it does not exist. Raises Refused for one of somebody else."""
    try:
        found: dict[str, Any] = _DESCRIBE[kept.kind](kept.name)
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            return None
        if error.response["Error"]["Code"] == "403" and kept.kind == "bucket":
            raise Refused(
                f"The bucket {kept.name} exists, but these credentials may not read it, or it is another account's. "
                "Use other credentials, or choose another name: WITH=BucketPrefix=…"
            ) from None
        raise
    return found


def check_own(kept: Kept, physical: str, found: dict[str, Any] | None, stage: str) -> None:
    """Raise Refused where what the data stack has is not what is to be deployed.

    Args:
        kept: What is to be deployed.
        physical: The name of what the stack has in its place.
        found: What AWS says of it under the name that is to be deployed.
        stage: The stage's name.
    """
    if kept.kind != "secret" and physical != kept.name:
        raise Refused(
            f"The {kept.kind} of the stage {stage} is {physical} and cannot become {kept.name}: what is in it would "
            "stay behind, and no command would find it. Leave its name, or make another stage."
        )
    if found is None:
        raise Refused(
            f"The {kept} is gone: an erasure was interrupted, or somebody deleted it. `make destroy STAGE={stage}` and "
            f"`make erase STAGE={stage}` take away what is left; then deploy anew."
        )


def elsewhere(parameters: dict[str, str]) -> str:
    """Say where faces of the stage may be that are not this account's, or not known to be the stage's; else nothing."""
    if not (endpoint := parameters.get("RekognitionEndpoint")):
        return ""
    delete = f"aws rekognition delete-collection --collection-id {parameters['CollectionId']}"
    return (
        f"Faces are in the collection {parameters['CollectionId']} of {endpoint}, which others may use: "
        f"`{delete} --endpoint-url {endpoint}` erases it. If the stage used Amazon Rekognition before, "
        f"`{delete}` erases the one there."
    )


def definition(kept: Kept, found: dict[str, Any], declared: dict[str, Any]) -> dict[str, Any]:
    """Return the smallest definition with which CloudFormation can import an existing resource.

    All other properties come with the update that follows, because an import changes none. Only the secret is
    defined in full: to add `GenerateSecretString` later would replace the keys. Raises Refused for a table or a secret
    that cannot be taken up.
    """
    if kept.kind == "table":
        _check_table(kept.name, found["Table"], declared["Properties"])
    if kept.kind == "secret" and "DeletedDate" in found:
        raise Refused(
            f"The secret {kept.name} is scheduled for deletion. Run `aws secretsmanager restore-secret --secret-id "
            f"{kept.name}` to keep its API keys, or `make erase` to be rid of it at once."
        )
    properties = {name: value for name, value in declared["Properties"].items() if name in _MINIMAL[kept.kind]}
    properties[_NAMED_BY[kept.kind]] = kept.name
    policies = {name: declared[name] for name in ("DeletionPolicy", "UpdateReplacePolicy")}
    return {"Type": declared["Type"], "Properties": properties, **policies}


def identifier(kept: Kept, found: dict[str, Any]) -> dict[str, str]:
    """Return the property by which CloudFormation imports the resource."""
    return {"Id": found["ARN"]} if kept.kind == "secret" else kept.identifier


def contents(kept: Kept, found: dict[str, Any]) -> str:
    """Say how much is in it."""
    if kept.kind == "bucket":
        number = boto3.client("s3").list_objects_v2(Bucket=kept.name, MaxKeys=MAX_LISTED)["KeyCount"]
        return f"{number}{' or more' if number == MAX_LISTED else ''} photos"
    if kept.kind == "collection":
        return f"{found['FaceCount']} faces"
    return f"about {found['Table']['ItemCount']} items" if kept.kind == "table" else "API keys"


def erase(kept: Kept) -> None:
    """Delete the resource with all that is in it, and no backup left; one that is gone already is no error."""
    try:
        _ERASE[kept.kind](kept.name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE:
            raise


def make_way(bucket: str) -> None:
    """Delete the bucket's policy if a former stack left it: CloudFormation refuses to create one where one is.

    Raises Refused for a policy of somebody else.
    """
    client = boto3.client("s3")
    try:
        policy = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE | {"NoSuchBucketPolicy"}:
            return
        raise
    if [statement.get("Sid") for statement in policy["Statement"]] != [OWN_STATEMENT]:
        raise Refused(
            f"The bucket {bucket} has a policy that is not Mien's. Delete it (`aws s3api delete-bucket-policy --bucket "
            f"{bucket}`), or choose another name: WITH=BucketPrefix=…"
        )
    client.delete_bucket_policy(Bucket=bucket)


def _check_table(name: str, table: dict[str, Any], declared: dict[str, Any]) -> None:
    def schema(of: dict[str, Any]) -> tuple[Any, ...]:
        indexes = {each["IndexName"]: each["KeySchema"] for each in of.get("GlobalSecondaryIndexes", [])}
        return of["KeySchema"], indexes

    if schema(table) != schema(declared):
        raise Refused(
            f"The table {name} exists and has other keys or indexes than Mien's. Delete it, or choose another name: "
            "WITH=FacesTableName=…, RecognitionsTableName=… or RecordsTableName=…"
        )


def _erase_bucket(name: str) -> None:
    bucket: Any = boto3.resource("s3").Bucket(name)
    bucket.object_versions.delete()
    bucket.delete()


def _erase_table(name: str) -> None:
    """Switch recovery off first: DynamoDB would keep a last backup of the table for 35 days."""
    client = boto3.client("dynamodb")
    if (
        client.describe_table(TableName=name)["Table"]["TableStatus"] != "DELETING"
    ):  # by an erasure that was interrupted
        client.update_table(TableName=name, DeletionProtectionEnabled=False)
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 100})
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
        )
        client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 100})


_DESCRIBE: dict[str, Callable[[str], Any]] = {
    "bucket": lambda name: boto3.client("s3").head_bucket(Bucket=name),
    "collection": lambda name: boto3.client("rekognition").describe_collection(CollectionId=name),
    "table": lambda name: boto3.client("dynamodb").describe_table(TableName=name),
    "secret": lambda name: boto3.client("secretsmanager").describe_secret(SecretId=name),
}
_ERASE: dict[str, Callable[[str], Any]] = {
    "bucket": _erase_bucket,
    "collection": lambda name: boto3.client("rekognition").delete_collection(CollectionId=name),
    "table": _erase_table,
    "secret": lambda name: boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True),
}
_NAMED_BY = {"bucket": "BucketName", "collection": "CollectionId", "table": "TableName", "secret": "Name"}
_MINIMAL: dict[str, tuple[str, ...]] = {
    "bucket": (),
    "collection": (),
    "table": SCHEMA,
    "secret": ("Description", "GenerateSecretString"),
}
