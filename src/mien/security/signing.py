"""Sign tokens: claims that a client is given and returns unchanged, such as page cursors and upload forms.

A token is the base64url of an HMAC-SHA256 (RFC 2104, cut to 16 bytes) and of the claims in JSON. The HMAC covers the
token's purpose, too, so that a token can be neither altered nor used for another purpose.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any

from mien.domain.errors import AccessDenied, InvalidInput, SetupError

UPLOAD_FORM = "upload form"
"""A purpose; its claims are `key`, `type` (the MIME type), `bytes` (the largest body) and `at` (seconds since 1970)."""

UPLOAD_FORM_ISSUER = "upload form's issuer"
"""A purpose; its claims are `key` (as above) and `key_id` (of the API key that asked for the form)."""

UPLOAD_FORM_PATH = "/bucket"
"""Where the REST API accepts such forms."""

MIN_SECRET_BYTES = 16
_MAC_BYTES = 16


class Signer:
    """Signs and verifies tokens with one secret of at least 16 bytes."""

    def __init__(self, secret: bytes) -> None:
        """Sign with a secret. Raises SetupError for one that is so short that it could be guessed."""
        if len(secret) < MIN_SECRET_BYTES:
            raise SetupError(f"A secret to sign with has at least {MIN_SECRET_BYTES} bytes.")
        self._secret = secret

    def sign(self, purpose: str, claims: dict[str, Any], expires_in: int | None = None) -> str:
        """Return a token, printable in URLs.

        Args:
            purpose: What the token is for, in words that a person may read in an error message.
            claims: Values that JSON can hold; the client can read them.
            expires_in: Seconds until the token is no longer accepted; None for never.
        """
        until = {} if expires_in is None else {"until": int(time.time()) + expires_in}
        body = json.dumps(claims | until, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self.mac(purpose, body) + body).decode().rstrip("=")

    def verify(self, purpose: str, token: str) -> dict[str, Any]:
        """Return a token's claims.

        Raises InvalidInput for a token that was not made here for this purpose, AccessDenied for an expired one.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self.mac(purpose, body)):
            raise InvalidInput(f"This {purpose} was not made here, or was changed.")
        claims: dict[str, Any] = json.loads(body)
        until = claims.pop("until", None)
        if until is not None and until < time.time():
            raise AccessDenied(f"This {purpose} has expired.")
        return claims

    def hash(self, text: str) -> str:
        """Return a keyed hash of a text; nobody who lacks the secret can tell the text, not even by guessing."""
        return base64.urlsafe_b64encode(self.mac("hash", text.encode())).decode().rstrip("=")

    def mac(self, purpose: str, body: bytes) -> bytes:
        """Return the HMAC of some bytes for a purpose, 16 bytes."""
        return hmac.digest(self._secret, purpose.encode() + b"\0" + body, hashlib.sha256)[:_MAC_BYTES]
