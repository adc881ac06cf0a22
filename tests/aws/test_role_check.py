"""What `mien doctor` says of the functions' roles, by IAM's simulator."""

from __future__ import annotations

from typing import Any

import pytest

from mien.backends.aws import clients, roles
from mien.backends.aws.doctor import Check, examine
from mien.settings import Settings

ROLE = "arn:aws:iam::123456789012:role/mien-dev-UploadRole"


class Iam:
    """One role with an inline and an attached policy; `verdicts` are what the simulator answers, by action."""

    def __init__(self, **verdicts: dict[str, Any]) -> None:
        self._verdicts = verdicts

    def list_role_policies(self, RoleName: str) -> Any:  # noqa: N803
        assert RoleName == "mien-dev-UploadRole"
        return {"PolicyNames": ["work"]}

    def get_role_policy(self, **_: str) -> Any:
        return {"PolicyDocument": _policy(["s3:GetObject", "s3:PutObject"])}

    def list_attached_role_policies(self, **_: str) -> Any:
        return {"AttachedPolicies": [{"PolicyArn": "arn:aws:iam::123456789012:policy/shared"}]}

    def get_policy(self, **_: str) -> Any:
        return {"Policy": {"DefaultVersionId": "v1"}}

    def get_policy_version(self, **_: str) -> Any:
        return {"PolicyVersion": {"Document": _policy("secretsmanager:GetSecretValue")}}

    def simulate_principal_policy(self, PolicySourceArn: str, ActionNames: list[str], **_: Any) -> Any:  # noqa: N803
        assert PolicySourceArn == ROLE
        allowed = {"EvalDecision": "allowed"}
        return {
            "EvaluationResults": [
                {"EvalActionName": name} | self._verdicts.get(name.partition(":")[2], allowed) for name in ActionNames
            ]
        }


def _policy(actions: str | list[str]) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "arn:aws:s3:::photos/*"}]}


def test_a_role_that_may_what_its_policies_say_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "iam", Iam)
    assert roles.denied(ROLE) == []


def test_what_a_boundary_or_an_organisation_denies_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    by_organisation = {
        "EvalDecision": "implicitDeny",
        "OrganizationsDecisionDetail": {"AllowedByOrganizations": False},
    }
    by_boundary = {
        "EvalDecision": "implicitDeny",
        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
    }
    by_hand = {"EvalDecision": "explicitDeny"}
    iam = Iam(GetObject=by_boundary, PutObject=by_organisation, GetSecretValue=by_hand)
    monkeypatch.setattr(clients, "iam", lambda: iam)
    assert roles.denied(ROLE) == [
        "s3:GetObject (denied by the permissions boundary)",
        "s3:PutObject (denied by a policy of the organisation)",
        "secretsmanager:GetSecretValue (explicitDeny)",
    ]


def test_the_doctor_tells_which_function_may_not_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "iam", lambda: Iam(PutObject={"EvalDecision": "explicitDeny"}))
    monkeypatch.setattr("mien.backends.aws.outputs.functions_of", lambda _: {"mien-dev-upload": ROLE})
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    first = next(examine(Settings(stack="mien-dev")))
    assert first == Check("role of mien-dev-upload", "It may not s3:PutObject (explicitDeny).")
