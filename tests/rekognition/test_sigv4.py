"""Our signature check against botocore as the signer: two implementations that know nothing of each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.rekognition import sigv4
from mien.rekognition.errors import WireError
from mien.rekognition.sigv4 import RawRequest, read_claim, verify

from .raw import PresignedBody

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BODY = b'{"CollectionId": "friends"}'
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "RekognitionService.ListFaces"}


def signed(
    *, body: bytes = BODY, token: str | None = None, url: str = "http://127.0.0.1:8000/", service: str = "rekognition"
) -> RawRequest:
    request = AWSRequest("POST", url, headers=HEADERS, data=body)
    SigV4Auth(Credentials("AKID", SECRET, token), service, "eu-west-1").add_auth(request)
    return received(request, body)


def presigned(*, body: bytes = BODY, token: str | None = None, expires: int = 60) -> RawRequest:
    request = AWSRequest("POST", "http://127.0.0.1:8000/", headers=HEADERS)
    PresignedBody(body, Credentials("AKID", SECRET, token), "rekognition", "eu-west-1", expires).add_auth(request)
    return received(request, body)


def received(request: AWSRequest, body: bytes) -> RawRequest:
    parts = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    return RawRequest("POST", parts.path, parts.query, headers, body)


def check(
    request: RawRequest, secret: str = SECRET, *, region: str | None = None, later: timedelta = timedelta()
) -> None:
    verify(request, read_claim(request), secret, region=region, now=datetime.now(UTC) + later)


def refusal(request: RawRequest, **more: object) -> WireError:
    with pytest.raises(WireError) as caught:
        check(request, **more)
    return caught.value


def changed(request: RawRequest, **headers: str) -> RawRequest:
    return replace(request, headers={**request.headers, **{k.replace("_", "-"): v for k, v in headers.items()}})


@pytest.mark.parametrize("sign", [signed, presigned])
@pytest.mark.parametrize("token", [None, "FwoGZXIvYXdz/token+="])
@pytest.mark.parametrize("body", [b"{}", BODY, bytes(range(256)) * 1000])
def test_botocores_signature_is_accepted(sign, token, body):
    request = sign(token=token, body=body)
    check(request)
    assert read_claim(request).session_token == token


@pytest.mark.parametrize("sign", [signed, presigned])
def test_another_secret_or_body_or_target_is_a_mismatch(sign):
    request = sign()
    assert "does not match" in refusal(request, secret="another").message
    assert "does not match" in refusal(replace(request, body=BODY + b" ")).message
    altered = changed(request, x_amz_target="RekognitionService.DeleteCollection")
    assert "does not match" in refusal(altered).message
    assert refusal(altered).code == "InvalidSignatureException"


@given(place=st.integers(0, 63), digit=st.sampled_from("0123456789abcdef"))
def test_any_other_signature_is_a_mismatch(place, digit):
    request = signed()
    head, _, signature = request.headers["authorization"].rpartition("=")
    other = signature[:place] + digit + signature[place + 1 :]
    forged = changed(request, authorization=f"{head}={other}")
    if other == signature:
        check(forged)
    else:
        assert refusal(forged).code == "InvalidSignatureException"


@pytest.mark.parametrize(("minutes", "words"), [(20, "Signature expired"), (-20, "not yet current")])
def test_a_clock_more_than_15_minutes_off_is_refused(minutes, words):
    request = signed()
    assert words in refusal(request, later=timedelta(minutes=minutes)).message
    check(request, later=timedelta(minutes=minutes * 14 / 20))


def test_a_presigned_request_counts_as_long_as_it_says():
    request = presigned(expires=3600)
    check(request, later=timedelta(minutes=59))
    assert "Signature expired" in refusal(request, later=timedelta(minutes=61)).message


def test_the_scope_must_say_rekognition_and_the_region():
    assert "correct service: 'rekognition'" in refusal(signed(service="s3")).message
    check(signed(), region="eu-west-1")
    assert "valid region" in refusal(signed(), region="us-east-1").message


def test_path_and_query_are_part_of_the_signature():
    request = signed(url="http://127.0.0.1:8000/proxy/a%20b?x=1&y=%C3%A9")
    check(request)
    assert refusal(replace(request, query="x=2&y=%C3%A9")).code == "InvalidSignatureException"
    assert refusal(replace(request, path="/other")).code == "InvalidSignatureException"


def test_headers_that_decide_about_the_request_must_be_signed():
    request = signed()
    authorization = request.headers["authorization"].replace(";x-amz-target", "")
    assert "'x-amz-target' must be" in refusal(changed(request, authorization=authorization)).message
    assert "x-amz-security-token" in refusal(changed(request, x_amz_security_token="t")).message


def test_no_signature_is_missing_and_half_a_signature_incomplete():
    request = signed()
    without = replace(request, headers={k: v for k, v in request.headers.items() if k != "authorization"})
    assert refusal(without).code == "MissingAuthenticationTokenException"
    half = changed(
        request, authorization="AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/rekognition/aws4_request"
    )
    assert refusal(half).code == "IncompleteSignatureException"
    assert "'Signature'" in refusal(half).message
    assert "'SignedHeaders'" in refusal(half).message
    assert refusal(changed(request, authorization="Bearer x")).code == "IncompleteSignatureException"
    both = replace(presigned(), headers=request.headers)
    assert refusal(both).code == "InvalidSignatureException"


def test_a_query_of_many_parameters_is_not_taken_apart(monkeypatch):
    monkeypatch.setattr(sigv4, "parse_qsl", lambda *_, **__: pytest.fail("it was"))
    request = presigned()
    assert refusal(replace(request, query=request.query + "&a" * 1000)).code == "IncompleteSignatureException"


@settings(max_examples=300)
@given(
    authorization=st.text(max_size=200) | st.builds("AWS4-HMAC-SHA256 {}".format, st.text(max_size=200)),
    query=st.text(max_size=100) | st.builds("X-Amz-Algorithm=AWS4-HMAC-SHA256&{}".format, st.text(max_size=100)),
    date=st.text(max_size=20) | st.just("20260101T000000Z"),
)
def test_garbage_is_refused_and_never_raises_anything_else(authorization, query, date):
    headers = {"authorization": authorization, "host": "h", "x-amz-date": date}
    assert refusal(RawRequest("POST", "/", query, headers, b"")).status == 400
    assert refusal(RawRequest("POST", "/", query, {"host": "h"}, b"")).status == 400


@settings(max_examples=200)
@given(
    fields=st.fixed_dictionaries(
        {name: st.text(max_size=20) for name in ("key", "date", "region", "service", "end", "headers", "signature")}
    )
)
def test_well_formed_nonsense_is_refused(fields):
    authorization = (
        "AWS4-HMAC-SHA256 Credential={key}/{date}/{region}/{service}/{end}, "
        "SignedHeaders={headers}, Signature={signature}".format_map(fields)
    )
    headers = {"authorization": authorization, "host": "h", "x-amz-date": "20260101T000000Z"}
    assert refusal(RawRequest("POST", "/", "", headers, b"")).status == 400
