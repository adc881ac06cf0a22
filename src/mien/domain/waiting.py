"""Say how long a caller waits for its turn while heavy work of others is under way."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial

waiting_seconds: ContextVar[float | None] = ContextVar("waiting_seconds", default=None)
"""Seconds that the current thread waits; None, as in a program of one user, for as long as it takes."""

REQUEST_SECONDS = 15.0
MAX_HEAVY, MAX_LARGE = 6, 16
"""Callers with limited patience that work on heavy or on large photos, or wait to do so; one more is refused."""

WAITING_THREADS = MAX_HEAVY + MAX_LARGE
"""Servers have so many threads beyond those for photos that never wait, so that one of these always finds a thread."""

wait_as_request = partial(waiting_seconds.set, REQUEST_SECONDS)
"""Initialises a thread that answers requests."""
