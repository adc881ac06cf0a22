"""Let the event loop begin one request of strangers at a time, so that a flood of them holds up nobody else."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Turn:
    """One that waits. Those whose connection was closed meanwhile are passed over, so that they cannot pile up."""

    given: asyncio.Future[None]
    is_gone: Callable[[], bool]

    def give(self) -> bool:
        """Let a request begin; returns whether anybody still waits for it."""
        if not self.given.done():
            self.given.set_result(None)
        return not self.is_gone()


class Turns:
    """The requests that wait to begin: one in each round of the event loop, of each client in turn."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[_Turn]] = OrderedDict()
        self._is_taken = False

    def take(self) -> bool:
        """Take the turn of this round for a request, unless another one has it; returns whether it may begin."""
        if self._is_taken:
            return False
        self._is_taken = True
        loop = asyncio.get_running_loop()
        loop.call_soon(self._give, loop)
        return True

    async def wait(self, client: str, is_gone: Callable[[], bool]) -> None:
        """Wait until a client's request may begin.

        Args:
            client: Who asks.
            is_gone: Whether the client has gone.
        """
        turn = _Turn(asyncio.get_running_loop().create_future(), is_gone)
        self._waiting.setdefault(client, deque()).append(turn)
        await turn.given

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_taken = False
        while self._waiting and not self._is_taken:
            client, turns = self._waiting.popitem(last=False)
            self._is_taken = turns.popleft().give()
            if turns:
                self._waiting[client] = turns  # behind all others
        if self._is_taken:
            loop.call_soon(self._give, loop)
