"""Check that the stack exists and that the credentials suffice, by one harmless call for each permission.

A call that AWS refuses for its content was permitted: it names a face that does not exist, carries an image of one
byte, or writes under a condition that cannot hold. Nothing is stored and nothing is charged.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from mien.backends.aws import clients, outputs, roles, secret_keys
from mien.backends.aws.clients import code
from mien.domain.errors import MienError

if TYPE_CHECKING:
    from mien.settings import Settings


_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"}
_REFUSED_FOR_CONTENT = {
    "InvalidParameterException",
    "InvalidImageFormatException",
    "ConditionalCheckFailedException",
    "BadDigest",
    "InvalidDigest",
    "NoSuchKey",
    "NoSuchVersion",
}
_OF_NO_USER = ("rekognition:AssociateFaces", "rekognition:DisassociateFaces", "rekognition:DeleteUser")
"""What is asked of a user that does not exist."""
_NO_FACE = str(uuid.UUID(int=0))
_NO_KEY = f"uploaded/_/{_NO_FACE}"


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check.

    Attributes:
        subject: The permission and its resource, or the setting, that was checked.
        advice: What to do; empty when all is well.
    """

    subject: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Check what the command line needs, with a stack also what its functions may, and the settings of the stack."""
    if settings.stack:
        yield from _roles(settings.stack)
    rekognition = clients.rekognition(settings.rekognition_keys_secret)
    yield from _check_each(_bucket_calls(clients.s3(), settings.bucket))
    yield from _check_each(_collection_calls(rekognition, settings.collection))
    for table, key in (
        (settings.faces_table, "FaceId"),
        (settings.recognitions_table, "RecognitionId"),
        (settings.records_table, "RecordId"),
    ):
        yield from _check_each(_table_calls(clients.dynamodb(), table, key))
    yield _signing_key(settings.keys_secret)
    yield _public_access(clients.s3(), settings.bucket)


def _roles(stack: str) -> Iterator[Check]:
    """Check what each function may do by its own role, whatever these credentials may."""
    try:
        functions = outputs.functions_of(stack)
    except MienError as error:
        yield Check(f"functions of {stack}", str(error))
        return
    for function, role in functions.items():
        try:
            refused = roles.denied(role)
        except MienError as error:
            yield Check(f"role of {function}", f"IAM does not tell what it may do: {error}")
        else:
            yield Check(f"role of {function}", f"It may not {', '.join(refused)}." if refused else "")


def _check_each(calls: dict[str, Callable[[], Any]]) -> Iterator[Check]:
    for subject, call in calls.items():
        try:
            call()
        except ClientError as error:
            yield Check(subject, _advice(subject, error))
        except BotoCoreError as error:
            yield Check(subject, f"AWS cannot be reached ({type(error).__name__}); check credentials and region.")
        else:
            yield Check(subject)


def _advice(subject: str, error: ClientError) -> str:
    if code(error) in _DENIED:
        return f"The credentials lack the permission {subject.split()[0]}; add it to their policy."
    if code(error) in _REFUSED_FOR_CONTENT:
        return ""
    if code(error) in {"ResourceNotFoundException", "NoSuchBucket", "404"}:
        if "user" in str(error).lower() and subject.startswith(_OF_NO_USER):
            return ""
        return "It does not exist; deploy the stack, or correct the MIEN_* variable that names it."
    return f"AWS answered {code(error)}."


def _bucket_calls(s3: Any, bucket: str) -> dict[str, Callable[[], Any]]:
    wrong_md5 = base64.b64encode(bytes(16)).decode()
    return {
        f"s3:ListBucket on {bucket}": lambda: s3.list_objects_v2(Bucket=bucket, MaxKeys=1),
        f"s3:ListBucketVersions on {bucket}": lambda: s3.list_object_versions(Bucket=bucket, MaxKeys=1),
        f"s3:GetObject on {bucket}": lambda: s3.get_object(Bucket=bucket, Key=_NO_KEY),
        f"s3:PutObject on {bucket}": lambda: s3.put_object(Bucket=bucket, Key=_NO_KEY, Body=b"x", ContentMD5=wrong_md5),
        f"s3:DeleteObject on {bucket}": lambda: s3.delete_object(Bucket=bucket, Key=_NO_KEY),
        f"s3:DeleteObjectVersion on {bucket}": lambda: s3.delete_object(Bucket=bucket, Key=_NO_KEY, VersionId="null"),
    }


def _collection_calls(rekognition: Any, collection: str) -> dict[str, Callable[[], Any]]:
    target = {"CollectionId": collection}
    image = {"Image": {"Bytes": b"x"}}
    faces = {"FaceIds": [_NO_FACE]}
    calls: dict[str, Callable[[], Any]] = {
        "DescribeCollection": lambda: rekognition.describe_collection(**target),
        "ListFaces": lambda: rekognition.list_faces(**target, MaxResults=1),
        "IndexFaces": lambda: rekognition.index_faces(**target, **image),
        "SearchFaces": lambda: rekognition.search_faces(**target, FaceId=_NO_FACE),
        "SearchFacesByImage": lambda: rekognition.search_faces_by_image(**target, **image),
        "SearchUsersByImage": lambda: rekognition.search_users_by_image(**target, **image),
        "DetectFaces": lambda: rekognition.detect_faces(**image),
        "CompareFaces": lambda: rekognition.compare_faces(SourceImage=image["Image"], TargetImage=image["Image"]),
        "AssociateFaces": lambda: rekognition.associate_faces(**target, **faces, UserId=_NO_FACE),
        "DisassociateFaces": lambda: rekognition.disassociate_faces(**target, **faces, UserId=_NO_FACE),
        "DeleteFaces": lambda: rekognition.delete_faces(**target, **faces),
        "DeleteUser": lambda: rekognition.delete_user(**target, UserId=_NO_FACE),
    }
    return {f"rekognition:{name} on {collection}": call for name, call in calls.items()}


def _table_calls(dynamodb: Any, table: str, key: str) -> dict[str, Callable[[], Any]]:
    item = {key: {"S": _NO_FACE}}
    impossible = {"ConditionExpression": f"attribute_exists({key})"}
    by_time: dict[str, Any] = {
        "TableName": table,
        "IndexName": "ByTime",
        "KeyConditionExpression": "Kind = :k",
        "ExpressionAttributeValues": {":k": {"S": "none"}},
    }
    return {
        f"dynamodb:BatchGetItem on {table}": lambda: dynamodb.batch_get_item(RequestItems={table: {"Keys": [item]}}),
        f"dynamodb:Query on {table}": lambda: dynamodb.query(**by_time),
        f"dynamodb:PutItem on {table}": lambda: dynamodb.put_item(TableName=table, Item=item, **impossible),
        f"dynamodb:DeleteItem on {table}": lambda: dynamodb.delete_item(TableName=table, Key=item),
    }


def _signing_key(secret: str | None) -> Check:
    try:
        secret_keys.signing_key(secret)
    except MienError as error:
        return Check("secretsmanager:GetSecretValue, without which nobody can be erased", str(error))
    return Check("secretsmanager:GetSecretValue on the secret of the API keys")


def _public_access(s3: Any, bucket: str) -> Check:
    subject = f"public access to {bucket}"
    try:
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        return Check(subject, f"AWS does not tell whether it is blocked: {code(error)}.")
    return Check(subject, "" if all(block.values()) else "It is not blocked; deploy the stack again.")
