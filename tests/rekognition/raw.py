"""Raw HTTP with a signature made by botocore: for what no AWS client would send."""

from __future__ import annotations

import hashlib
from datetime import datetime
from unittest.mock import patch

import httpx
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

JSON_TYPE = "application/x-amz-json-1.1"


class PresignedBody(auth.SigV4QueryAuth):
    """botocore moves a JSON body into the query when it presigns; here the body stays what it is."""

    def __init__(self, body: bytes, *args: object, **more: object) -> None:
        super().__init__(*args, **more)
        self._body = body

    def payload(self, request: AWSRequest) -> str:
        return hashlib.sha256(self._body).hexdigest()


def signed_headers(
    url: str,
    body: bytes,
    target: str,
    *,
    key: str = "test",
    secret: str = "test",
    service: str = "rekognition",
    at: datetime | None = None,
) -> dict[str, str]:
    request = AWSRequest("POST", url, headers={"Content-Type": JSON_TYPE, "X-Amz-Target": target}, data=body)
    signer = auth.SigV4Auth(Credentials(key, secret), service, "eu-west-1")
    if at is None:
        signer.add_auth(request)
    else:
        with patch("botocore.auth.get_current_datetime", return_value=at):
            signer.add_auth(request)
    return dict(request.headers.items())


def post(url: str, body: bytes, operation: str = "ListCollections", **signing: object) -> httpx.Response:
    """A signed POST of any body."""
    url = f"{url}/"
    target = f"RekognitionService.{operation}"
    return httpx.post(url, content=body, headers=signed_headers(url, body, target, **signing), timeout=60)


def error(response: httpx.Response) -> str:
    assert response.status_code == 400
    assert response.headers["content-type"] == JSON_TYPE
    kind: str = response.json()["__type"]
    return kind
