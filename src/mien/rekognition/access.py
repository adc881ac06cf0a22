"""Identify who signed a request, and decide what the caller may do.

Callers are known by their access keys, which the access keys file lists (MIEN_ACCESS_KEYS_FILE). It is a JSON object:
access key id -> object with `secret`, `identity` (a name or an ARN) and, optionally, `collections`, `operations` and
`buckets` (lists of names, `*` matches any text), `session_token` and `expires` (ISO 8601) for temporary credentials.
Whatever a key does not limit is allowed. A key that is limited to some collections may not list the names of others.

`buckets` are those that an S3Object may name. The server reads them with its own credentials, not the caller's, so
each key should reach no more buckets than it needs.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mien.domain.errors import SetupError
from mien.rekognition.errors import UNREADABLE_OBJECT, WireError
from mien.rekognition.serializers import collection_arn, identity_arn
from mien.rekognition.settings import SigV4, WireSettings
from mien.rekognition.sigv4 import RawRequest, SignatureClaim, read_claim, verify

ENTRY_FIELDS = {"secret", "identity", "collections", "operations", "buckets", "session_token", "expires"}
ANY = ("*",)
IMAGE_PARAMETERS = ("Image", "SourceImage", "TargetImage")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key, as one entry of the access keys file describes it; its repr leaves the secrets out.

    Attributes:
        identity: A name or an ARN, for the text of AccessDeniedException.
        secret: The secret key that signatures are made with.
        collections: Patterns of the collection ids that the key may use.
        operations: Patterns of the operations that the key may call.
        buckets: Patterns of the buckets that the key may have photos read from.
        session_token: The token that must come with temporary credentials; None for long-term ones.
        expires: When temporary credentials end, with a time zone; None for never.
    """

    identity: str
    secret: str = field(repr=False)
    collections: tuple[str, ...] = ANY
    operations: tuple[str, ...] = ANY
    buckets: tuple[str, ...] = ANY
    session_token: str | None = field(default=None, repr=False)
    expires: datetime | None = None

    def may_call(self, operation: str, collection_id: str | None) -> bool:
        """Return whether this key may call the operation on the collection, or on none when that is None."""
        if collection_id is None:
            allowed = operation != "ListCollections" or "*" in self.collections
        else:
            allowed = _matches(collection_id, self.collections)
        return allowed and _matches(operation, self.operations)

    def may_read(self, bucket: str) -> bool:
        """Return whether this key may have photos read from the bucket."""
        return _matches(bucket, self.buckets)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: the access key, and the region that the request was signed for."""

    key: AccessKey
    region: str


def load_keys(path: Path) -> dict[str, AccessKey]:
    """Read the access keys file into access keys by their ids.

    Raises SetupError for a file that cannot be read or an entry with an unknown, missing or ill-typed field; its
    message names the entry, never a secret.
    """
    try:
        entries = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"The access keys file {path} cannot be read as JSON.") from error
    if not isinstance(entries, dict):
        raise SetupError(f"The access keys file {path} must hold a JSON object: access key id -> entry.")
    return {key_id: _parse_entry(key_id, entry) for key_id, entry in entries.items()}


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
        return Caller(AccessKey(identity="developer", secret=""), claim.region)
    now = datetime.now(UTC)
    key = find_key(settings.keys, claim, now)
    verify(request, claim, key.secret, region=settings.region, now=now)
    return Caller(key, claim.region)


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


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _parse_entry(key_id: str, entry: Any) -> AccessKey:
    if not isinstance(entry, dict) or not entry.keys() <= ENTRY_FIELDS:
        raise SetupError(f"The access key {key_id} must be an object of {', '.join(sorted(ENTRY_FIELDS))}.")
    for name in ("secret", "identity"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise SetupError(f"The access key {key_id} needs a {name}.")
    token = entry.get("session_token")
    if token is not None and not isinstance(token, str):
        raise SetupError(f"The session_token of the access key {key_id} must be a string.")
    return AccessKey(
        identity=entry["identity"],
        secret=entry["secret"],
        collections=_parse_patterns(key_id, entry, "collections"),
        operations=_parse_patterns(key_id, entry, "operations"),
        buckets=_parse_patterns(key_id, entry, "buckets"),
        session_token=token,
        expires=_parse_expiry(key_id, entry.get("expires")),
    )


def _parse_patterns(key_id: str, entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    patterns = entry.get(name, list(ANY))
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise SetupError(f"{name} of the access key {key_id} must be a list of names.")
    return tuple(patterns)


def _parse_expiry(key_id: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        expires = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise SetupError(f"expires of the access key {key_id} must be an ISO 8601 date.") from None
    return expires if expires.tzinfo else expires.replace(tzinfo=UTC)
