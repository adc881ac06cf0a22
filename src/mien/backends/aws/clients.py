"""boto3 clients. Region, credentials, endpoints and retries come from AWS's own settings."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.config import Config


def s3() -> Any:
    """Signature version and regional endpoint matter to presigned forms: a new bucket knows no other."""
    return boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))


def dynamodb() -> Any:
    return boto3.client("dynamodb")


def rekognition(keys_secret: str | None = None) -> Any:
    """`keys_secret`: the secret with the access key of a self-hosted Mien; without it the usual credentials sign."""
    if not keys_secret:
        return boto3.client("rekognition")
    keys = json.loads(secret(keys_secret))
    return boto3.client(
        "rekognition",
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
    )


def sqs() -> Any:
    return boto3.client("sqs")


def secrets() -> Any:
    return boto3.client("secretsmanager")


def secret(name: str) -> str:
    """The text of a secret in Secrets Manager."""
    text: str = secrets().get_secret_value(SecretId=name)["SecretString"]
    return text
