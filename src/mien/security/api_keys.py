"""Manage API keys: shown once when created, stored as SHA-256. A key is `mien_<id>_<secret>`.

The secret has 256 random bits, which no search through a plain hash can find. The file is a JSON object: key id ->
`name`, `scopes`, `sha256`.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

from mien.domain.errors import InvalidInput, NotAuthenticated, SetupError, StorageFull
from mien.security.secret_files import WatchedFile, locked, read_json, write

_KEY = re.compile(r"mien_([0-9a-f]{8})_([A-Za-z0-9_\-]{43})")
_DIGEST = re.compile("[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key allows: uploading photos, recognising people, managing who is enrolled."""

    UPLOAD = "upload"
    RECOGNIZE = "recognize"
    MANAGE = "manage"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: without its secret, whose SHA-256 is `digest`."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    digest: str


class KeyFile:
    """The keys of one file, which is read again when it changes, so that a revoked key is refused at once.

    A missing file has no keys. Every method raises SetupError for a file that cannot be read or written, and those that
    write raise StorageFull on a full disk. Processes that create and revoke keys at the same time wait for each other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = WatchedFile[dict[str, ApiKey]](path, _parse, {})

    def list(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        return list(self._read().values())

    def create(self, name: str, scopes: Iterable[Scope]) -> str:
        """Create a key and return it; its secret cannot be shown again."""
        secret = secrets.token_urlsafe(32)
        with self._edited() as keys:
            key_id = next(drawn for _ in count() if (drawn := secrets.token_hex(4)) not in keys)
            keys[key_id] = ApiKey(key_id, name, frozenset(scopes), _digest(secret))
        return f"mien_{key_id}_{secret}"

    def revoke(self, key_id: str) -> None:
        """Remove a key. Raises InvalidInput for an unknown id."""
        with self._edited() as keys:
            if keys.pop(key_id, None) is None:
                raise InvalidInput(f"There is no key {key_id}.")

    def check(self, text: str) -> ApiKey:
        """Return the key that a caller sent. Raises NotAuthenticated, after the same time whatever is wrong with it."""
        match = _KEY.fullmatch(text)
        key_id, secret = match.groups() if match else ("", "")
        key = self._read().get(key_id)
        if not hmac.compare_digest(_digest(secret), key.digest if key else "0" * 64) or key is None:
            raise NotAuthenticated("The API key is not known.")
        return key

    def _read(self) -> dict[str, ApiKey]:
        try:
            return self._keys()
        except OSError as error:
            raise _unreadable(self._path) from error

    @contextmanager
    def _edited(self) -> Iterator[dict[str, ApiKey]]:
        """Yield the present keys for editing, and write them at the end."""
        try:
            with locked(self._path):
                keys = _parse(self._path) if self._path.exists() else {}
                yield keys
                entries = {
                    k.key_id: {"name": k.name, "scopes": sorted(k.scopes), "sha256": k.digest} for k in keys.values()
                }
                write(self._path, json.dumps(entries, indent=2).encode())
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull("There is no space left for the file of API keys.") from error
            raise SetupError(f"The file of API keys cannot be written: {error.strerror}.") from error


def key_id_of(key: str) -> str:
    """Return the id in a key that was created just now."""
    return key.split("_")[1]


def key_id_in(text: str) -> str | None:
    """Return the id in what a caller sent, whether there is such a key or not; None for what has not a key's form."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def _parse(path: Path) -> dict[str, ApiKey]:
    try:
        return {key_id: _parse_entry(key_id, entry) for key_id, entry in read_json(path).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> SetupError:
    return SetupError(f"The file of API keys {path} is not JSON of API keys that can be read, or names a key twice.")


def _parse_entry(key_id: str, entry: Any) -> ApiKey:
    name, digest = entry["name"], entry["sha256"]
    if not isinstance(name, str) or not _DIGEST.fullmatch(digest):
        raise ValueError("this is no entry of a key")
    return ApiKey(key_id, name, frozenset(map(Scope, entry["scopes"])), digest)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
