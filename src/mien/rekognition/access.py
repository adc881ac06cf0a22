"""From a signed request to a caller, and from a caller to what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mien.rekognition.access_keys import AccessKey, find_key
from mien.rekognition.errors import UNREADABLE_OBJECT, WireError
from mien.rekognition.serializers import collection_arn, identity_arn
from mien.rekognition.settings import SigV4, WireSettings
from mien.rekognition.sigv4 import Received, read_claim, verify

IMAGES = ("Image", "SourceImage", "TargetImage")


@dataclass(frozen=True, slots=True)
class Caller:
    key: AccessKey
    region: str


def identify(request: Received, local: bool, settings: WireSettings) -> Caller:
    """Who signed the request. `local`: it comes from this machine, and not from a web page. Raises WireError.

    In accept-any mode the signature must be there, but its secret and its time do not count.
    """
    claim = read_claim(request)
    if settings.sigv4 is SigV4.ACCEPT_ANY:
        if not local:
            raise WireError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                cause="accept-any takes requests from this machine only, and none from a web page.",
            )
        return Caller(AccessKey(identity="developer", secret=""), claim.region)
    now = datetime.now(UTC)
    key = find_key(settings.keys, claim, now)
    verify(request, claim, key.secret, region=settings.region, now=now)
    return Caller(key, claim.region)


def authorise(caller: Caller, operation: str, params: dict[str, Any], account: str) -> None:
    """Raise AccessDeniedException, in AWS's words, unless the caller may do this.

    A bucket that the caller may not read is InvalidS3ObjectException, as on AWS.
    """
    collection_id = params.get("CollectionId")
    if caller.key.may(operation, collection_id):
        _check_buckets(caller, params)
        return
    who, action = identity_arn(account, caller.key.identity), f"rekognition:{operation}"
    resource = collection_arn(caller.region, account, collection_id) if collection_id else "*"
    raise WireError(
        "AccessDeniedException",
        f"User: {who} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action",
        cause=f"The caller's key does not allow {operation} here.",
    )


def _check_buckets(caller: Caller, params: dict[str, Any]) -> None:
    objects = [params[name].get("S3Object", {}) for name in IMAGES if name in params]
    if not all(caller.key.may_read(place["Bucket"]) for place in objects if "Bucket" in place):
        raise WireError(
            "InvalidS3ObjectException", UNREADABLE_OBJECT, cause="The caller's key does not allow this bucket."
        )
