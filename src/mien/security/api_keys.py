"""Manage API keys: shown once when created, stored as SHA-256. A key is `mien_<id>_<secret>`.

The secret has 256 random bits, which no search through a plain hash can find. The file is a JSON object: key id ->
`name`, `scopes`, `sha256`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock

from mien.domain.errors import InvalidInput, NotAuthenticated, SetupError

_KEY = re.compile(r"mien_([0-9a-f]{8})_([A-Za-z0-9_\-]{43})")


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

    A missing file has no keys. Every method raises SetupError for a file that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._lock = Lock()

    def list(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        with self._lock:
            self._refresh()
            return list(self._keys.values())

    def create(self, name: str, scopes: Iterable[Scope]) -> str:
        """Create a key and return it; its secret cannot be shown again."""
        key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = ApiKey(key_id, name, frozenset(scopes), _digest(secret))
        self._write([*self.list(), key])
        return f"mien_{key_id}_{secret}"

    def revoke(self, key_id: str) -> None:
        """Remove a key. Raises InvalidInput for an unknown id."""
        keys = self.list()
        if key_id not in {key.key_id for key in keys}:
            raise InvalidInput(f"There is no key {key_id}.")
        self._write([key for key in keys if key.key_id != key_id])

    def check(self, text: str) -> ApiKey:
        """Return the key that a caller sent. Raises NotAuthenticated, after the same time whatever is wrong with it."""
        match = _KEY.fullmatch(text)
        key_id, secret = match.groups() if match else ("", "")
        key = {key.key_id: key for key in self.list()}.get(key_id)
        if not hmac.compare_digest(_digest(secret), key.digest if key else "0" * 64) or key is None:
            raise NotAuthenticated("The API key is not known.")
        return key

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
            return
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._keys, self._stamp = _parse(self._path), stamp

    def _write(self, keys: Iterable[ApiKey]) -> None:
        entries = {k.key_id: {"name": k.name, "scopes": sorted(k.scopes), "sha256": k.digest} for k in keys}
        self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(entries, file, indent=2)
        draft.replace(self._path)


def key_id_of(key: str) -> str:
    """Return the id in a key that was created just now."""
    return key.split("_")[1]


def _parse(path: Path) -> dict[str, ApiKey]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            key_id: ApiKey(key_id, entry["name"], frozenset(map(Scope, entry["scopes"])), entry["sha256"])
            for key_id, entry in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SetupError("The file of API keys cannot be read.") from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
