"""How much is worked on at once: a few threads, a short queue before them, and a plain no beyond that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from mien.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")


class Gate:
    """Runs blocking calls on `threads` threads; at most `max_waiting` more may wait."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "mien-gate")
        self._most = threads + max_waiting
        self.inside = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises Overloaded at once when the queue is full."""
        if self.inside >= self._most:
            raise Overloaded("Too many photos are waiting already.")
        self.inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))
        finally:
            self.inside -= 1
