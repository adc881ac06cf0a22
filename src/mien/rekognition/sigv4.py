"""Verify AWS Signature Version 4 on the server side, with the standard library alone.

A request carries its signature in the Authorization header or, presigned, in the query string. The signature covers
the raw path, the raw query, the signed headers as they arrived (with Host, so a proxy must not change it) and the
raw body.

Source: IAM User Guide, "Create a signed AWS API request",
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. The error texts are those
of AWS's front end.
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
MAX_CLOCK_SKEW = timedelta(minutes=15)
MAX_PRESIGNED_SECONDS = 7 * 24 * 3600
MAX_QUERY_PARAMETERS = 64
"""A presigned request has eight at most."""

TIME_FORMAT = "%Y%m%dT%H%M%SZ"
REQUIRED_QUERY_PARAMETERS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
)
REQUIRED_SIGNED_HEADERS = ("host", "x-amz-date", "x-amz-security-token", "x-amz-target")
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class RawRequest:
    """An HTTP request as received, before anything is decoded or parsed.

    Attributes:
        method: The HTTP method, in upper case.
        path: The path, still percent-encoded.
        query: The query string, still percent-encoded, without the question mark.
        headers: Values by lower-case name; the values of a repeated header are joined by commas.
        body: The body's bytes.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class SignatureClaim:
    """The signer that a request names, and the signature that is still to be verified.

    Attributes:
        access_key_id: The access key that the request claims to be signed with.
        scope: Date (YYYYMMDD), region, service and terminator of the credential.
        signed_headers: Lower-case names of the headers that the signature covers.
        signature: The signature, in hexadecimal.
        timestamp: The time of signing, as sent (YYYYMMDDTHHMMSSZ in UTC when well-formed).
        session_token: The token of temporary credentials; None for long-term ones.
        valid_for: How long a presigned request is valid; None when the header carries the signature.
    """

    access_key_id: str
    scope: tuple[str, ...]
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    session_token: str | None
    valid_for: timedelta | None

    @property
    def region(self) -> str:
        """The region that the request is signed for."""
        return self.scope[1]


def read_claim(request: RawRequest) -> SignatureClaim:
    """Read the claim from the Authorization header or the query string.

    Raises WireError: MissingAuthenticationTokenException without a signature, IncompleteSignatureException for a
    part of one, InvalidSignatureException for two.
    """
    if request.query.count("&") >= MAX_QUERY_PARAMETERS:
        raise WireError("IncompleteSignatureException", "The request has too many query-string parameters.")
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    presigned, header = "X-Amz-Algorithm" in query, request.headers.get("authorization")
    if presigned and header is not None:
        _raise_invalid("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
    if presigned:
        return _claim_from_query(query)
    if header is None:
        raise WireError("MissingAuthenticationTokenException", "Missing Authentication Token")
    return _claim_from_header(header, request.headers)


def verify(request: RawRequest, claim: SignatureClaim, secret: str, *, region: str | None, now: datetime) -> None:
    """Verify credential scope, time, signed headers and signature.

    Args:
        request: The request as received.
        claim: The claim of that request.
        secret: The secret key that belongs to the claimed access key.
        region: The only region to accept; None accepts any.
        now: The present time, with a time zone.

    Raises WireError: InvalidSignatureException, or IncompleteSignatureException for a malformed timestamp.
    """
    _verify_scope(claim, region)
    _verify_time(claim, now)
    _verify_signed_headers(request, claim)
    expected = _signature(request, claim, secret)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        _raise_invalid(MISMATCH)


def _claim_from_header(header: str, headers: Mapping[str, str]) -> SignatureClaim:
    algorithm, _, rest = header.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    required = ("Credential", "Signature", "SignedHeaders")
    problems = [f"Authorization header requires '{name}' parameter." for name in required if not fields.get(name)]
    if "x-amz-date" not in headers:
        problems.append("Authorization header requires existence of a 'X-Amz-Date' header.")
    if algorithm != ALGORITHM:
        problems.append(f"The algorithm must be {ALGORITHM}.")
    if problems:
        raise WireError("IncompleteSignatureException", " ".join(problems))
    access_key_id, scope = _credential(fields["Credential"])
    return SignatureClaim(
        access_key_id=access_key_id,
        scope=scope,
        signed_headers=tuple(fields["SignedHeaders"].lower().split(";")),
        signature=fields["Signature"],
        timestamp=headers["x-amz-date"],
        session_token=headers.get("x-amz-security-token"),
        valid_for=None,
    )


def _claim_from_query(query: Mapping[str, str]) -> SignatureClaim:
    problems = [
        f"AWS query-string parameters must include '{name}'."
        for name in REQUIRED_QUERY_PARAMETERS
        if not query.get(name)
    ]
    expires = query.get("X-Amz-Expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 6 and int(expires) > 0):
        problems.append("X-Amz-Expires must be a number of seconds above 0.")
    if problems or query["X-Amz-Algorithm"] != ALGORITHM:
        raise WireError(
            "IncompleteSignatureException", " ".join([*problems, "Re-examine the query-string parameters."])
        )
    access_key_id, scope = _credential(query["X-Amz-Credential"])
    return SignatureClaim(
        access_key_id=access_key_id,
        scope=scope,
        signed_headers=tuple(query["X-Amz-SignedHeaders"].lower().split(";")),
        signature=query["X-Amz-Signature"],
        timestamp=query["X-Amz-Date"],
        session_token=query.get("X-Amz-Security-Token"),
        valid_for=timedelta(seconds=min(int(expires), MAX_PRESIGNED_SECONDS)),
    )


def _credential(text: str) -> tuple[str, tuple[str, ...]]:
    access_key_id, *scope = text.split("/")
    if len(scope) != 4 or not all((access_key_id, *scope)):
        raise WireError(
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        )
    return access_key_id, tuple(scope)


def _verify_scope(claim: SignatureClaim, region: str | None) -> None:
    date, claimed_region, service, terminator = claim.scope
    if service != SERVICE:
        _raise_invalid(f"Credential should be scoped to correct service: '{SERVICE}'.")
    if region is not None and claimed_region != region:
        _raise_invalid(f"Credential should be scoped to a valid region, not '{claimed_region}'.")
    if terminator != TERMINATOR:
        _raise_invalid(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.")
    if date != claim.timestamp[:8]:
        _raise_invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{claim.timestamp[:8]}', from '{claim.timestamp}'."
        )


def _verify_time(claim: SignatureClaim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise WireError(
            "IncompleteSignatureException",
            f"Date must be in ISO-8601 'basic format'. Got '{claim.timestamp}'.",
        ) from None
    lifetime = MAX_CLOCK_SKEW if claim.valid_for is None else claim.valid_for
    minutes = int(MAX_CLOCK_SKEW.total_seconds() // 60)
    stamp, current = claim.timestamp, now.strftime(TIME_FORMAT)
    earliest, latest = now - lifetime, now + MAX_CLOCK_SKEW
    if signed_at < earliest:
        span = f"{minutes} min." if claim.valid_for is None else f"{int(lifetime.total_seconds())} s"
        _raise_invalid(
            f"Signature expired: {stamp} is now earlier than {earliest.strftime(TIME_FORMAT)} ({current} - {span})"
        )
    if signed_at > latest:
        _raise_invalid(
            f"Signature not yet current: {stamp} is still later than {latest.strftime(TIME_FORMAT)} "
            f"({current} + {minutes} min.)"
        )


def _verify_signed_headers(request: RawRequest, claim: SignatureClaim) -> None:
    for name in REQUIRED_SIGNED_HEADERS:
        present = name == "host" or name in request.headers
        if present and name not in claim.signed_headers:
            _raise_invalid(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    if len(set(claim.signed_headers)) < len(claim.signed_headers):  # each takes the time to write its value
        _raise_invalid("The signed headers name one twice.")
    for name in claim.signed_headers:
        if name not in request.headers:
            _raise_invalid(f"The signed header '{name}' is not in the request.")


def _signature(request: RawRequest, claim: SignatureClaim, secret: str) -> str:
    canonical = hashlib.sha256(_canonical_request(request, claim).encode()).hexdigest()
    to_sign = "\n".join((ALGORITHM, claim.timestamp, "/".join(claim.scope), canonical))
    key = f"AWS4{secret}".encode()
    for part in claim.scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def _canonical_request(request: RawRequest, claim: SignatureClaim) -> str:
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


def _raise_invalid(message: str) -> NoReturn:
    raise WireError("InvalidSignatureException", message)
