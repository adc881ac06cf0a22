"""Identify who signed a request, and decide what the caller may do. Callers are known by their access keys."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mien.rekognition.access_keys import AccessKey
from mien.rekognition.errors import UNREADABLE_OBJECT, WireError
from mien.rekognition.serializers import collection_arn, identity_arn
from mien.rekognition.settings import SigV4, WireSettings
from mien.rekognition.sigv4 import RawRequest, SignatureClaim, read_claim, verify

IMAGE_PARAMETERS = ("Image", "SourceImage", "TargetImage")
UNKNOWN_KEY = "The security token included in the request is invalid."
HOW_TO_GET_A_KEY = "This server knows no access keys; whoever runs it lists them in MIEN_ACCESS_KEYS_FILE."
NOT_LOCAL = (
    "Without access keys (MIEN_ACCESS_KEYS_FILE) this server answers programs on its own machine only: no proxy, no "
    "web page, no other host name."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: the access key, its id, and the region that the request was signed for.

    `key_id` is None where the id is only claimed, in accept-any mode.
    """

    key: AccessKey
    key_id: str | None
    region: str


def find_key(keys: Mapping[str, AccessKey], claim: SignatureClaim, now: datetime) -> AccessKey:
    """Return the access key that a request claims to be signed with.

    Raises WireError: UnrecognizedClientException for an unknown key or a wrong session token, ExpiredTokenException
    for temporary credentials that have ended.
    """
    key = keys.get(claim.access_key_id)
    if key is None or not _tokens_equal(key.session_token, claim.session_token):
        raise WireError("UnrecognizedClientException", UNKNOWN_KEY if keys else f"{UNKNOWN_KEY} {HOW_TO_GET_A_KEY}")
    if key.expires is not None and now >= key.expires:
        raise WireError("ExpiredTokenException", "The security token included in the request is expired")
    return key


def identify(request: RawRequest, settings: WireSettings, *, is_local: bool) -> Caller:
    """Return the caller who signed the request.

    In accept-any mode the request must be signed, but neither its secret nor its time is checked.

    Args:
        request: The request as received.
        settings: The mode of verification, the known access keys and the accepted region.
        is_local: Whether it comes from a program on this machine.

    Raises WireError for a missing, incomplete or wrong signature and for an unknown key, with AWS's code for each.
    """
    caller, claim, now = find_caller(request, settings, is_local=is_local)
    if settings.sigv4 is SigV4.VERIFY:
        verify(request, claim, caller.key.secret, region=settings.region, now=now)
    return caller


def find_caller(
    request: RawRequest, settings: WireSettings, *, is_local: bool
) -> tuple[Caller, SignatureClaim, datetime]:
    """Return the caller whom a request claims to come from, the claim, and the time; its body is not looked at.

    Raises WireError for a missing or incomplete signature and for an unknown key.
    """
    claim, now = read_claim(request), datetime.now(UTC)
    if settings.sigv4 is SigV4.VERIFY:
        return Caller(find_key(settings.keys, claim, now), claim.access_key_id, claim.region), claim, now
    if not is_local:
        raise WireError("UnrecognizedClientException", f"{UNKNOWN_KEY} {NOT_LOCAL}", cause=NOT_LOCAL)
    return Caller(AccessKey(identity="developer", secret=""), None, claim.region), claim, now


def authorize(caller: Caller, operation: str, params: Mapping[str, Any], account: str) -> None:
    """Return if the caller may make this call.

    Raises WireError: AccessDeniedException, in AWS's wording, for the operation or the collection, and
    InvalidS3ObjectException for a bucket that the caller may not read, as on AWS.
    """
    collection_id = params.get("CollectionId")
    if caller.key.may_call(operation, collection_id):
        _authorize_buckets(caller, params)
        return
    user, action = identity_arn(account, caller.key.identity), f"rekognition:{operation}"
    resource = collection_arn(caller.region, account, collection_id) if collection_id else "*"
    raise WireError(
        "AccessDeniedException",
        f"User: {user} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action",
        cause=f"The caller's key does not allow {operation} here.",
    )


def _authorize_buckets(caller: Caller, params: Mapping[str, Any]) -> None:
    objects = [params[name].get("S3Object", {}) for name in IMAGE_PARAMETERS if name in params]
    if not all(caller.key.may_read(s3_object["Bucket"]) for s3_object in objects if "Bucket" in s3_object):
        raise WireError(
            "InvalidS3ObjectException", UNREADABLE_OBJECT, cause="The caller's key does not allow this bucket."
        )


def _tokens_equal(expected: str | None, received: str | None) -> bool:
    if expected is None or received is None:
        return expected is received
    return hmac.compare_digest(expected.encode(), received.encode())
