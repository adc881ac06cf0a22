"""Verify the JSON Web Tokens (RFC 7519) of one issuer by the public keys that it publishes (OpenID Connect Discovery).

Keys and their addresses are fetched over TLS only, without following redirects. What cannot be verified is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import jwt

from mien.domain.errors import NotAuthenticated, SetupError, StorageError
from mien.security.api_keys import Scope

ALGORITHMS = ("RS256", "ES256")  # by public keys only: whoever can verify a token by HS256 can also make one
LEEWAY_SECONDS = 30
"""By which clocks may differ: a token is accepted for so long before and after its times."""
KEYS_SECONDS = 600.0
"""How long fetched keys are used: a key that the issuer withdraws is refused by then."""
PAUSE_SECONDS = 10.0
"""The least time between two fetches, so that tokens of invented keys do not besiege the issuer."""
TIMEOUT_SECONDS = 3.0
MAX_BYTES = 256 * 1024
_OPTIONS: Any = {"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True}


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who holds a valid token: the issuer's id of a subject, what it may do, and until when (seconds since 1970).

    `until` is the token's end with the leeway, so that whoever looks at it later is as lenient as the check was.
    """

    subject: str
    scopes: frozenset[Scope]
    until: int


class TokenIssuer:
    """An issuer whose tokens are accepted, with its keys in memory."""

    def __init__(
        self, issuer: str, audience: str, scopes_claim: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Name the issuer; its keys are fetched with the first token.

        Args:
            issuer: The URL that the claim `iss` of its tokens has.
            audience: What the claim `aud` has to name.
            scopes_claim: The claim with the scopes: a text of words or a list, such as `scope` or `permissions`.
            now: Returns a time that never goes back, in seconds.

        Raises SetupError for an issuer that is not asked over TLS, or without an audience.
        """
        if urlsplit(issuer).scheme != "https" or not audience:
            raise SetupError("MIEN_JWT_ISSUER has to begin with https://, and needs MIEN_JWT_AUDIENCE beside it.")
        self._issuer, self._audience, self._claim, self._now = issuer, audience, scopes_claim, now
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")

    def check(self, token: str) -> Bearer:
        """Return the bearer of a token.

        Raises NotAuthenticated for a token that is not valid, not for this audience or without any scope, StorageError
        while the keys cannot be fetched that could tell.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise NotAuthenticated("The token is signed by another algorithm than RS256 or ES256.")
            claims = jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:  # the latter of JSON that is nested too deeply
            raise NotAuthenticated("The token is not valid.") from error
        scopes = _scopes(claims.get(self._claim))
        if not scopes:
            raise NotAuthenticated("The token has no scope of Mien.")
        return Bearer(claims["sub"], scopes, int(claims["exp"]) + LEEWAY_SECONDS)

    def _key(self, key_id: object) -> jwt.PyJWK:
        now = self._now()
        is_current = now - self._fetched_at < KEYS_SECONDS
        if is_current and key_id in self._keys:
            return self._keys[str(key_id)]
        if now - self._tried_at >= PAUSE_SECONDS:
            self._tried_at = now
            self._keys, self._fetched_at = _published_keys(self._issuer), now
        elif not is_current:
            raise StorageError("The token issuer's keys could not be fetched a moment ago.")
        if key_id not in self._keys:
            raise NotAuthenticated("The token is signed by a key that its issuer does not publish.")
        return self._keys[str(key_id)]


def _scopes(claim: object) -> frozenset[Scope]:
    """Return the scopes in a claim; identity providers may put the resource before them, as in `mien/upload`."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    names = {str(word).removeprefix("mien/").removeprefix("mien:") for word in words}
    return frozenset(scope for scope in Scope if scope.value in names)


def _published_keys(issuer: str) -> dict[str, jwt.PyJWK]:
    """Return the issuer's keys for signatures by key id. Raises StorageError."""
    try:
        about = _fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if about["issuer"] != issuer:
            raise StorageError("The token issuer's description names another issuer.")
        keys = jwt.PyJWKSet.from_dict(_fetch(about["jwks_uri"])).keys
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise StorageError("The token issuer's keys cannot be fetched.") from error
    return {
        key.key_id: key
        for key in keys
        if key.key_id and key.algorithm_name in ALGORITHMS and key.public_key_use in {None, "sig"}
    }


def _fetch(url: str) -> Any:
    """Fetch a small JSON document over TLS. Raises OSError, HTTPException and ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("not an address of TLS")
    connection = HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        body = answer.read(MAX_BYTES + 1)
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK or len(body) > MAX_BYTES:
        raise ValueError("no document")
    return json.loads(body)
