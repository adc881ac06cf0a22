"""Who signed this request? AWS Signature Version 4, checked on the server side with the standard library alone.

Both forms are read: the Authorization header and the presigned query string. The signature covers the raw path,
the raw query, the headers as they came (Host too: a proxy must pass it on) and the raw body.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from urllib.parse import parse_qsl, quote

from mien.rekognition.errors import WireError

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "rekognition"
TERMINATOR = "aws4_request"
WINDOW = timedelta(minutes=15)
LONGEST_VALIDITY = 7 * 24 * 3600
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
QUERY_FIELDS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
MUST_BE_SIGNED = ("host", "x-amz-date", "x-amz-security-token", "x-amz-target")
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came over the wire; header names are in lower case, several of one name joined by commas."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its signer, before anything of it is believed."""

    access_key_id: str
    scope: tuple[str, ...]
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    token: str | None
    valid_for: timedelta | None

    @property
    def region(self) -> str:
        return self.scope[1]


def read_claim(request: Received) -> Claim:
    """Read the claim from header or query. Raises WireError when it is missing or incomplete."""
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    presigned, header = "X-Amz-Algorithm" in query, request.headers.get("authorization")
    if presigned and header is not None:
        _invalid("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
    if presigned:
        return _query_claim(query)
    if header is None:
        raise WireError("MissingAuthenticationTokenException", "Missing Authentication Token")
    return _header_claim(header, request.headers)


def verify(request: Received, claim: Claim, secret: str, *, region: str | None, now: datetime) -> None:
    """Check scope, time and signature. `region`: the only one to accept, None for any. Raises WireError."""
    _check_scope(claim, region)
    _check_time(claim, now)
    _check_signed_headers(request, claim)
    expected = _signature(request, claim, secret)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        _invalid(MISMATCH)


def _header_claim(header: str, headers: Mapping[str, str]) -> Claim:
    algorithm, _, rest = header.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    wanted = ("Credential", "Signature", "SignedHeaders")
    lacks = [f"Authorization header requires '{name}' parameter." for name in wanted if not fields.get(name)]
    if "x-amz-date" not in headers:
        lacks.append("Authorization header requires existence of a 'X-Amz-Date' header.")
    if algorithm != ALGORITHM:
        lacks.append(f"The algorithm must be {ALGORITHM}.")
    if lacks:
        raise WireError("IncompleteSignatureException", " ".join(lacks))
    access_key_id, scope = _credential(fields["Credential"])
    return Claim(
        access_key_id=access_key_id,
        scope=scope,
        signed_headers=tuple(fields["SignedHeaders"].lower().split(";")),
        signature=fields["Signature"],
        timestamp=headers["x-amz-date"],
        token=headers.get("x-amz-security-token"),
        valid_for=None,
    )


def _query_claim(query: Mapping[str, str]) -> Claim:
    lacks = [f"AWS query-string parameters must include '{name}'." for name in QUERY_FIELDS if not query.get(name)]
    expires = query.get("X-Amz-Expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 6):
        lacks.append("X-Amz-Expires must be a number of seconds.")
    if lacks or query["X-Amz-Algorithm"] != ALGORITHM:
        raise WireError("IncompleteSignatureException", " ".join([*lacks, "Re-examine the query-string parameters."]))
    access_key_id, scope = _credential(query["X-Amz-Credential"])
    return Claim(
        access_key_id=access_key_id,
        scope=scope,
        signed_headers=tuple(query["X-Amz-SignedHeaders"].lower().split(";")),
        signature=query["X-Amz-Signature"],
        timestamp=query["X-Amz-Date"],
        token=query.get("X-Amz-Security-Token"),
        valid_for=timedelta(seconds=min(int(expires), LONGEST_VALIDITY)),
    )


def _credential(text: str) -> tuple[str, tuple[str, ...]]:
    access_key_id, *scope = text.split("/")
    if len(scope) != 4 or not all((access_key_id, *scope)):
        raise WireError(
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        )
    return access_key_id, tuple(scope)


def _check_scope(claim: Claim, region: str | None) -> None:
    date, claimed_region, service, terminator = claim.scope
    if service != SERVICE:
        _invalid(f"Credential should be scoped to correct service: '{SERVICE}'.")
    if region is not None and claimed_region != region:
        _invalid(f"Credential should be scoped to a valid region, not '{claimed_region}'.")
    if terminator != TERMINATOR:
        _invalid(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.")
    if date != claim.timestamp[:8]:
        _invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{claim.timestamp[:8]}', from '{claim.timestamp}'."
        )


def _check_time(claim: Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise WireError(
            "IncompleteSignatureException",
            f"Date must be in ISO-8601 'basic format'. Got '{claim.timestamp}'.",
        ) from None
    lifetime, minutes = claim.valid_for or WINDOW, int(WINDOW.total_seconds() // 60)
    stamp, current = claim.timestamp, now.strftime(TIME_FORMAT)
    earliest, latest = now - lifetime, now + WINDOW
    if signed_at < earliest:
        span = f"{minutes} min." if claim.valid_for is None else f"{int(lifetime.total_seconds())} s"
        _invalid(
            f"Signature expired: {stamp} is now earlier than {earliest.strftime(TIME_FORMAT)} ({current} - {span})"
        )
    if signed_at > latest:
        _invalid(
            f"Signature not yet current: {stamp} is still later than {latest.strftime(TIME_FORMAT)} "
            f"({current} + {minutes} min.)"
        )


def _check_signed_headers(request: Received, claim: Claim) -> None:
    for name in MUST_BE_SIGNED:
        needed = name == "host" or name in request.headers
        if needed and name not in claim.signed_headers:
            _invalid(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    for name in claim.signed_headers:
        if name not in request.headers:
            _invalid(f"The signed header '{name}' is not in the request.")


def _signature(request: Received, claim: Claim, secret: str) -> str:
    canonical = hashlib.sha256(_canonical_request(request, claim).encode()).hexdigest()
    to_sign = "\n".join((ALGORITHM, claim.timestamp, "/".join(claim.scope), canonical))
    key = f"AWS4{secret}".encode()
    for part in claim.scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def _canonical_request(request: Received, claim: Claim) -> str:
    headers = (f"{name}:{' '.join(request.headers[name].split())}\n" for name in claim.signed_headers)
    return "\n".join(
        (
            request.method,
            quote(request.path, safe="/~"),
            _canonical_query(request.query),
            "".join(headers),
            ";".join(claim.signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    encoded = ((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in sorted(encoded) if name != "X-Amz-Signature")


def _invalid(message: str) -> NoReturn:
    raise WireError("InvalidSignatureException", message)
