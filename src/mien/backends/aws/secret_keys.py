"""Keep the API keys of a stack in Secrets Manager."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import ClientError

from mien.backends.aws import clients
from mien.domain.errors import SetupError, StorageBusy
from mien.security import secret_files
from mien.security.api_keys import KeyFile

REFRESH_SECONDS = 60.0
NEW_KEY_SECONDS = 5.0  # the same for a key that the copy does not have: it may just have been created
MIN_SIGNING_KEY = 16  # characters
CURRENT, DRAFT = "AWSCURRENT", "MIEN_DRAFT"
"""Labels of the version that is read, and of one that is to become it."""


class SecretKeys:
    """A local copy of the API keys in a secret, for `KeyFile`.

    The secret is a JSON object: `keys` is the content of a key file, `signing` the key that signs page cursors and
    makes pseudonyms. It is fetched again every minute, so that a revoked key is refused after a minute at most.

    Attributes:
        copy: The local key file.
        signing: The signing key; empty before the first `refresh`.
    """

    def __init__(self, secret: str, copy: Path) -> None:
        """Name the secret (its ARN or name) and the file to copy its keys to."""
        self._secret, self.copy = secret, copy
        self._fetched_at = -REFRESH_SECONDS
        self._keys: Any = None
        self.signing = ""

    def refresh(self, key_id: str | None = None) -> None:
        """Fetch the secret when the copy is older than a minute, or than seconds and lacks a key that is asked for.

        Raises:
            SetupError: The secret does not exist, is not of this form, or the credentials may not read it.
            StorageError: AWS cannot be reached. The old copy must not be used then.
        """
        may_be_new = key_id is not None and self._keys is not None and key_id not in self._keys
        if time.monotonic() - self._fetched_at < (NEW_KEY_SECONDS if may_be_new else REFRESH_SECONDS):
            return
        content, _ = _content(self._secret)
        self.signing = content["signing"]
        if content["keys"] != self._keys:
            self._keys = content["keys"]
            secret_files.write(self.copy, json.dumps(self._keys).encode())
        self._fetched_at = time.monotonic()


@contextmanager
def edit_keys(secret: str) -> Iterator[KeyFile]:
    """Open the keys of a secret for creating and revoking; write the secret at the end if they changed.

    Raises StorageBusy when somebody else has written the secret meanwhile; then it stays as they left it.
    """
    content, version = _content(secret)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        file.write_text(json.dumps(content["keys"]))
        yield KeyFile(file)
        edited = content | {"keys": json.loads(file.read_text())}
    if edited == content:
        return
    with clients.domain_errors():
        _replace(secret, version, json.dumps(edited))


def _replace(secret: str, version: str, text: str) -> None:
    """Store a text in place of a version: as a draft first, since AWS moves only a label under a condition."""
    put = clients.secrets().put_secret_value(SecretId=secret, SecretString=text, VersionStages=[DRAFT])
    try:
        clients.secrets().update_secret_version_stage(
            SecretId=secret,
            VersionStage=CURRENT,
            MoveToVersionId=put["VersionId"],
            RemoveFromVersionId=version,
        )
    except ClientError as error:
        if clients.code(error) == "InvalidParameterException":
            raise StorageBusy(
                "Somebody else changed the keys at the same time. Nothing was changed; try again."
            ) from None
        raise


def signing_key(secret: str | None) -> bytes:
    """Return the key that signs, and makes pseudonyms, in all functions and on the command line.

    Raises SetupError when there is no secret, or none that can be read, and StorageError when AWS cannot be reached.
    """
    if not secret:
        raise SetupError("MIEN_KEYS_SECRET is not set. Its key makes the pseudonyms in receipts and in the audit log.")
    return str(_content(secret)[0]["signing"]).encode()


def _content(secret: str) -> tuple[Any, str]:
    """Return what a secret holds, and the id of its version. Raises SetupError and StorageError as `refresh`."""
    with clients.domain_errors():
        text, version = clients.secret(secret)
    try:
        content = json.loads(text)
        is_whole = isinstance(content["keys"], dict) and len(content["signing"]) >= MIN_SIGNING_KEY
    except (ValueError, TypeError, KeyError):
        is_whole = False
    if not is_whole:
        raise SetupError("The secret that MIEN_KEYS_SECRET names has no keys, or no signing key; deploy the stack.")
    return content, version
