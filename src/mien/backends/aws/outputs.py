"""Read the settings of a deployed stage from the outputs of its stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mien.backends.aws import clients
from mien.domain.errors import SetupError

SETTINGS = "Settings"
"""The output with the settings: NAME=VALUE, separated by spaces; an empty one is not set."""
ENDPOINT = "AWS_ENDPOINT_URL_REKOGNITION"
"""AWS's own variable, by which boto3 finds a service in Rekognition's place."""


def outputs(stack: str) -> dict[str, str]:
    """Return the outputs of a stack. Raises SetupError when there is no such stack, and StorageError."""
    client = clients.cloudformation()
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except (ClientError, BotoCoreError) as error:
        if not isinstance(error, ClientError) or clients.code(error) != "ValidationError":
            raise clients.domain_error(error) from error
        raise SetupError(
            f"There is no stack {stack} in {client.meta.region_name}. Stacks are called mien-dev or mien-<stage>; "
            "`make deploy` makes one, and AWS_DEFAULT_REGION chooses the region."
        ) from error
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def settings_of(stack: str, given: Mapping[str, str], overridable: set[str]) -> dict[str, str]:
    """Return the variables that the stack sets, and point boto3 to the service that the stack has as Rekognition.

    Args:
        stack: The name of the application's stack, such as `mien-dev`.
        given: The variables that are set already.
        overridable: Those that may differ from the stack's; they take precedence.

    Raises:
        SetupError: There is no such stack, it has no settings, or a variable names other resources.
        StorageError: AWS does not answer.
    """
    text = outputs(stack).get(SETTINGS)
    if text is None:
        raise SetupError(
            f"The stack {stack} has no output {SETTINGS}: it is not the application's, or of an old version."
        )
    settings = {name: value for name, _, value in (pair.partition("=") for pair in text.split()) if value}
    if endpoint := settings.pop(ENDPOINT, None):
        os.environ.setdefault(ENDPOINT, endpoint)
    for name, value in settings.items():
        if name not in overridable and given.get(name, value) not in {"", value}:
            raise SetupError(f"{name} is {given[name]}, but the stack {stack} has {value}; unset one of the two.")
    return {name: value for name, value in settings.items() if not (name in overridable and given.get(name))}


def functions_of(stack: str) -> dict[str, str]:
    """Return the role of each function of a stack, by the function's name. Raises StorageError."""
    with clients.domain_errors():
        pages: Any = clients.cloudformation().get_paginator("list_stack_resources").paginate(StackName=stack)
        names = [
            resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == "AWS::Lambda::Function"
        ]
        client = clients.functions()
        return {name: client.get_function_configuration(FunctionName=name)["Role"] for name in names}
