"""Exactly what each role may do, on the translated template. Whoever widens a role has to widen it here too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.aws import stack

BUCKET, IMAGES = "<Bucket.Arn>", "<Bucket.Arn>/uploaded/*"
COLLECTION = f"arn:aws:rekognition:{stack.REGION}:{stack.ACCOUNT}:collection/face-collection"
FACES, RESULTS, RECORDS = "<FacesTable.Arn>", "<RecognitionsTable.Arn>", "<RecordsTable.Arn>"
KEYS, QUEUE, DEAD = "<ApiKeys>", "<UploadQueue.Arn>", "<UploadDeadLetters.Arn>"
ALL, INDEXES = {FACES, RESULTS, RECORDS}, {f"{table}/index/*" for table in (FACES, RESULTS, RECORDS)}

ERASE = {
    "s3:DeleteObject": {IMAGES},
    "s3:DeleteObjectVersion": {IMAGES},
    "s3:ListBucket": {BUCKET},
    "s3:ListBucketVersions": {BUCKET},
    "rekognition:ListFaces": {COLLECTION},
    "rekognition:DisassociateFaces": {COLLECTION},
    "rekognition:DeleteFaces": {COLLECTION},
    "rekognition:DeleteUser": {COLLECTION},
}
READ_AND_ERASE_RECORDS = {
    "dynamodb:BatchGetItem": ALL,
    "dynamodb:DeleteItem": ALL,
    "dynamodb:PutItem": {RECORDS},
    "dynamodb:Query": INDEXES,
}
RECONCILE = f"arn:aws:lambda:{stack.REGION}:{stack.ACCOUNT}:function:mien-dev-reconcile"
READ_KEYS = {"secretsmanager:GetSecretValue": {KEYS}, "dynamodb:UpdateItem": {RECORDS}}
ROLES: dict[str, dict[str, set[str]]] = {
    "UploadRole": {
        **ERASE,
        **READ_KEYS,
        "s3:GetObject": {IMAGES},
        "s3:PutObject": {IMAGES},
        "rekognition:IndexFaces": {COLLECTION},
        "rekognition:SearchFaces": {COLLECTION},
        "rekognition:SearchFacesByImage": {COLLECTION},
        "rekognition:SearchUsersByImage": {COLLECTION},
        "rekognition:DetectFaces": {"*"},
        "rekognition:CreateUser": {COLLECTION},
        "rekognition:AssociateFaces": {COLLECTION},
        "dynamodb:BatchGetItem": ALL,
        "dynamodb:PutItem": {FACES, RECORDS},
        "dynamodb:DeleteItem": ALL,
        "dynamodb:Query": INDEXES,
        "sqs:ReceiveMessage": {QUEUE, DEAD},
        "sqs:DeleteMessage": {QUEUE, DEAD},
        "sqs:GetQueueAttributes": {QUEUE, DEAD},
        "sqs:ChangeMessageVisibility": {QUEUE},
    },
    "AuthorizerRole": READ_KEYS,
    "RecognizeRole": {
        **READ_KEYS,
        "s3:GetObject": {IMAGES},
        "s3:ListBucket": {BUCKET},
        "rekognition:SearchFacesByImage": {COLLECTION},
        "rekognition:SearchUsersByImage": {COLLECTION},
        "rekognition:DetectFaces": {"*"},
        "rekognition:CompareFaces": {"*"},
        "dynamodb:BatchGetItem": ALL,
        "dynamodb:PutItem": {RESULTS},
        "dynamodb:DeleteItem": {RESULTS},
        "dynamodb:Query": {f"{FACES}/index/*", f"{RECORDS}/index/*"},
    },
    "PeopleRole": {
        **ERASE,
        **READ_AND_ERASE_RECORDS,
        **READ_KEYS,
        "s3:GetObject": {IMAGES},
        "rekognition:DescribeCollection": {COLLECTION},
        "sqs:SendMessage": {QUEUE},
    },
    "ReconcileRole": {
        **ERASE,
        **READ_KEYS,
        **READ_AND_ERASE_RECORDS,
        "dynamodb:PutItem": {FACES, RECORDS},
        "sqs:SendMessage": {QUEUE},
        "lambda:InvokeFunction": {RECONCILE},  # itself, to go on
    },
}
WITHOUT_RESOURCE = {  # AWS offers none for these (Service Authorization Reference)
    "rekognition:DetectFaces",
    "rekognition:CompareFaces",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}


def _statements(role: str) -> list[dict[str, Any]]:
    """What every function may do, and what the role adds to it; without the statements that a parameter switches on."""
    properties = stack.resources("AWS::IAM::Role")[role]
    if role in ROLES:
        assert properties["ManagedPolicyArns"] == [{"Ref": "FunctionPolicy"}]
    found = [s for policy in properties["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    if role in ROLES:
        (shared,) = stack.resources("AWS::IAM::ManagedPolicy").values()
        found += shared["PolicyDocument"]["Statement"]
    return [stack.resolve(s) for s in found if "Fn::If" not in s]


def _granted(role: str) -> dict[str, set[str]]:
    granted: dict[str, set[str]] = {}
    for statement in _statements(role):
        assert statement["Effect"] == "Allow"
        for action in _list(statement["Action"]):
            granted.setdefault(action, set()).update(_list(statement["Resource"]))
    return granted


def _list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("role", ROLES)
def test_a_function_may_do_what_it_needs_and_nothing_more(role: str) -> None:
    name = role.removesuffix("Role")
    own_logs = {f"<{name}Logs.Arn>"}
    assert _granted(role) == {
        **ROLES[role],
        "logs:CreateLogStream": own_logs,
        "logs:PutLogEvents": own_logs,
        "xray:PutTraceSegments": {"*"},
        "xray:PutTelemetryRecords": {"*"},
    }


def test_every_role_is_in_the_list() -> None:
    assert set(stack.resources("AWS::IAM::Role")) == {*ROLES, "ScheduleRole"}


def test_the_schedule_starts_the_reconciler_only() -> None:
    assert _granted("ScheduleRole") == {"lambda:InvokeFunction": {"<ReconcileFunction.Arn>"}}


@pytest.mark.parametrize("role", [*ROLES, "ScheduleRole"])
def test_a_star_stands_only_where_aws_offers_no_resource(role: str) -> None:
    for action, resources in _granted(role).items():
        assert "*" not in action
        if "*" in resources:
            assert action in WITHOUT_RESOURCE


def test_the_counts_of_requests_are_all_that_a_function_may_add_to() -> None:
    (shared,) = stack.resources("AWS::IAM::ManagedPolicy").values()
    (statement,) = (s for s in shared["PolicyDocument"]["Statement"] if s.get("Sid") == "KeyRates")
    assert statement["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["KeyRate/*"]}}


def test_the_optional_statements_read_one_secret_and_use_one_key() -> None:
    (shared,) = stack.resources("AWS::IAM::ManagedPolicy").values()
    optional = [s["Fn::If"] for s in shared["PolicyDocument"]["Statement"] if "Fn::If" in s]
    assert [(o[0], o[1]["Action"], o[1]["Resource"]) for o in optional] == [
        ("HasRekognitionKeys", "secretsmanager:GetSecretValue", {"Ref": "RekognitionKeysSecret"}),
        ("HasCustomerKey", ["kms:Decrypt", "kms:GenerateDataKey"], {"Ref": "CustomerKey"}),
    ]
    for role in ROLES:
        policies = stack.resources("AWS::IAM::Role")[role]["Policies"]
        assert [s for p in policies for s in p["PolicyDocument"]["Statement"] if "Fn::If" in s] == []
