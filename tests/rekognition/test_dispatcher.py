"""Requests that no AWS client would send; after each, the server still answers."""

from __future__ import annotations

import base64
import json
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien.rekognition import dispatcher
from mien.rekognition.access_keys import AccessKey
from mien.rekognition.dispatcher import Dispatcher, SignedCall
from mien.rekognition.settings import SigV4, WireSettings
from mien.rekognition.sigv4 import RawRequest
from mien.security.audit import LogLines
from tests.support.process import PATIENCE_SECONDS

from .raw import JSON_TYPE, PresignedBody, error, post, signed_headers

KEYS = {"AKID": AccessKey("someone", "s3cret")}
GOOD = {"key": "AKID", "secret": "s3cret"}
TARGET = "RekognitionService.ListCollections"


@pytest.fixture(scope="module")
def strict(serve):
    return serve(WireSettings(keys=KEYS))


@pytest.fixture(autouse=True)
def _still_answers(strict):
    yield
    answer = post(strict.url, b"{}", **GOOD)
    assert (answer.status_code, answer.json()["CollectionIds"]) == (200, [])


def test_an_answer_has_a_request_id_and_a_date(strict):
    headers = post(strict.url, b"{}", **GOOD).headers
    assert uuid.UUID(headers["x-amzn-requestid"])
    assert headers["content-type"] == JSON_TYPE
    assert len(headers.get_list("date")) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_another_method_is_forbidden_in_xml(strict, method):
    answer = httpx.request(method, strict.url, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/xml"
    assert method == "HEAD" or "<AccessDeniedException>" in answer.text


def test_without_target_or_content_type_there_is_no_operation(strict):
    headers = signed_headers(f"{strict.url}/", b"{}", TARGET, **GOOD)
    for missing in ("X-Amz-Target", "Content-Type"):
        answer = httpx.post(
            strict.url,
            content=b"{}",
            headers={k: v for k, v in headers.items() if k != missing},
            timeout=PATIENCE_SECONDS,
        )
        assert (answer.status_code, answer.text.strip()) == (404, "<UnknownOperationException/>")


@pytest.mark.parametrize("content_type", [f"{JSON_TYPE}; charset=utf-8", "Application/JSON"])
def test_content_types_of_other_sdks_are_taken(strict, content_type):
    headers = signed_headers(f"{strict.url}/", b"{}", TARGET, **GOOD) | {"Content-Type": content_type}
    assert (
        error(httpx.post(strict.url, content=b"{}", headers=headers, timeout=PATIENCE_SECONDS))
        == "InvalidSignatureException"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"NaN",
        b'{"MaxResults": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
    ids=["empty", "open", "array", "text", "null", "bytes", "nan", "inner nan", "deep array", "deep object"],
)
def test_a_body_that_is_no_json_object_is_a_serialization_error(strict, body):
    assert error(post(strict.url, body, **GOOD)) == "SerializationException"


def test_unknown_operations_are_unknown_and_known_ones_not_offered_are_named(strict):
    assert error(post(strict.url, b"{}", "ReadMinds", **GOOD)) == "UnknownOperationException"
    assert error(post(strict.url, b"", "ReadMinds", **GOOD)) == "UnknownOperationException"
    assert error(post(strict.url, b"{}", "", **GOOD)) == "UnknownOperationException"
    answer = post(strict.url, b"{}", "DetectLabels", **GOOD)
    assert error(answer) == "UnsupportedOperationException"
    assert "DetectLabels" in answer.json()["message"]


def test_a_hundred_megabytes_are_too_large(strict):
    answer = httpx.post(
        strict.url, content=bytes(100_000_000), headers={"X-Amz-Target": TARGET}, timeout=PATIENCE_SECONDS
    )
    assert answer.status_code == 413


def test_too_many_requests_at_once_are_throttled(serve, monkeypatch):
    begun, end = threading.Event(), threading.Event()

    def wait(*_):
        begun.set()
        end.wait(PATIENCE_SECONDS)
        return {"CollectionIds": []}

    monkeypatch.setitem(dispatcher.OPERATIONS, "ListCollections", wait)
    crowded = serve(WireSettings(sigv4=SigV4.ACCEPT_ANY, workers=1, max_waiting=0))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, crowded.url, b"{}")
        assert begun.wait(PATIENCE_SECONDS)
        assert error(post(crowded.url, b"{}")) == "ThrottlingException"
        end.set()
        assert first.result().status_code == 200


@pytest.mark.parametrize("limit", ["BODY_SECONDS", "PAUSE_SECONDS"])
def test_a_body_that_never_arrives_times_out(strict, monkeypatch, limit):
    monkeypatch.setattr(f"mien.security.bodies.{limit}", 0.2)
    with socket.create_connection(("127.0.0.1", strict.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{")
        assert b" 408 " in connection.recv(1000)


def test_a_presigned_url_is_accepted(strict):
    request = AWSRequest("POST", f"{strict.url}/", headers={"X-Amz-Target": TARGET, "Content-Type": JSON_TYPE})
    signer = PresignedBody(b"{}", Credentials("AKID", "s3cret"), "rekognition", "eu-west-1", 60)
    signer.add_auth(request)
    answer = httpx.post(request.url, content=b"{}", headers=dict(request.headers.items()), timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    altered = httpx.post(request.url, content=b"{ }", headers=dict(request.headers.items()), timeout=PATIENCE_SECONDS)
    assert error(altered) == "InvalidSignatureException"


def test_a_request_without_a_signature_is_refused(strict):
    headers = {"X-Amz-Target": TARGET, "Content-Type": JSON_TYPE}
    assert (
        error(httpx.post(strict.url, content=b"{}", headers=headers, timeout=PATIENCE_SECONDS))
        == "MissingAuthenticationTokenException"
    )
    headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=x"
    assert (
        error(httpx.post(strict.url, content=b"{}", headers=headers, timeout=PATIENCE_SECONDS))
        == "IncompleteSignatureException"
    )


@pytest.mark.parametrize(
    ("signing", "code", "words"),
    [
        ({"secret": "guess"}, "InvalidSignatureException", "does not match"),
        ({"key": "OTHER"}, "UnrecognizedClientException", "security token"),
        ({"service": "s3"}, "InvalidSignatureException", "correct service"),
    ],
    ids=["secret", "key", "scope"],
)
def test_a_wrong_signature_is_refused(strict, signing, code, words):
    answer = post(strict.url, b"{}", **{**GOOD, **signing})
    assert error(answer) == code
    assert words in answer.json()["message"]


@pytest.mark.parametrize(("minutes", "words"), [(-20, "Signature expired"), (20, "not yet current")])
def test_a_signature_of_another_time_is_refused(strict, minutes, words):
    answer = post(strict.url, b"{}", **GOOD, at=datetime.now(UTC) + timedelta(minutes=minutes))
    assert error(answer) == "InvalidSignatureException"
    assert words in answer.json()["message"]


def test_an_altered_body_is_refused(strict):
    headers = signed_headers(f"{strict.url}/", b"{}", TARGET, **GOOD)
    answer = httpx.post(strict.url, content=b'{"MaxResults": 1}', headers=headers, timeout=PATIENCE_SECONDS)
    assert error(answer) == "InvalidSignatureException"


def test_accept_any_refuses_web_pages(server):
    headers = signed_headers(f"{server.url}/", b"{}", TARGET) | {"Origin": "https://example.org"}
    assert (
        error(httpx.post(server.url, content=b"{}", headers=headers, timeout=PATIENCE_SECONDS))
        == "UnrecognizedClientException"
    )


def test_accept_any_refuses_other_machines(strict, engine):
    dispatcher = Dispatcher(None, WireSettings(sigv4=SigV4.ACCEPT_ANY), LogLines())
    headers = signed_headers("http://h/", b"{}", TARGET)
    request = RawRequest("POST", "/", "", {k.lower(): v for k, v in headers.items()} | {"host": "h"}, b"{}")
    assert json.loads(dispatcher.verify(request, is_local=False).body)["__type"] == "UnrecognizedClientException"


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ({}, "InvalidParameterException"),
        ({"Bytes": "/9j/", "S3Object": {"Bucket": "bucket", "Name": "n"}}, "InvalidParameterException"),
        ({"S3Object": {"Bucket": "bucket"}}, "InvalidParameterException"),
        ({"Bytes": base64.b64encode(base64.b64encode(b"\xff\xd8\xff")).decode()}, "InvalidImageFormatException"),
        ({"Bytes": 5}, "SerializationException"),
        ({"Bytes": "data:image/jpeg;base64,/9j/"}, "SerializationException"),
        ({"Bytes": ""}, "ValidationException"),
    ],
    ids=["neither", "both", "half", "twice base64", "number", "data url", "empty"],
)
def test_a_malformed_image_parameter_is_refused(strict, image, code):
    answer = post(strict.url, json.dumps({"Image": image}).encode(), "DetectFaces", **GOOD)
    assert error(answer) == code


def test_rekognitions_own_errors_carry_code_and_logref(strict):
    answer = post(strict.url, b'{"CollectionId": "none"}', "DescribeCollection", **GOOD)
    body = answer.json()
    assert body["__type"] == body["Code"] == "ResourceNotFoundException"
    assert body["Logref"] == answer.headers["x-amzn-requestid"]
    assert body["Message"] == "The collection id: none does not exist"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    body=st.binary(max_size=300) | st.builds(lambda inner: b'{"Image": ' + inner + b"}", st.binary(max_size=50)),
    operation=st.sampled_from(["DetectFaces", "CreateUser", "TagResource", "nothing"]) | st.text(max_size=20),
    method=st.sampled_from(["POST", "POST", "GET"]),
)
def test_any_bytes_get_an_answer(body, operation, method):
    headers = {
        "x-amz-target": f"RekognitionService.{operation}",
        "content-type": JSON_TYPE,
        "x-amz-date": "20260101T000000Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=a, Signature=b",
    }
    dispatcher = Dispatcher(None, WireSettings(sigv4=SigV4.ACCEPT_ANY), LogLines())
    verified = dispatcher.verify(RawRequest(method, "/", "", headers, body), is_local=True)
    answer = dispatcher.answer(verified) if isinstance(verified, SignedCall) else verified
    assert answer.status in (400, 403, 500)
    assert b"Traceback" not in answer.body
