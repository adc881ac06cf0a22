"""The API's keys on AWS: the same file of hashes as on one machine, kept in a secret beside the signing key.

The secret is a JSON object: `keys`, which is what `KeyFile` writes, and `signing`, with which page cursors
are sealed. It is fetched again every minute, so that a revoked key is refused a minute later at most.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mien.backends.aws import clients
from mien.backends.aws.calls import domain_errors
from mien.security.api_keys import KeyFile

REFRESH_SECONDS = 60.0


class SecretKeys:
    """Keeps a local copy of the secret's keys for `KeyFile`; `signing` is the signing key."""

    def __init__(self, secret: str, copy: Path) -> None:
        self._secret, self.copy = secret, copy
        self._fetched = -REFRESH_SECONDS
        self._keys: Any = None
        self.signing = ""

    def refresh(self) -> None:
        """Raises SetupError or StorageError; nobody is let in on keys that could not be renewed."""
        if time.monotonic() - self._fetched < REFRESH_SECONDS:
            return
        content = _content(self._secret)
        self.signing = content["signing"]
        if content["keys"] != self._keys:
            self._keys = content["keys"]
            draft = self.copy.with_suffix(".new")
            draft.write_text(json.dumps(self._keys))
            draft.replace(self.copy)
        self._fetched = time.monotonic()


@contextmanager
def edited(secret: str) -> Iterator[KeyFile]:
    """The keys, for creating and revoking; the secret is written at the end if they changed."""
    content = _content(secret)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        file.write_text(json.dumps(content["keys"]))
        yield KeyFile(file)
        changed = content | {"keys": json.loads(file.read_text())}
    if changed == content:
        return
    with domain_errors():
        clients.secrets().put_secret_value(SecretId=secret, SecretString=json.dumps(changed))


def _content(secret: str) -> Any:
    with domain_errors():
        return json.loads(clients.secret(secret))
