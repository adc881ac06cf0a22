"""Who may call what: keys with scopes, and a rate per key. Without a file of keys everybody may everything,
which is why the server then listens on loopback only."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from starlette.requests import Request

from mien.errors import AccessDenied, NotAuthenticated, RateLimited
from mien.keys import KeyFile, Scope

BURST_SECONDS = 5


class Guard:
    def __init__(self, keys: KeyFile | None, rate_per_minute: int) -> None:
        self._keys = keys
        self._rates = Rates(rate_per_minute)

    def check(self, request: Request, scope: Scope) -> None:
        """Raises NotAuthenticated, AccessDenied or RateLimited."""
        if self._keys is None:
            return
        text = _key_of(request)
        if text is None:
            raise NotAuthenticated("This needs an API key, in the header X-Api-Key.")
        key = self._keys.check(text)
        if scope not in key.scopes:
            raise AccessDenied(f"This API key lacks the scope {scope}.")
        self._rates.spend(key.key_id)


class Rates:
    """A token bucket per caller: it fills at the rate and holds what may be spent in a burst."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._now = per_minute / 60, now
        self._full = max(1.0, self._per_second * BURST_SECONDS)
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def spend(self, caller: str) -> None:
        """Raises RateLimited when the caller's bucket is empty."""
        with self._lock:
            now = self._now()
            tokens, since = self._left.get(caller, (self._full, now))
            tokens = min(self._full, tokens + (now - since) * self._per_second)
            self._left[caller] = (max(tokens - 1, 0) if tokens >= 1 else tokens, now)
        if tokens < 1:
            raise RateLimited("This API key makes too many calls.")


def _key_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-api-key")
