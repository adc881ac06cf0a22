"""The access keys file, and the settings that decide who may talk to the server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from mien.domain.errors import SetupError
from mien.rekognition.access import find_key
from mien.rekognition.access_keys import AccessKey, load_keys
from mien.rekognition.errors import WireError
from mien.rekognition.settings import LARGE_REGION_RATES, SigV4, WireSettings
from mien.rekognition.sigv4 import SignatureClaim
from mien.settings import Settings

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def claim(key_id="AKID", token=None):
    scope = ("20260501", "eu-west-1", "rekognition", "aws4_request")
    return SignatureClaim(key_id, scope, ("host",), "", "20260501T000000Z", token, None)


@pytest.fixture
def keys_file(tmp_path):
    def write(content):
        path = tmp_path / "keys.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_a_key_has_an_identity_and_limits(keys_file):
    entry = {"secret": "s", "identity": "gate", "collections": ["door-*"], "operations": ["Search*"]}
    key = load_keys(keys_file({"AKID": entry}))["AKID"]
    assert key.identity == "gate"
    assert key.may_call("SearchFaces", "door-1")
    assert not key.may_call("SearchFaces", "staff")
    assert not key.may_call("IndexFaces", "door-1")
    assert key.may_read("any")
    assert "secret" not in repr(key)


def test_a_key_that_is_bound_to_collections_may_not_list_the_others():
    key = AccessKey("gate", "s", collections=("door",))
    assert not key.may_call("ListCollections", None)
    assert key.may_call("DetectFaces", None)


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        pytest.param("[" * 100_000, id="deep"),
        {"AKID": {"secret": "half \ud800", "identity": "i"}},
        {"AKID": {"secret": "s", "identity": "i", "session_token": "\udfff"}},
        [],
        {"AKID": {}},
        {"AKID": {"secret": "s"}},
        {"AKID": {"secret": "", "identity": "i"}},
        {"AKID": {"secret": "s", "identity": "i", "colections": ["typo"]}},
        {"AKID": {"secret": "s", "identity": "i", "collections": "all"}},
        {"AKID": {"secret": "s", "identity": "i", "buckets": "album"}},
        {"AKID": {"secret": "s", "identity": "i", "expires": "soon"}},
        {"AKID": {"secret": "s", "identity": "i", "session_token": 1}},
        '{"A": {"secret": "s", "identity": "i", "operations": ["Detect*"]}, "A": {"secret": "s", "identity": "i"}}',
        '{"A": {"secret": "s", "identity": "i", "operations": ["Detect*"], "operations": ["*"]}}',
    ],
)
def test_an_invalid_keys_file_is_refused(keys_file, content):
    with pytest.raises(SetupError):
        load_keys(keys_file(content))


def test_a_missing_keys_file_is_refused(tmp_path):
    with pytest.raises(SetupError):
        load_keys(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("known", "given_"), [(None, "token"), ("token", None), ("token", "other")], ids=["surplus", "missing", "wrong"]
)
def test_session_tokens_must_fit(known, given_):
    with pytest.raises(WireError) as caught:
        find_key({"AKID": AccessKey("i", "s", session_token=known)}, claim(token=given_), NOW)
    assert caught.value.code == "UnrecognizedClientException"


def test_an_expired_session_says_so():
    key = AccessKey("i", "s", session_token="t", expires=NOW)
    assert find_key({"AKID": key}, claim(token="t"), NOW - timedelta(seconds=1)) is key
    with pytest.raises(WireError) as caught:
        find_key({"AKID": key}, claim(token="t"), NOW)
    assert caught.value.code == "ExpiredTokenException"


def test_signatures_are_verified_except_on_loopback_without_keys(keys_file):
    keys = {"MIEN_ACCESS_KEYS_FILE": str(keys_file({"AKID": {"secret": "s", "identity": "i"}}))}
    assert Settings().wire_settings("127.0.0.1").sigv4 is SigV4.ACCEPT_ANY
    assert Settings().wire_settings("0.0.0.0").sigv4 is SigV4.VERIFY
    assert Settings.from_environment(keys).wire_settings("localhost").sigv4 is SigV4.VERIFY
    assert WireSettings().sigv4 is SigV4.VERIFY


@pytest.mark.parametrize(
    "environment",
    [
        {"MIEN_SIGV4": "accept-any"},
        {"MIEN_SIGV4": "off"},
        {"MIEN_REKOGNITION_LIMITS": "fast"},
        {"MIEN_REKOGNITION_LIMITS": "DetectLabels=3"},
        {"MIEN_REKOGNITION_LIMITS": "IndexFaces=-3"},
        {"MIEN_REKOGNITION_DELAY": "soon"},
        {"MIEN_REKOGNITION_DELAY": "-1"},
        {"MIEN_REKOGNITION_ACCOUNT": "me"},
    ],
)
def test_invalid_settings_are_refused(environment):
    with pytest.raises(SetupError):
        Settings.from_environment(environment).wire_settings("192.168.0.1")


def test_rates_are_a_preset_or_a_list():
    def rates(text):
        return Settings.from_environment({"MIEN_REKOGNITION_LIMITS": text}).wire_settings("127.0.0.1").rates

    assert rates("us-east-1") == LARGE_REGION_RATES
    assert rates("IndexFaces=5, SearchFaces=0.5") == {"IndexFaces": 5, "SearchFaces": 0.5}
    assert rates("") == {}
