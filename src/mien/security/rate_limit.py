"""Limit how many calls somebody may make per second, by token buckets.

A bucket holds tokens; each call takes one; they come back evenly at the rate, up to the bucket's capacity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

KEY_BURST_SECONDS = 5
"""For how long a key that is not used saves up requests that it may then make at once."""


class TokenBucket:
    """Limits the rate of calls; safe to use from several threads. A new bucket is full."""

    def __init__(self, rate: float, burst_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Make a full bucket.

        Args:
            rate: Calls per second in the long run, above 0.
            burst_seconds: The capacity, as seconds' worth of calls; the bucket holds at least one call.
            clock: Returns seconds that never go back.
        """
        self.rate = rate
        self._capacity = max(1.0, rate * burst_seconds)
        self._tokens, self._refused = self._capacity, 0
        self._clock, self._filled_at = clock, clock()
        self._lock = Lock()

    def take(self) -> int:
        """Count one call: return 0 when it is granted, else how many in a row were refused, this one included."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self.rate)
            self._filled_at = now
            if self._tokens >= 1:
                self._tokens, self._refused = self._tokens - 1, 0
            else:
                self._refused += 1
            return self._refused


class RatePerKey:
    """Limits the rate of each key's calls in this process; a token bucket for each."""

    def __init__(self, per_minute: int) -> None:
        """Allow each key so many calls per minute in the long run."""
        self._rate = per_minute / 60
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, key_id: str) -> bool:
        """Count a call of a key, and return whether it is within the limit."""
        return self._buckets.setdefault(key_id, TokenBucket(self._rate, KEY_BURST_SECONDS)).take() == 0
