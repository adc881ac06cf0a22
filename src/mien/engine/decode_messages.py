"""Send and receive what this process and the processes that decode for it tell each other, over a socket."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LENGTH = struct.Struct(">I")
MAX_MESSAGE = 64 * 1024


def receive_exactly(channel: socket.socket, size: int) -> bytearray:
    """Receive `size` bytes. Raises EOFError when the other side has gone."""
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = channel.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return content


def send_message(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send a JSON object behind its length."""
    body = json.dumps(message).encode()
    channel.sendall(LENGTH.pack(len(body)) + body)


def receive_message(channel: socket.socket) -> dict[str, Any]:
    """Receive a JSON object. Raises EOFError, and ValueError or TypeError for what is none."""
    (size,) = LENGTH.unpack(receive_exactly(channel, LENGTH.size))
    if size > MAX_MESSAGE:
        raise ValueError(size)
    message = json.loads(receive_exactly(channel, size))
    if not isinstance(message, dict):
        raise TypeError(message)
    return message
