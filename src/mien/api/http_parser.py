"""Read HTTP/1.1 as h11 does, within limits that it does not have, and write answers in one piece."""

from __future__ import annotations

import re

import h11
from h11._receivebuffer import ReceiveBuffer

MAX_HEAD_BYTES, MAX_HEADERS = 16 * 1024, 128
"""Of a request, and of what follows its body in chunks. Parsing a header takes 2 microseconds, each look at it more."""

MAX_CHUNKS, BYTES_PER_CHUNK = 500, 256
"""Chunks of a body: this many at once, and further ones at this distance."""


_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE)
"""A request target with the host in it, which then counts instead of the header `Host` (RFC 9112, 3.2.2)."""

_EMPTY_LINE = b"\r\n"


class _Received(ReceiveBuffer):
    """Refuses long headers also where they arrive at once; h11 looks at the length of incomplete ones only."""

    def skip_empty_line(self) -> bool:
        """Drop an empty line with which the bytes begin; returns whether there was one."""
        is_empty = self._data.startswith(_EMPTY_LINE)
        if is_empty:
            self._extract(len(_EMPTY_LINE))
        return is_empty

    def maybe_extract_lines(self) -> list[bytearray] | None:
        lines = super().maybe_extract_lines()
        if lines is not None and (len(lines) > MAX_HEADERS + 1 or sum(map(len, lines)) > MAX_HEAD_BYTES):
            raise h11.RemoteProtocolError("The request has too many headers, or too long ones.")
        return lines


class Parser(h11.Connection):
    """Refuses long headers, and a body in so many tiny chunks that it would hold up everybody: 8 microseconds each.

    The head of an answer is given out with the first bytes of the body, in one packet and by one system call, or else
    by `take_head`.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self._receive_buffer = self._received = _Received()
        self._chunks = 0.0
        self._has_skipped = False
        self._head: list[bytes] = []

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        output = super().send_with_data_passthrough(event)
        if isinstance(event, h11.Response):
            self._head, output = output or [], []
        elif output is not None:
            self._head, output = [], self._head + output
        return output

    def take_head(self) -> bytes:
        """Return the head of an answer that was not given out yet."""
        head, self._head = self._head, []
        return b"".join(head)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.IDLE and not self._has_skipped:  # one is to be ignored (RFC 9112, 2.2)
            self._has_skipped = self._received.skip_empty_line()
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks, self._has_skipped = 0.0, False
            event = _in_origin_form(event)
        elif isinstance(event, h11.Data):
            self._chunks = max(0.0, self._chunks + event.chunk_start - len(event.data) / BYTES_PER_CHUNK)
            if self._chunks > MAX_CHUNKS:
                raise h11.RemoteProtocolError("The body comes in too many chunks.")
        return event


def _in_origin_form(request: h11.Request) -> h11.Request:
    if (absolute := _ABSOLUTE.fullmatch(request.target)) is None:
        return request
    authority, path = absolute.groups()
    others = [(name, value) for name, value in request.headers if name != b"host"]
    return h11.Request(
        method=request.method,
        headers=[(b"host", authority), *others],
        target=path if path.startswith(b"/") else b"/" + path,
        http_version=request.http_version,
    )
