"""Whose access keys are known, and what each of them may do; read from MIEN_ACCESS_KEYS_FILE.

The file is JSON: access key id -> `secret`, `identity` (a name or an ARN), and optionally `collections`,
`operations` and `buckets` (lists of names, `*` allowed), `session_token` and `expires` (ISO 8601) for temporary
credentials. A key that is limited to some collections may not list the names of the others. `buckets` are those
that S3Object may name: they are read with the server's credentials, so a key should reach no more of them than it must.
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
from mien.rekognition.errors import WireError
from mien.rekognition.sigv4 import Claim

FIELDS = {"secret", "identity", "collections", "operations", "buckets", "session_token", "expires"}
EVERYTHING = ("*",)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One entry of the keys file; the secrets stay out of its repr."""

    identity: str
    secret: str = field(repr=False)
    collections: tuple[str, ...] = EVERYTHING
    operations: tuple[str, ...] = EVERYTHING
    buckets: tuple[str, ...] = EVERYTHING
    session_token: str | None = field(default=None, repr=False)
    expires: datetime | None = None

    def may(self, operation: str, collection_id: str | None) -> bool:
        """Whether this key may call the operation on the collection (None: on no collection)."""
        if collection_id is None:
            known = operation != "ListCollections" or "*" in self.collections
        else:
            known = _matches(collection_id, self.collections)
        return known and _matches(operation, self.operations)

    def may_read(self, bucket: str) -> bool:
        """Whether this key may have photos read from the bucket."""
        return _matches(bucket, self.buckets)


def load_keys(path: Path) -> dict[str, AccessKey]:
    """Read the keys file. Raises SetupError, which names the entry but never a secret."""
    try:
        entries = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"The access keys file {path} cannot be read as JSON.") from error
    if not isinstance(entries, dict):
        raise SetupError(f"The access keys file {path} must hold a JSON object: access key id -> entry.")
    return {key_id: _entry(key_id, entry) for key_id, entry in entries.items()}


def find_key(keys: Mapping[str, AccessKey], claim: Claim, now: datetime) -> AccessKey:
    """The claimed access key, if it is known and its session is not over. Raises WireError."""
    key = keys.get(claim.access_key_id)
    if key is None or not _same_token(key.session_token, claim.token):
        raise WireError("UnrecognizedClientException", "The security token included in the request is invalid.")
    if key.expires is not None and now >= key.expires:
        raise WireError("ExpiredTokenException", "The security token included in the request is expired")
    return key


def _same_token(known: str | None, given: str | None) -> bool:
    if known is None or given is None:
        return known is given
    return hmac.compare_digest(known.encode(), given.encode())


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _entry(key_id: str, entry: Any) -> AccessKey:
    if not isinstance(entry, dict) or not entry.keys() <= FIELDS:
        raise SetupError(f"The access key {key_id} must be an object of {', '.join(sorted(FIELDS))}.")
    for name in ("secret", "identity"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise SetupError(f"The access key {key_id} needs a {name}.")
    token = entry.get("session_token")
    if token is not None and not isinstance(token, str):
        raise SetupError(f"The session_token of the access key {key_id} must be a string.")
    return AccessKey(
        identity=entry["identity"],
        secret=entry["secret"],
        collections=_patterns(key_id, entry, "collections"),
        operations=_patterns(key_id, entry, "operations"),
        buckets=_patterns(key_id, entry, "buckets"),
        session_token=token,
        expires=_moment(key_id, entry.get("expires")),
    )


def _patterns(key_id: str, entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    patterns = entry.get(name, list(EVERYTHING))
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise SetupError(f"{name} of the access key {key_id} must be a list of names.")
    return tuple(patterns)


def _moment(key_id: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise SetupError(f"expires of the access key {key_id} must be an ISO 8601 date.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
