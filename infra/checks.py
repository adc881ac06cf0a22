"""Refuse what cannot work before anything is changed, in a sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError
from stacks import Refused

LONGEST_BUCKET = 63
NOT_SUBSCRIBED = {"OptInRequired", "SubscriptionRequiredException"}


def parameters(given: Mapping[str, str], declared: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise Refused for a value that CloudFormation would refuse, or that names no parameter.

    Args:
        given: Values by the name of the parameter.
        declared: The parameters that may be set, as the templates declare them.
    """
    if unknown := given.keys() - declared.keys():
        raise Refused(f"There is no parameter {', '.join(sorted(unknown))}. There are {', '.join(sorted(declared))}.")
    for name, value in given.items():
        if (must := _violated(value, declared[name])) is not None:
            raise Refused(f"{name} cannot be {value!r}: it has to be {must}.")


def bucket_name(bucket: str) -> None:
    """Raise Refused for a bucket's name that is too long for S3."""
    if len(bucket) > LONGEST_BUCKET:
        raise Refused(
            f"The bucket's name {bucket} would have {len(bucket)} characters, and S3 takes {LONGEST_BUCKET}. Choose a "
            "shorter stage, or WITH=BucketPrefix=…"
        )


def rekognition(region: str) -> None:
    """Raise Refused where Rekognition is not offered, or not to this account."""
    instead = "or your own Mien with WITH=RekognitionEndpoint=https://…"
    offered = boto3.Session().get_available_regions("rekognition")
    if offered and region not in offered:
        raise Refused(
            f"Amazon Rekognition is not offered in {region}. Choose one of {', '.join(offered)}, with "
            f"AWS_DEFAULT_REGION, {instead}"
        )
    try:
        boto3.client("rekognition").list_collections(MaxResults=1)
    except ClientError as error:
        if error.response["Error"]["Code"] in NOT_SUBSCRIBED:
            raise Refused(
                f"This account may not use Amazon Rekognition in {region} yet. Complete its sign-up and wait until AWS "
                f"has confirmed it, choose another region with AWS_DEFAULT_REGION, {instead}"
            ) from None
        raise


def access_log(chosen: str | None) -> str:
    """Return whether API Gateway writes an access log: as chosen, else where the account lets it write logs.

    Raises Refused where it was chosen, and API Gateway has no role in this account and region that may write logs.
    """
    if chosen == "false":
        return chosen
    may_log = bool(boto3.client("apigateway").get_account().get("cloudwatchRoleArn"))
    if chosen == "true" and not may_log:
        raise Refused(
            "API Gateway has no role in this account that lets it write logs. Give it one, once for all APIs of the "
            "region (docs/deploy-aws.md, “The access log”), or deploy WITH=AccessLog=false."
        )
    return str(may_log).lower()


def _violated(value: str, declared: Mapping[str, Any]) -> str | None:
    """Return what a value has to be and is not; None for one that CloudFormation takes."""
    allowed = [str(each) for each in declared.get("AllowedValues", ())]
    if allowed and value not in allowed:
        return f"one of {', '.join(allowed)}"
    pattern = declared.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return str(declared.get("ConstraintDescription", f"as {pattern} describes"))
    return _violated_range(value, declared) if declared["Type"] == "Number" else None


def _violated_range(value: str, declared: Mapping[str, Any]) -> str | None:
    low, high = declared.get("MinValue", float("-inf")), declared.get("MaxValue", float("inf"))
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) and low <= float(value) <= high:
        return None
    bounds = [f"{word} {bound}" for word, bound in (("from", low), ("to", high)) if abs(bound) != float("inf")]
    return " ".join(["a number", *bounds])
