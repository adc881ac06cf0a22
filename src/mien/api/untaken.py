"""Bound the memory that answers take which their clients do not read, in this process and in the system's buffers."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

MAX_UNTAKEN_BYTES = 256 * 1024 * 1024
"""Of all answers that their clients have not taken yet, so that those who do not read cannot fill the memory."""

_SHARE_KEPT = 7 / 8
"""Of these that are left where they were too many: looking at all connections is not to happen for each answer."""


class Holder(Protocol):
    """A connection, as far as it holds answers for a client."""

    client: str

    def untaken(self) -> int:
        """Return how many bytes of answers are in memory."""


H = TypeVar("H", bound=Holder)


class Untaken(Generic[H]):
    """What all connections hold, in the order in which they were given something."""

    def __init__(self, end: Callable[[H], None]) -> None:
        """Hold nothing yet; `end` closes a connection."""
        self._end = end
        self._of_client: dict[str, OrderedDict[H, int]] = {}
        self._totals = Counter[str]()
        self._total = 0

    def note(self, holder: H) -> None:
        """Note how much a connection holds, when it has been given more.

        When all hold too much, the client for whom there is most loses the connections over which it has taken nothing
        for the longest time.
        """
        self.forget(holder)
        self._set(holder, holder.untaken())
        if self._total > MAX_UNTAKEN_BYTES:
            self._make_room()

    def forget(self, holder: H) -> None:
        """Forget a connection."""
        if holder in self._of_client.get(holder.client, ()):
            self._set(holder, 0)

    def _set(self, holder: H, size: int) -> None:
        held = self._of_client.setdefault(holder.client, OrderedDict())
        change = size - held.pop(holder, 0)
        if size:
            held[holder] = size
        self._total += change
        self._totals[holder.client] += change
        if not held:
            del self._of_client[holder.client], self._totals[holder.client]

    def _make_room(self) -> None:
        """Look what was taken meanwhile, and end connections while that is not enough."""
        for holder in [holder for held in self._of_client.values() for holder in held]:
            self._set(holder, holder.untaken())
        while self._total > MAX_UNTAKEN_BYTES * _SHARE_KEPT:
            client = max(self._totals, key=self._totals.__getitem__)
            longest = next(iter(self._of_client[client]))
            self.forget(longest)
            self._end(longest)
