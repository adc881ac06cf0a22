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
        raise WireError("UnrecognizedClientException", "The security token included in the request is invalid.")
    if key.expires is not None and now >= key.expires:
        raise WireError("ExpiredTokenException", "The security token included in the request is expired")
    return key


def identify(request: RawRequest, settings: WireSettings, *, is_local: bool) -> Caller:
    """Return the caller who signed the request.

    In accept-any mode the request must be signed, but neither its secret nor its time is checked.

    Args:
        request: The request as received.
        settings: The mode of verification, the known access keys and the accepted region.
        is_local: Whether the request comes from this machine, and not from a web page.

    Raises WireError for a missing, incomplete or wrong signature and for an unknown key, with AWS's code for each.
    """
    claim = read_claim(request)
    if settings.sigv4 is SigV4.ACCEPT_ANY:
        if not is_local:
            raise WireError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                cause="accept-any serves this machine only, and no web page.",
            )
        return Caller(AccessKey(identity="developer", secret=""), None, claim.region)
    now = datetime.now(UTC)
    key = find_key(settings.keys, claim, now)
    verify(request, claim, key.secret, region=settings.region, now=now)
    return Caller(key, claim.access_key_id, claim.region)


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
