"""Read the access keys file, which lists who may sign requests and what each may do (MIEN_ACCESS_KEYS_FILE).

It is a JSON object: access key id -> object with `secret`, `identity` (a name or an ARN) and, optionally,
`collections`, `operations` and `buckets` (lists of names, `*` matches any text), `session_token` and `expires`
(ISO 8601) for temporary credentials. Whatever a key does not limit is allowed. A key that is limited to some
collections may not list the names of others.

`buckets` are those that an S3Object may name. The server reads them with its own credentials, not the caller's, so
each key should reach no more buckets than it needs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mien.domain.errors import SetupError
from mien.security.secret_files import WatchedFile, read_json

log = logging.getLogger(__name__)

ENTRY_FIELDS = {"secret", "identity", "collections", "operations", "buckets", "session_token", "expires"}
ANY = ("*",)


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


class AccessKeyFile(Mapping[str, AccessKey]):
    """The access keys of a file by their ids. The file is read again when it changes, so that a removed key is refused.

    While the file is missing or cannot be used, as when it is half written, it has no keys, and the log says why.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises SetupError as `load_keys` does."""
        load_keys(path)
        self._keys = WatchedFile[dict[str, AccessKey]](path, load_keys, {})
        self._problem = ""

    def __getitem__(self, key_id: str) -> AccessKey:
        return self._read()[key_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> Mapping[str, AccessKey]:
        try:
            keys = self._keys()
        except (SetupError, OSError) as error:
            if self._problem != str(error):  # once, not for each request
                self._problem = str(error)
                log.warning(
                    "the access keys file cannot be used, so no access key is valid until it can",
                    extra={"cause": self._problem},
                )
            return {}
        self._problem = ""
        return keys


def load_keys(path: Path) -> dict[str, AccessKey]:
    """Read the access keys file into access keys by their ids.

    Raises SetupError for a file that cannot be read or that everybody may change, and for an entry with an unknown,
    missing or ill-typed field; its message names the entry, never a secret.
    """
    try:
        entries = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise SetupError(f"The access keys file {path} is not JSON that can be read, or names a key twice.") from error
    if not isinstance(entries, dict):
        raise SetupError(f"The access keys file {path} must hold a JSON object: access key id -> entry.")
    return {key_id: _parse_entry(key_id, entry) for key_id, entry in entries.items()}


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _parse_entry(key_id: str, entry: Any) -> AccessKey:
    if not isinstance(entry, dict) or not entry.keys() <= ENTRY_FIELDS:
        raise SetupError(f"The access key {key_id} must be an object of {', '.join(sorted(ENTRY_FIELDS))}.")
    for name in ("secret", "identity"):
        if not entry.get(name) or not _is_text(entry[name]):
            raise SetupError(f"The access key {key_id} needs a {name}.")
    token = entry.get("session_token")
    if token is not None and not _is_text(token):
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


def _is_text(value: Any) -> bool:
    """Whether a value is a string that can be encoded, which half of a surrogate pair cannot."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


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
