"""`mien --stack` and MIEN_STACK: the settings come from the stack, and never mix two of them."""

from __future__ import annotations

import os

import boto3
import pytest
from botocore.stub import Stubber

from mien.backends.aws import clients, outputs
from mien.domain.errors import SetupError
from mien.settings import Backend, Settings
from tests.aws import stack

REGION = stack.REGION


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    client = boto3.client("cloudformation", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(clients, "cloudformation", lambda: client)
    stubber = Stubber(client)
    stubber.activate()
    return stubber


def _answer(stubber: Stubber, **put_out: str) -> None:
    found = {
        "StackName": "mien-dev",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": "2026-11-28T00:00:00Z",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in put_out.items()],
    }
    stubber.add_response("describe_stacks", {"Stacks": [found]}, {"StackName": "mien-dev"})


def _template_settings() -> str:
    """What the template puts out with default parameters."""
    text: str = stack.resolve(stack.translated()["Outputs"]["Settings"]["Value"])
    return text


def test_the_settings_of_the_template_are_those_of_the_application(cloudformation: Stubber) -> None:
    _answer(cloudformation, Settings=_template_settings())
    settings = Settings.from_environment({}, stack="mien-dev")
    assert settings.backend is Backend.AWS
    assert (settings.collection, settings.faces_table) == ("face-collection", "FaceMetadata")
    assert (settings.policy.threshold, settings.policy.result_days, settings.policy.visitor_days) == (80, 90, 30)
    assert settings.keys_secret
    assert settings.rekognition_keys_secret is None


def test_the_variable_does_what_the_option_does(cloudformation: Stubber) -> None:
    _answer(cloudformation, Settings="MIEN_BACKEND=aws MIEN_BUCKET=photos")
    assert Settings.from_environment({"MIEN_STACK": "mien-dev"}).bucket == "photos"


def test_a_threshold_may_differ_but_a_bucket_may_not(cloudformation: Stubber) -> None:
    _answer(cloudformation, Settings="MIEN_BACKEND=aws MIEN_BUCKET=photos MIEN_THRESHOLD=80")
    assert Settings.from_environment({"MIEN_THRESHOLD": "95"}, stack="mien-dev").policy.threshold == 95
    _answer(cloudformation, Settings="MIEN_BACKEND=aws MIEN_BUCKET=photos")
    with pytest.raises(SetupError, match="MIEN_BUCKET is others, but the stack mien-dev has photos"):
        Settings.from_environment({"MIEN_BUCKET": "others"}, stack="mien-dev")


def test_a_service_in_rekognitions_place_is_found(cloudformation: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(outputs.ENDPOINT, "")
    monkeypatch.delenv(outputs.ENDPOINT)
    _answer(cloudformation, Settings="MIEN_BACKEND=aws AWS_ENDPOINT_URL_REKOGNITION=https://mien.example.org")
    Settings.from_environment({}, stack="mien-dev")
    assert os.environ[outputs.ENDPOINT] == "https://mien.example.org"


def test_a_stack_that_is_not_there_or_not_ours_is_said(cloudformation: Stubber) -> None:
    cloudformation.add_client_error("describe_stacks", "ValidationError", "Stack with id mien-dev does not exist")
    with pytest.raises(SetupError, match=f"no stack mien-dev in {REGION}.*make deploy"):
        Settings.from_environment({}, stack="mien-dev")
    _answer(cloudformation, BucketName="photos")
    with pytest.raises(SetupError, match="no output Settings"):
        Settings.from_environment({}, stack="mien-dev")
    cloudformation.add_client_error("describe_stacks", "AccessDenied", "no")
    with pytest.raises(SetupError, match="lack the permission"):
        Settings.from_environment({}, stack="mien-dev")


def test_a_stack_is_nothing_on_one_machine() -> None:
    with pytest.raises(SetupError, match="MIEN_STACK has no effect with the backend embedded"):
        Settings.from_environment({"MIEN_BACKEND": "embedded"}, stack="mien-dev")
