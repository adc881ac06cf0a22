"""Change and delete stacks of CloudFormation, whatever state they are in."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

POLL = {"Delay": 3, "MaxAttempts": 1200}
NEVER_CAME_UP = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}
NOT_THERE = {"DELETE_COMPLETE", "DELETE_SKIPPED"}  # the latter: the stack has let go of it
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


class Refused(Exception):
    """What cannot be done, in a sentence that says what to do."""


@dataclass(frozen=True)
class Stack:
    """A stack as it is; `status` is empty when there is none."""

    name: str
    status: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self.status not in {"", "REVIEW_IN_PROGRESS"}

    @property
    def is_busy(self) -> bool:
        return self.exists and self.status.endswith("_IN_PROGRESS")


def find(name: str) -> Stack:
    try:
        (found,) = _client().describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return Stack(name)
        raise
    parameters = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    return Stack(name, found["StackStatus"], parameters, outputs)


def settled(name: str) -> Stack:
    """Return a stack that can be changed: wait for what is under way, and remove what never came up.

    Raises Refused for a stack that only its owner can repair.
    """
    stack = _at_rest(name)
    if stack.status in NEVER_CAME_UP:
        print(f"{name}: an earlier operation failed ({stack.status}); removing what it left.")  # noqa: T201
        delete(name)
        return Stack(name)
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise Refused(
            f"{name} could not return to its former state: {_first_failure(name)} Remove the cause, then run `aws "
            f"cloudformation continue-update-rollback --stack-name {name}`, and this command again. `make destroy` "
            "takes an application away in this state, too."
        )
    return stack


def apply(
    name: str, template: dict[str, Any], parameters: dict[str, str], imports: Sequence[dict[str, Any]] = ()
) -> bool:
    """Create or update a stack; tell whether anything had to change.

    Args:
        name: The stack.
        template: The whole template; for an import, what the stack has and what is to be imported.
        parameters: The value of each parameter of the template.
        imports: Existing resources to take up, as `CreateChangeSet` wants them. Then nothing else may change.

    Raises Refused with CloudFormation's reason.
    """
    client, change_set = _client(), f"mien-{uuid.uuid4().hex[:12]}"
    kind = "import" if imports else "update" if find(name).exists else "create"
    client.create_change_set(
        StackName=name,
        ChangeSetName=change_set,
        ChangeSetType=kind.upper(),
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
        **({"ResourcesToImport": list(imports)} if imports else {}),
    )
    change = {"StackName": name, "ChangeSetName": change_set}
    try:
        client.get_waiter("change_set_create_complete").wait(**change, WaiterConfig=POLL)
    except WaiterError:
        reason = client.describe_change_set(**change).get("StatusReason", "")
        client.delete_change_set(**change)
        if any(words in reason for words in NO_CHANGES):
            return False
        raise Refused(f"CloudFormation refuses the change of {name}: {reason}") from None
    client.execute_change_set(**change)
    _wait(name, kind)
    return True


def remove(name: str) -> bool:
    """Delete a stack in whatever state it is, also one of which there is nothing but its name; tell whether it was."""
    if not _at_rest(name).status:
        return False
    delete(name)
    return True


def delete(name: str) -> None:
    """Delete a stack; its resources with a policy to be retained stay. Raises Refused with CloudFormation's reason.

    Tables that are protected from deletion stay, too: where a first deployment failed, CloudFormation can neither keep
    nor delete them by itself. The next deployment takes them up.
    """
    _client().delete_stack(StackName=name)
    try:
        _wait(name, "delete")
    except Refused:
        if not (tables := _undeleted_tables(name)):
            raise
        _client().delete_stack(StackName=name, RetainResources=tables)
        _wait(name, "delete")


def template(name: str) -> dict[str, Any]:
    """Return the template of a stack that `apply` made."""
    body = _client().get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
    parsed: dict[str, Any] = json.loads(body) if isinstance(body, str) else body
    return parsed


def resources(name: str) -> dict[str, str]:
    """Return the physical name of each resource that the stack has, by logical name."""
    pages = _client().get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "")
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceStatus"] not in NOT_THERE
    }


def _undeleted_tables(name: str) -> list[str]:
    pages = _client().get_paginator("list_stack_resources").paginate(StackName=name)
    return [
        resource["LogicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if (resource["ResourceType"], resource["ResourceStatus"]) == ("AWS::DynamoDB::Table", "DELETE_FAILED")
    ]


def owner(physical: str) -> str | None:
    """Return the name of the stack that has a resource, if any has."""
    try:
        found = _client().describe_stack_resources(PhysicalResourceId=physical)["StackResources"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # so CloudFormation says that no stack has it
            return None
        raise
    alive = [each["StackName"] for each in found if each["ResourceStatus"] not in NOT_THERE]
    return alive[0] if alive else None


def _at_rest(name: str) -> Stack:
    """Return a stack when what is under way has ended."""
    stack = find(name)
    if stack.is_busy:
        print(f"{name}: an earlier operation is still running ({stack.status}); waiting for it.")  # noqa: T201
        while stack.is_busy:
            time.sleep(POLL["Delay"])
            stack = find(name)
    return stack


def _wait(name: str, operation: str) -> None:
    try:
        _client().get_waiter(f"stack_{operation}_complete").wait(StackName=name, WaiterConfig=POLL)
    except WaiterError:
        raise Refused(
            f"CloudFormation could not {operation} {name}: {_first_failure(name)} Remove the cause and run this "
            "command again; it goes on where it stopped."
        ) from None


def _first_failure(name: str) -> str:
    """Return the resource that failed first in the last operation, and why."""
    pages = _client().get_paginator("describe_stack_events").paginate(StackName=name)
    newest_first = (event for page in pages for event in page["StackEvents"])

    def goes_on(event: dict[str, Any]) -> bool:
        """Whether an event is not the one by which the operation began, a word about the stack itself."""
        return (event["LogicalResourceId"], event.get("ResourceStatusReason")) != (name, "User Initiated")

    events = takewhile(goes_on, newest_first)
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', '')}" if failed else ""


def _client() -> Any:
    return boto3.client("cloudformation")
