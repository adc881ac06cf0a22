"""Bound how many connections the clients of `mien serve` can have, and of which they lose one when there are too many.

uvicorn has no limit that spares those who have a key. Here the connection that has been waiting longest is closed, of
those first over which nobody has shown a key. A flood of strangers so ends connections of strangers.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import socket
import struct
import termios
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mien.api.turns import Turns
from mien.api.untaken import Untaken
from mien.security.origins import client_network

MAX_CONNECTIONS, MAX_PER_CLIENT = 10_000, 512
SEND_BUFFER_BYTES = 128 * 1024
"""Of an answer, that the system keeps for a client; Linux doubles it. By itself it would keep up to 4 MiB."""

HANDSHAKE_SECONDS = 10.0

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
    untaken_here: Callable[[], int] | None = None
    """Returns how many bytes of answers this process holds for the client."""

    handshake: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self.handshake is not None:
            self.handshake.cancel()
        self.abort = self.untaken_here = self.handshake = None
        if self.on_close is not None:
            self.on_close()
            self.on_close = None
        super().close()

    def untaken(self) -> int:
        """Return how many bytes of answers are in memory, in this process and in the system's buffers."""
        return self._unsent() + (self.untaken_here() if self.untaken_here is not None else 0)

    def _unsent(self) -> int:
        with suppress(OSError, ValueError):  # closed, or a system that does not tell
            told: tuple[int] = struct.unpack("i", fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, bytes(4)))
            return told[0]
        return 0

    def end_unless_begun(self) -> None:
        """Close the connection when its TLS handshake is still going on."""
        if self.abort is None:
            self.end()

    def end(self) -> None:
        """Close the connection, also while its TLS handshake is going on."""
        if self._unsent():  # which the system would otherwise go on offering to the client for minutes
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
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
        self._untaken = Untaken(self._end)
        self.turns = Turns()
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

    def hold(self, connection: Connection) -> None:
        """Note that a connection holds more of an answer now; whoever takes nothing may lose it."""
        if connection.on_close is not None:
            self._untaken.note(connection)

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
            self._untaken.forget(connection)

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
        connection.handshake = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, connection.end_unless_begun)
        return connection, address


def bounded(listener: socket.socket, is_proxy: Callable[[str], bool]) -> Listener:
    """Return a listening socket in place of another one, with as many connections as this process may have files."""
    taken = Listener(listener.family, listener.type, listener.proto, listener.detach())
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # of all that it accepts
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
