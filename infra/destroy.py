"""Delete the stack. Keep its data (bucket, tables, collection), unless --erase-data is given."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable
from typing import Any

import boto3


def data_of(stack: str) -> dict[str, list[str]]:
    """Return the physical names of the stack's data resources, by resource type."""
    found: dict[str, list[str]] = {kind: [] for kind in ERASERS}
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    for resource in (resource for page in pages for resource in page["StackResourceSummaries"]):
        if resource["ResourceType"] in found:
            found[resource["ResourceType"]].append(resource["PhysicalResourceId"])
    return found


def erase_bucket(name: str) -> None:
    bucket: Any = boto3.resource("s3").Bucket(name)
    bucket.object_versions.delete()
    bucket.delete()


def erase_table(name: str) -> None:
    boto3.client("dynamodb").delete_table(TableName=name)


def erase_collection(name: str) -> None:
    boto3.client("rekognition").delete_collection(CollectionId=name)


ERASERS: dict[str, Callable[[str], None]] = {
    "AWS::S3::Bucket": erase_bucket,
    "AWS::DynamoDB::Table": erase_table,
    "AWS::Rekognition::Collection": erase_collection,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="mien-dev", help="the stack's name")
    parser.add_argument("--sam", default="sam", help="the SAM CLI")
    parser.add_argument("--erase-data", action="store_true", help="delete the data too")
    options = parser.parse_args()
    data = data_of(options.stack)
    subprocess.run(  # noqa: S603
        [options.sam, "delete", "--stack-name", options.stack, "--no-prompts"], check=True
    )
    for kind, names in data.items():
        for name in names:
            if options.erase_data:
                ERASERS[kind](name)
            print("erased" if options.erase_data else "kept", kind, name)  # noqa: T201


if __name__ == "__main__":
    main()
