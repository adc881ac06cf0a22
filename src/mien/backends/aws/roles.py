"""Check with IAM's simulator what the roles of a stage's functions may do.

A role's own policies say what its function needs; a permissions boundary, a policy of the organisation or one that
somebody attached by hand may still deny it. The simulator tells, without calling anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mien.backends.aws import clients

ALLOWED = "allowed"


def denied(role_arn: str) -> list[str]:
    """Return each action that a role's policies allow and something else denies, with why.

    Raises SetupError when the caller may not read or simulate the role, and StorageError.
    """
    with clients.domain_errors():
        iam = clients.iam()
        found = []
        for actions, resources in _statements(iam, role_arn.rpartition("/")[2]):
            answer = iam.simulate_principal_policy(
                PolicySourceArn=role_arn, ActionNames=list(actions), ResourceArns=list(resources), MaxItems=1000
            )
            found += [_reason(each) for each in answer["EvaluationResults"] if each["EvalDecision"] != ALLOWED]
        return found


def _statements(iam: Any, role: str) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield actions and resources of everything that the role's policies allow without a condition."""
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield from _allowed(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        yield from _allowed(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _allowed(document: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow" and "Condition" not in statement:
            yield _listed(statement["Action"]), _listed(statement["Resource"])


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _reason(result: Mapping[str, Any]) -> str:
    action = result["EvalActionName"]
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return f"{action} (denied by a policy of the organisation)"
    if not result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True):
        return f"{action} (denied by the permissions boundary)"
    return f"{action} ({result['EvalDecision']})"
