"""Bound the bodies of requests: how large, how slow, and how much memory all of them take together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mien.domain.errors import BodyTooSlow, ImageTooLarge, Overloaded
from mien.domain.waiting import client

if TYPE_CHECKING:
    from starlette.types import Message, Receive

BODY_SECONDS, PAUSE_SECONDS = 60.0, 20.0
"""How long a body may take, and how long nothing of it may arrive."""

DISCARD_SECONDS, MAX_DISCARDED_BYTES = 10.0, 64 * 1024 * 1024
"""How long, and how much of, a body is taken that was refused, before the connection closes."""

MAX_SHARE = 3
"""How many times as many bytes one client may have as are left, so that some are left whatever it sends: a quarter."""


class ByteBudget:
    """Counts the bytes of the bodies that are in memory, in all and by client; for one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self.left, self.taken = max_bytes, Counter[str]()


class Claim:
    """The share of one request in a budget; `end` gives it back."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget, self._taken = budget, Counter[str]()

    def take(self, count: int) -> None:
        """Take `count` bytes more, for the client of `waiting.client`.

        Raises Overloaded when the budget has none left, or none for this client, who has most of them.
        """
        who, left = client.get(), self._budget.left - count
        if count and self._budget.taken[who] + count > MAX_SHARE * left:
            raise Overloaded("Too many large requests are in progress already.")
        self._budget.left = left
        for taken in (self._taken, self._budget.taken):
            taken[who] += count

    def hand_over(self) -> None:
        """Count all that was taken as that of `waiting.client`, who is known now. Raises Overloaded as `take`."""
        taken = self._taken.total()
        self.end()
        self.take(taken)

    def end(self) -> None:
        """Give back all that was taken; doing it again changes nothing."""
        self._budget.left += self._taken.total()
        self._budget.taken -= self._taken  # which also drops the clients who have none any more
        self._taken.clear()


def declared_length(headers: Mapping[str, str]) -> int | None:
    """Return how long a request says that its body is; None when it does not, as where the body comes in chunks."""
    length = headers.get("content-length", "")
    return int(length[:20]) if length.isdecimal() else None  # no number of more digits is meant


def refuse_declared(headers: Mapping[str, str], max_bytes: int, what: str = "request") -> None:
    """Raise ImageTooLarge when a request says that its body, which is called `what`, has more bytes than it may."""
    if (declared_length(headers) or 0) > max_bytes:
        raise _too_large(max_bytes, what)


def bounded(receive: Receive, max_bytes: int, claim: Claim, what: str = "request") -> Receive:
    """Return what receives a request's body within its limits, and takes its bytes from a budget.

    It raises ImageTooLarge for more than `max_bytes`, in a sentence about `what` the body is, BodyTooSlow, and
    Overloaded when the budget has none left.
    """
    received, is_complete, until = 0, False, 0.0

    async def receive_bounded() -> Message:
        nonlocal received, is_complete, until
        if is_complete:  # what is waited for now is the client's leaving
            return await receive()
        now = asyncio.get_running_loop().time()
        until = until or now + BODY_SECONDS
        try:
            async with asyncio.timeout_at(min(until, now + PAUSE_SECONDS)):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow("The request's body did not arrive in time.") from None
        size = len(message.get("body", b""))
        received += size
        if received > max_bytes:
            raise _too_large(max_bytes, what)
        claim.take(size)
        is_complete = not message.get("more_body", False)
        return message

    return receive_bounded


async def discard(receive: Receive) -> None:
    """Take what is left of a body and throw it away, up to MAX_DISCARDED_BYTES in DISCARD_SECONDS."""
    left = MAX_DISCARDED_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0 and (message := await receive()).get("more_body", False):
                left -= len(message.get("body", b""))


def _too_large(max_bytes: int, what: str) -> ImageTooLarge:
    return ImageTooLarge(f"The {what} has more than {max_bytes:,} bytes.")
