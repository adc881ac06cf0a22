"""Bound how many connections the clients of `mien serve` can have, and of which they lose one when there are too many.

uvicorn has no limit that spares those who have a key. Here the connection that has been waiting longest is closed, of
those first over which nobody has shown a key. A flood of strangers so ends connections of strangers.
"""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mien.security.origins import client_network

MAX_CONNECTIONS, MAX_PER_CLIENT = 10_000, 512
MAX_UNTAKEN_BYTES = 256 * 1024 * 1024
"""Of all answers that their clients have not taken yet, so that those who do not read cannot fill the memory."""

RESERVED_FILES, MAX_FILES = 512, 65_536
"""Open files beside the connections: databases, photos, connections that are being closed."""

_LOG_SECONDS = 60.0

log = logging.getLogger(__name__)


class Connection(socket.socket):
    """A connection that was accepted; known to its `Connections` until it is closed."""

    client = ""
    is_trusted = False
    on_close: Callable[[], object] | None = None
    abort: Callable[[], object] | None = None

    def close(self) -> None:
        if self.on_close is not None:
            self.on_close()
            self.on_close = None
        super().close()

    def end(self) -> None:
        """Close the connection, also while its TLS handshake is going on."""
        if self.abort is not None:
            self.abort()
        else:
            with suppress(OSError):  # the client has gone already
                self.shutdown(socket.SHUT_RDWR)


class Connections:
    """The open connections of one server, and which of them are waiting for their clients, in the order of waiting."""

    def __init__(self, max_connections: int, max_per_client: int, is_proxy: Callable[[str], bool]) -> None:
        """Make an empty set of connections.

        Args:
            max_connections: How many there may be.
            max_per_client: How many of one address may be waiting without a key.
            is_proxy: Whether an address is a proxy's, behind which there are many clients.
        """
        self._max, self._max_per_client, self._is_proxy = max_connections, max_per_client, is_proxy
        self._open: dict[int, Connection] = {}
        self._waiting: dict[bool, OrderedDict[Connection, None]] = {False: OrderedDict(), True: OrderedDict()}
        self._of_client: dict[str, OrderedDict[Connection, None]] = {}
        self._untaken: dict[Connection, int] = {}
        self._closed, self._logged_at = 0, -_LOG_SECONDS

    def add(self, connection: Connection, address: str) -> bool:
        """Add a new connection; returns whether there is room, having ended others."""
        connection.client = "" if self._is_proxy(address) else client_network(address)
        strangers = self._of_client.get(connection.client, ())
        if connection.client and len(strangers) >= self._max_per_client:
            self._end(next(iter(strangers)))
        if len(self._open) >= self._max:
            longest = next((one for group in self._waiting.values() for one in group), None)
            if longest is None:
                return False
            self._end(longest)
        number = connection.fileno()
        self._open[number] = connection
        connection.on_close = lambda: self._forget(number)
        self.wait(connection)
        return True

    def at(self, number: int) -> Connection | None:
        """Return the connection with a file descriptor."""
        return self._open.get(number)

    def wait(self, connection: Connection) -> None:
        """Note that a connection waits for its client from now on."""
        if connection.on_close is None:
            return
        self.work(connection)
        self._waiting[connection.is_trusted][connection] = None
        if not connection.is_trusted:
            self._of_client.setdefault(connection.client, OrderedDict())[connection] = None

    def work(self, connection: Connection) -> None:
        """Note that a connection has a whole request, which is being answered."""
        for group in self._waiting.values():
            group.pop(connection, None)
        of_client = self._of_client.get(connection.client, OrderedDict())
        of_client.pop(connection, None)
        if not of_client:
            self._of_client.pop(connection.client, None)

    def hold(self, connection: Connection, size: int) -> None:
        """Note how many bytes of an answer are in memory for a connection's client, before it is given more of them.

        When those of all connections are too many, the client for whom there are most loses the connection over which
        it has taken nothing for the longest time.
        """
        self._untaken.pop(connection, None)
        if size:
            self._untaken[connection] = size  # behind all that were given nothing since
        while sum(self._untaken.values()) > MAX_UNTAKEN_BYTES and len(self._untaken) > 1:
            of_client = Counter[str]()
            for each, untaken in self._untaken.items():
                of_client[each.client] += untaken
            ((client, _),) = of_client.most_common(1)
            self._end(next(each for each in self._untaken if each.client == client))

    def trust(self, connection: Connection) -> None:
        """Note that the client of a connection has shown a valid key."""
        if not connection.is_trusted:
            is_waiting = connection in self._waiting[False]
            self.work(connection)
            connection.is_trusted = True
            if is_waiting:
                self.wait(connection)

    def _forget(self, number: int) -> None:
        if connection := self._open.pop(number, None):
            self.work(connection)
            self._untaken.pop(connection, None)

    def _end(self, connection: Connection) -> None:
        self._forget(connection.fileno())
        connection.on_close = None
        connection.end()
        self._closed += 1
        if time.monotonic() - self._logged_at >= _LOG_SECONDS:
            log.warning(
                "too many connections, or too few that are read from; closed some", extra={"closed": self._closed}
            )
            self._closed, self._logged_at = 0, time.monotonic()


class Listener(socket.socket):
    """A listening socket whose connections are counted from the start, before any TLS handshake."""

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        accepted, address = super().accept()
        connection = Connection(accepted.family, accepted.type, accepted.proto, accepted.detach())
        if not self.connections.add(connection, str(address[0])):
            connection.close()
            raise ConnectionAbortedError  # which asyncio passes over
        return connection, address


def bounded(listener: socket.socket, is_proxy: Callable[[str], bool]) -> Listener:
    """Return a listening socket in place of another one, with as many connections as this process may have files."""
    taken = Listener(listener.family, listener.type, listener.proto, listener.detach())
    files = _raise_file_limit()
    most = min(MAX_CONNECTIONS, max(files - RESERVED_FILES, files // 2))
    taken.connections = Connections(most, MAX_PER_CLIENT, is_proxy)
    return taken


def _raise_file_limit() -> int:
    """Raise the limit of open files as far as it goes, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
