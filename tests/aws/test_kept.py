"""What `make deploy` takes up again: the policy of a bucket that a former stack left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.aws import stack

BUCKET = "facial-recognition-bucket-123456789012-eu-central-1"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", stack.REGION)
    with mock_aws():
        yield boto3.client("s3")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(stack.INFRA))
    return __import__("kept")


def keep(s3: Any, *sids: str) -> None:
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": stack.REGION})
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    policy = {"Version": "2012-10-17", "Statement": [deny | {"Sid": sid} for sid in sids]}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))


def test_the_policy_of_a_former_stack_makes_way_for_the_next_ones(s3: Any, kept: ModuleType) -> None:
    """CloudFormation refuses to create a policy for a bucket that has one."""
    kept.make_way(BUCKET)  # there is no bucket yet
    (policy,) = stack.resources("AWS::S3::BucketPolicy").values()
    keep(s3, *(statement["Sid"] for statement in policy["PolicyDocument"]["Statement"]))
    kept.make_way(BUCKET)
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=BUCKET)
    kept.make_way(BUCKET)


def test_the_policy_of_somebody_else_is_refused(s3: Any, kept: ModuleType) -> None:
    keep(s3, "TlsOnly", "Auditors")
    with pytest.raises(Exception, match="not Mien's"):
        kept.make_way(BUCKET)
    assert "Auditors" in s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
