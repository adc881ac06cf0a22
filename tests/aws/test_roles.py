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
READ_KEYS = {"secretsmanager:GetSecretValue": {KEYS}}
ANSWER = {**READ_KEYS, "dynamodb:UpdateItem": {RECORDS}}  # which counts the requests of each key
SHARED = {
    "UploadRole": ["FunctionPolicy", "ApiPolicy", "ErasurePolicy"],
    "AuthorizerRole": [],
    "RecognizeRole": ["FunctionPolicy", "ApiPolicy"],
    "PeopleRole": ["FunctionPolicy", "ApiPolicy", "ErasurePolicy"],
    "ReconcileRole": ["FunctionPolicy", "ErasurePolicy"],
    "ScheduleRole": [],
}
ROLES: dict[str, dict[str, set[str]]] = {
    "UploadRole": {
        **ERASE,
        **ANSWER,
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
        **ANSWER,
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
        **ANSWER,
        "s3:GetObject": {IMAGES},
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
    """What a role may do, by itself and by the policies that it shares; without what a parameter switches on."""
    properties = stack.resources("AWS::IAM::Role")[role]
    assert properties.get("ManagedPolicyArns", []) == [{"Ref": name} for name in SHARED[role]]
    policies = stack.resources("AWS::IAM::ManagedPolicy")
    documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
    documents += [policies[name]["PolicyDocument"] for name in SHARED[role]]
    return [stack.resolve(s) for document in documents for s in document["Statement"] if "Fn::If" not in s]


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
    (trust,) = stack.resources("AWS::IAM::Role")["ScheduleRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert stack.resolve(trust["Condition"]) == {"StringEquals": {"aws:SourceAccount": stack.ACCOUNT}}


@pytest.mark.parametrize("role", [*ROLES, "ScheduleRole"])
def test_a_star_stands_only_where_aws_offers_no_resource(role: str) -> None:
    for action, resources in _granted(role).items():
        assert "*" not in action
        if "*" in resources:
            assert action in WITHOUT_RESOURCE


def test_counts_are_all_that_a_function_may_add_to() -> None:
    for role in ROLES:
        statements = [s for s in _statements(role) if "dynamodb:UpdateItem" in _list(s["Action"])]
        keys = [s["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] for s in statements]
        own = [["Attempts/*"]] if role == "UploadRole" else []
        assert keys == own + ([["KeyRate/*"]] if "ApiPolicy" in SHARED[role] else [])


def test_the_optional_statements_read_one_secret_and_use_one_key() -> None:
    shared = stack.resources("AWS::IAM::ManagedPolicy")["FunctionPolicy"]["PolicyDocument"]["Statement"]
    assert _optional(shared) == [
        ("HasRekognitionKeys", "secretsmanager:GetSecretValue", {"Ref": "RekognitionKeysSecret"}),
        ("HasCustomerKey", ["kms:Decrypt", "kms:GenerateDataKey"], {"Ref": "CustomerKey"}),
    ]
    for role in ROLES:
        policies = stack.resources("AWS::IAM::Role")[role]["Policies"]
        found = _optional([s for policy in policies for s in policy["PolicyDocument"]["Statement"]])
        reads_secrets = [("HasCustomerKey", "kms:Decrypt", {"Ref": "CustomerKey"})]
        assert found == (reads_secrets if role == "AuthorizerRole" else [])


def _optional(statements: list[dict[str, Any]]) -> list[tuple[str, str | list[str], dict[str, str]]]:
    switched = [statement["Fn::If"] for statement in statements if "Fn::If" in statement]
    return [(condition, granted["Action"], granted["Resource"]) for condition, granted, _ in switched]
