"""What `make deploy`, `destroy` and `erase` say to bad input, and do in whatever state the stacks are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, WaiterError
from moto import mock_aws

from tests.aws import stack

APP, DATA = "mien-dev", "mien-dev-data"
BUCKET = f"facial-recognition-bucket-{stack.ACCOUNT}-{stack.REGION}"
Infra = Callable[[str], ModuleType]


class Stacks:
    """CloudFormation with stacks that pass through given states, and are deleted when that is possible."""

    def __init__(self) -> None:
        self.states: dict[str, list[str]] = {}
        self.parameters: dict[str, str] = {}
        self.deleted: list[str] = []
        self.undeletable = ""
        self.protected: list[str] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        states = self.states.get(StackName)
        if not states:
            raise error("ValidationError", f"Stack with id {StackName} does not exist")
        status = states.pop(0) if len(states) > 1 else states[0]
        parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()]
        return {"Stacks": [{"StackStatus": status, "Parameters": parameters}]}

    def delete_stack(self, StackName: str, RetainResources: Sequence[str] = ()) -> None:  # noqa: N803
        if self.protected and list(RetainResources) == self.protected:
            self.undeletable = ""
        self.deleted.append(StackName)
        if not self.undeletable:
            del self.states[StackName]

    def get_waiter(self, _name: str) -> Stacks:
        return self

    def wait(self, **_options: Any) -> None:
        if self.undeletable:
            raise WaiterError("stack_delete_complete", "failed", {})

    def get_paginator(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(paginate=self._resources if name == "list_stack_resources" else self._events)

    def _resources(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        role = {"LogicalResourceId": "Role", "ResourceType": "AWS::IAM::Role", "ResourceStatus": "DELETE_FAILED"}
        tables = [role | {"LogicalResourceId": each, "ResourceType": "AWS::DynamoDB::Table"} for each in self.protected]
        yield {"StackName": StackName, "StackResourceSummaries": [role, *tables]}

    def _events(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        """Yield events of a deletion and of the one before, the newest first, each on a page of its own."""
        for name, status, reason in (
            (StackName, "DELETE_FAILED", "The following failed: [Bucket, Role]"),
            ("Role", "DELETE_FAILED", "Resource deletion cancelled"),
            ("Bucket", "DELETE_FAILED", self.undeletable),
            (StackName, "DELETE_IN_PROGRESS", "User Initiated"),
            ("Table", "DELETE_FAILED", "It failed the last time."),
        ):
            event = {"LogicalResourceId": name, "ResourceStatus": status, "ResourceStatusReason": reason}
            yield {"StackEvents": [event]}

    def describe_stack_resources(self, **_asked: Any) -> dict[str, Any]:
        raise error("ValidationError", "no stack has it")


def error(code: str, message: str = "no", operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.fixture
def infra(monkeypatch: pytest.MonkeyPatch) -> Infra:
    monkeypatch.syspath_prepend(str(stack.INFRA))
    monkeypatch.setenv("AWS_DEFAULT_REGION", stack.REGION)
    return __import__


@pytest.fixture
def cloudformation(infra: Infra, monkeypatch: pytest.MonkeyPatch) -> Stacks:
    known = Stacks()
    monkeypatch.setattr(infra("stacks"), "_client", lambda: known)
    monkeypatch.setattr(infra("stacks"), "POLL", {"Delay": 0})
    return known


@pytest.fixture
def account() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def dev(infra: Infra) -> Any:
    given = {"RekognitionEndpoint": "https://mien.example"}  # whose collection is not this account's
    return infra("stage").Stage("dev", stack.ACCOUNT, stack.REGION, stack.INFRA, given)


@pytest.fixture
def run(infra: Infra, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `infra/stage.py`; return what it said and why it ended."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["stage.py", *arguments])
        try:
            infra("stage").main()
        except SystemExit as ended:
            return capsys.readouterr().out + str(ended)
        return capsys.readouterr().out

    return run


IMPOSSIBLE = {
    "a stage's name that is too long": (["deploy", "integration2"], "one to ten small letters and digits"),
    "a stage's name with a hyphen": (["destroy", "dev-2"], "one to ten small letters and digits"),
    "a bucket with dots": (["deploy", "dev", "BucketPrefix=photos.example"], "a dot would break TLS"),
    "a parameter that is not there": (["deploy", "dev", "Treshold=80"], "There is no parameter Treshold"),
    "a parameter of the data stack's outputs": (["deploy", "dev", "BucketArn=x"], "There is no parameter BucketArn"),
    "too low a limit for AWS WAF": (["deploy", "dev", "RequestsPerAddress=9"], "10 or more, which is AWS WAF's lowest"),
    "a negative number of days": (["deploy", "dev", "ResultDays=-1"], "it has to be a number from 1."),
    "too many days": (["deploy", "dev", "RecoveryDays=36"], "it has to be a number from 1 to 35."),
    "a word for a number": (["deploy", "dev", "ResultDays=all"], "it has to be a number from 1."),
    "a quota that nobody has": (["deploy", "dev", "RekognitionQuota=7"], "it has to be one of 5, 10"),
    "an alias for a key": (
        ["deploy", "dev", f"CustomerKey=arn:aws:kms:x:{stack.ACCOUNT}:alias/photos"],
        "an alias|alias",
    ),
    "photos sent in the clear": (["deploy", "dev", "RekognitionEndpoint=http://mien.example"], "begins with https://"),
    "too short a table's name": (["deploy", "dev", "FacesTableName=f"], "3 to 255 letters"),
    "an origin that is a name": (["deploy", "dev", "ApiOrigins=photos.example.org"], "origins without a path"),
    "an origin with a path": (
        ["deploy", "dev", "AllowedOrigin=https://example.org/photos"],
        "an origin without a path",
    ),
    "alarms to a name": (["deploy", "dev", "AlarmEmail=ops"], "an address for mail"),
    "a certificate by its domain": (["deploy", "dev", "DomainCertificate=example.org"], "the ARN of a certificate"),
    "a secret by its name": (["deploy", "dev", "RekognitionKeysSecret=keys"], "the ARN of a secret"),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_cannot_be_is_refused_before_aws_is_asked(what: str, run: Callable[..., str]) -> None:
    arguments, sentence = IMPOSSIBLE[what]
    said = run(*arguments)
    assert any(each in said for each in sentence.split("|")), said
    assert said.endswith(".")


POSSIBLE = {
    "ApiOrigins": "https://photos.example.org http://127.0.0.1:8000",
    "AllowedOrigin": "https://photos.example.org",
    "AlarmEmail": "ops@example.org",
    "DomainCertificate": f"arn:aws:acm:eu-central-1:{stack.ACCOUNT}:certificate/12345678-1234-1234-1234-123456789012",
    "RekognitionKeysSecret": f"arn:aws:secretsmanager:eu-central-1:{stack.ACCOUNT}:secret:mien-keys-AbCdEf",
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_aws_takes_is_taken(infra: Infra, dev: Any, name: str) -> None:
    declared = dev.template("app")["Parameters"] | dev.template("data")["Parameters"]
    infra("checks").parameters({name: POSSIBLE[name]}, declared)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("region", ["", None])
def test_no_region_is_a_sentence(monkeypatch: pytest.MonkeyPatch, run: Callable[..., str], region: str | None) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    if region is not None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    assert "must specify a region. Set AWS_DEFAULT_REGION" in run("destroy", "dev")


def test_a_profile_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    assert "(nobodys) could not be found. Set AWS_DEFAULT_REGION and AWS_PROFILE" in run("destroy", "dev")


@pytest.mark.parametrize("value", ["0", "10", "2000", "100000000"])
def test_what_aws_waf_takes_is_taken(infra: Infra, dev: Any, value: str) -> None:
    infra("checks").parameters({"RequestsPerAddress": value}, dev.template("app")["Parameters"])


def test_the_defaults_of_the_templates_are_what_they_take(infra: Infra, dev: Any) -> None:
    for part in ("data", "app"):
        declared = dev.template(part)["Parameters"]
        defaults = {name: str(each["Default"]) for name, each in declared.items() if "Default" in each}
        assert defaults
        infra("checks").parameters(defaults, declared)


def test_a_bucket_whose_name_is_too_long_is_refused(infra: Infra) -> None:
    with pytest.raises(Exception, match="would have 64 characters, and S3 takes 63"):
        infra("checks").bucket_name("b" * 64)
    infra("checks").bucket_name("b" * 63)


@pytest.mark.usefixtures("account")
def test_a_region_without_rekognition_is_refused_and_others_are_named(infra: Infra) -> None:
    with pytest.raises(Exception, match=r"not offered in eu-north-7\. Choose one of .*eu-central-1"):
        infra("checks").rekognition("eu-north-7")


@pytest.mark.parametrize("code", ["OptInRequired", "SubscriptionRequiredException", "AccessDenied"])
def test_an_account_that_may_not_use_rekognition_is_told(
    infra: Infra, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    class Refusing:
        def list_collections(self, **_asked: Any) -> None:
            raise error(code, operation="ListCollections")

    monkeypatch.setattr(boto3, "client", lambda _service: Refusing())
    with pytest.raises((infra("stacks").Refused, ClientError)) as refused:
        infra("checks").rekognition(stack.REGION)
    is_denied = isinstance(refused.value, ClientError)
    said = infra("stage")._advice(refused.value) if is_denied else str(refused.value)
    assert ("lack the permission for ListCollections" if is_denied else "Complete its sign-up") in said
    assert is_denied is (code == "AccessDenied")


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_credentials_that_are_over_are_told_so(infra: Infra, code: str) -> None:
    assert "Sign in again" in infra("stage")._advice(error(code))


@pytest.mark.parametrize(
    ("chosen", "role", "logs"),
    [("false", None, "false"), (None, None, "false"), (None, "r", "true"), ("true", "r", "true")],
)
def test_the_gateway_logs_where_the_account_lets_it(
    infra: Infra, monkeypatch: pytest.MonkeyPatch, chosen: str | None, role: str | None, logs: str
) -> None:
    class Gateway:
        def get_account(self) -> dict[str, Any]:
            return {"cloudwatchRoleArn": role} if role else {}

    monkeypatch.setattr(boto3, "client", lambda _service: Gateway())
    assert infra("checks").access_log(chosen) == logs
    if not role:
        with pytest.raises(infra("stacks").Refused, match="WITH=AccessLog=false"):
            infra("checks").access_log("true")


NEVER_UP = ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"]


@pytest.mark.parametrize("status", NEVER_UP)
def test_a_stack_that_never_came_up_makes_room(infra: Infra, cloudformation: Stacks, status: str) -> None:
    cloudformation.states = {APP: [status], DATA: ["CREATE_COMPLETE"]}
    assert not infra("stacks").settled(APP).exists
    assert cloudformation.deleted == [APP]


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"]
)
def test_a_stack_that_stands_is_left_alone(infra: Infra, cloudformation: Stacks, status: str) -> None:
    cloudformation.states = {APP: [status]}
    assert infra("stacks").settled(APP).exists
    assert cloudformation.deleted == []


def test_what_an_interrupted_deployment_began_is_waited_for(infra: Infra, cloudformation: Stacks) -> None:
    cloudformation.states = {APP: ["UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]}
    assert infra("stacks").settled(APP).status == "UPDATE_COMPLETE"


def test_an_announced_stack_without_content_is_no_stack(infra: Infra, cloudformation: Stacks) -> None:
    """CloudFormation keeps the name of a stack whose first change was never carried out."""
    cloudformation.states = {APP: ["REVIEW_IN_PROGRESS"]}
    assert not infra("stacks").settled(APP).exists
    assert cloudformation.deleted == []


def test_a_stack_that_could_not_go_back_is_its_owners_to_repair(infra: Infra, cloudformation: Stacks) -> None:
    cloudformation.states = {APP: ["UPDATE_ROLLBACK_FAILED"]}
    with pytest.raises(infra("stacks").Refused, match=f"continue-update-rollback --stack-name {APP}"):
        infra("stacks").settled(APP)
    assert cloudformation.deleted == []


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("status", [*NEVER_UP, "UPDATE_ROLLBACK_FAILED", "REVIEW_IN_PROGRESS", "CREATE_COMPLETE"])
def test_destroy_takes_the_application_away_in_every_state_and_nothing_else(
    infra: Infra, cloudformation: Stacks, dev: Any, capsys: pytest.CaptureFixture[str], status: str
) -> None:
    cloudformation.states = {APP: [status], DATA: ["CREATE_COMPLETE"], "mien-prod": ["CREATE_COMPLETE"]}
    keep_bucket()
    infra("stage").destroy(dev)
    assert cloudformation.deleted == [APP]
    said = capsys.readouterr().out
    assert f"{APP}: deleted" in said
    assert f"kept bucket {BUCKET}" in said


@pytest.mark.usefixtures("account")
def test_erase_waits_for_its_turn_and_for_the_name(infra: Infra, cloudformation: Stacks, dev: Any) -> None:
    cloudformation.states = {APP: ["REVIEW_IN_PROGRESS"], DATA: ["DELETE_FAILED"]}
    keep_bucket()
    with pytest.raises(infra("stacks").Refused, match="make destroy STAGE=dev"):
        infra("stage").erase(dev, BUCKET)
    del cloudformation.states[APP]
    with pytest.raises(infra("stacks").Refused, match="Nothing was erased"):
        infra("stage").erase(dev, "mien")
    assert (cloudformation.deleted, buckets()) == ([], [BUCKET, "somebody-elses"])
    infra("stage").erase(dev, BUCKET)
    assert (cloudformation.deleted, buckets()) == ([DATA], ["somebody-elses"])


@pytest.mark.usefixtures("account")
def test_erase_goes_on_where_it_was_interrupted(
    infra: Infra, cloudformation: Stacks, dev: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stack and some of what it kept are gone already."""
    keep_bucket()
    infra("stage").erase(dev, BUCKET)
    assert (cloudformation.deleted, buckets()) == ([], ["somebody-elses"])
    infra("stage").erase(dev, BUCKET)
    assert "Nothing is left of the stage dev" in capsys.readouterr().out


@pytest.mark.usefixtures("account")
def test_an_interrupted_erasure_still_knows_the_names_that_the_owner_chose(
    infra: Infra, cloudformation: Stacks, dev: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are parameters of the data stack."""

    def interrupt(_kept: object) -> None:
        raise KeyboardInterrupt

    own = BUCKET.replace("facial-recognition-bucket", "photos")
    keep_bucket(own)
    cloudformation.states, cloudformation.parameters = {DATA: ["CREATE_COMPLETE"]}, {"BucketPrefix": "photos"}
    with monkeypatch.context() as patch:
        patch.setattr(infra("kept"), "erase", interrupt)
        with pytest.raises(KeyboardInterrupt):
            infra("stage").erase(dev, own)
    assert (cloudformation.deleted, buckets()) == ([], [own, "somebody-elses"])
    infra("stage").erase(dev, own)
    assert (cloudformation.deleted, buckets()) == ([DATA], ["somebody-elses"])


@pytest.mark.usefixtures("account")
def test_faces_at_a_service_in_rekognitions_place_are_told_of(
    infra: Infra, cloudformation: Stacks, dev: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudformation.states = {DATA: ["CREATE_COMPLETE"]}
    infra("stage").erase(dev, BUCKET)
    said = capsys.readouterr().out
    assert "Nothing is left of the stage dev in this account." in said
    assert "Faces are in the collection face-collection of https://mien.example" in said


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("has", "said"),
    [
        ("other-photos", f"bucket of the stage dev is other-photos and cannot become {BUCKET}"),
        (BUCKET, f"bucket {BUCKET} is gone"),
    ],
)
def test_what_the_data_stack_has_is_neither_renamed_nor_missed(
    infra: Infra, cloudformation: Stacks, dev: Any, monkeypatch: pytest.MonkeyPatch, has: str, said: str
) -> None:
    """A new name would make a new bucket, and leave the photos in one that `make erase` does not know."""
    cloudformation.states = {DATA: ["CREATE_COMPLETE"]}
    monkeypatch.setattr(infra("stacks"), "resources", lambda _name: {"Bucket": has})
    with pytest.raises(infra("stacks").Refused, match=said):
        infra("stage").deploy_data(dev)


def test_whose_a_resource_is_has_to_be_known(
    infra: Infra, cloudformation: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to ask, a resource of another stack must not look like nobody's, which may be erased."""

    def refuse(**_asked: object) -> None:
        raise error("AccessDenied", operation="DescribeStackResources")

    assert infra("stacks").owner("FaceMetadata") is None
    monkeypatch.setattr(cloudformation, "describe_stack_resources", refuse)
    with pytest.raises(ClientError, match="AccessDenied"):
        infra("stacks").owner("FaceMetadata")


@pytest.mark.usefixtures("account")
def test_the_api_keys_of_another_stack_are_refused(
    infra: Infra, cloudformation: Stacks, dev: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CloudFormation knows a secret by its ARN only."""
    arn = boto3.client("secretsmanager").create_secret(Name="mien-dev-keys")["ARN"]
    cloudformation.states = {DATA: ["CREATE_COMPLETE"]}
    monkeypatch.setattr(infra("stacks"), "owner", {arn: "shop"}.get)
    with pytest.raises(infra("stacks").Refused, match="secret mien-dev-keys belongs to the stack shop"):
        infra("stage").erase(dev, BUCKET)
    assert boto3.client("secretsmanager").describe_secret(SecretId=arn)


def test_what_a_stack_has_let_go_of_is_not_its_own(
    infra: Infra, cloudformation: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection that RekognitionEndpoint replaced is kept; without the endpoint it is taken up again."""
    states = {"Bucket": "CREATE_COMPLETE", "Collection": "DELETE_SKIPPED", "FacesTable": "DELETE_COMPLETE"}
    summaries = [{"LogicalResourceId": name, "ResourceStatus": status} for name, status in states.items()]
    pages = SimpleNamespace(paginate=lambda **_asked: [{"StackResourceSummaries": summaries}])
    monkeypatch.setattr(cloudformation, "get_paginator", lambda _name: pages, raising=False)
    assert infra("stacks").resources(DATA).keys() == {"Bucket"}


def test_a_table_that_is_being_deleted_is_waited_for(infra: Infra, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deleting:
        def describe_table(self, **_asked: Any) -> dict[str, Any]:
            return {"Table": {"TableStatus": "DELETING"}}

        def get_waiter(self, name: str) -> Deleting:
            assert name == "table_not_exists"
            return self

        def wait(self, **_options: Any) -> None:
            pass

    monkeypatch.setattr(boto3, "client", lambda _service: Deleting())
    infra("kept")._erase_table("FaceMetadata")


def test_a_stack_that_cannot_be_deleted_is_told_with_the_reason(infra: Infra, cloudformation: Stacks) -> None:
    cloudformation.states, cloudformation.undeletable = {APP: ["CREATE_COMPLETE"]}, "The bucket is not empty."
    with pytest.raises(infra("stacks").Refused, match=r"could not delete mien-dev: Bucket: The bucket is not empty\."):
        infra("stacks").remove(APP)


def test_protected_tables_of_a_first_deployment_that_failed_are_left_to_the_next(
    infra: Infra, cloudformation: Stacks
) -> None:
    """A table's own protection outdoes CloudFormation, which deletes what it created when it rolls back."""
    cloudformation.states, cloudformation.undeletable = {DATA: ["ROLLBACK_FAILED"]}, "It is protected."
    cloudformation.protected = ["FacesTable", "RecordsTable"]
    assert not infra("stacks").settled(DATA).exists
    assert cloudformation.deleted == [DATA, DATA]


def test_an_interruption_says_how_to_go_on(
    infra: Infra, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]
) -> None:
    def interrupt(_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(infra("stage"), "_stage", interrupt)
    assert "run the same command again" in run("deploy", "dev")


def keep_bucket(bucket: str = BUCKET) -> None:
    """The bucket of the stage, and one that nobody named."""
    for name in (bucket, "somebody-elses"):
        place = {"LocationConstraint": stack.REGION}
        boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)


def buckets() -> list[str]:
    return [each["Name"] for each in boto3.client("s3").list_buckets()["Buckets"]]
