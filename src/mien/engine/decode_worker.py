"""Decode photos in a process of its own: `python -m mien.engine.decode_worker`, started by `decode_pool`.

The arguments are the numbers of two sockets. On the first, a request is a JSON object with the file's bytes behind it,
and with it comes a memory file for the pixels; an answer is a JSON object. The second one only tells that the other
side has gone: then this process ends. It opens no file, starts no process, and takes no more memory and processor time
than a request says.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mien.domain.errors import ImageError, ImageTooLarge
from mien.engine.decode import decode_isolated
from mien.engine.decode_messages import receive_exactly, receive_message, send_message
from mien.engine.limits import Limits
from mien.engine.pillow_decoder import load_decoders

SPARE_BYTES = 32 * 1024 * 1024
"""Address space beyond what a decoder may take: the file itself, strips on their way to RGB, rounding of allocators."""

NICENESS = 5
"""Ordinary photos, which are decoded by the server itself, go ahead where cores are short."""

STACK_BYTES = 256 * 1024


def main() -> None:
    """Answer requests until the other side closes."""
    channel, lifeline = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    load_decoders()
    threading.stack_size(STACK_BYTES)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    _give_up_rights()
    own_memory = _address_space()
    with suppress(EOFError, ConnectionError):
        while True:
            _answer(channel, own_memory)


def _end_with_parent(lifeline: socket.socket) -> None:
    """End in the middle of a decoding, too, when the process is gone that asked for it."""
    with suppress(OSError):
        lifeline.recv(1)
    os._exit(0)


def _give_up_rights() -> None:
    """Open no more than the memory file of one request, and be the first that a full memory ends."""
    with suppress(OSError):  # a service manager may forbid it
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    number = _next_descriptor() + 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _next_descriptor() -> int:
    """Return the lowest number that no open file has."""
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


def _address_space() -> int | None:
    """Return the bytes of address space in use; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize()


def _answer(channel: socket.socket, own_memory: int | None) -> None:
    start, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    if not start:
        raise EOFError
    request = receive_message(channel)
    content = bytes(receive_exactly(channel, request["bytes"]))
    limits = Limits(**request["limits"])
    if own_memory is not None:
        _limit_memory(own_memory + request["memory"] + SPARE_BYTES + 2 * len(content))
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, limits.max_seconds)
    try:
        answer = _decode(content, request["long_side"], limits, descriptors[0])
    except ImageTooLarge as error:
        answer = {"error": error.code, "message": str(error), "limit": error.limit}
    except ImageError as error:
        answer = {"error": error.code, "message": str(error)}
    except MemoryError:
        answer = {"error": "memory"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.close(descriptors[0])
    send_message(channel, answer | {"seconds": time.process_time() - begun})


def _limit_memory(most: int) -> None:
    """Take no more address space than that, nor than the server itself may take."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _decode(content: bytes, long_side: int, limits: Limits, descriptor: int) -> dict[str, Any]:
    decoded, pixels = decode_isolated(content, long_side, limits)
    left = memoryview(np.ascontiguousarray(pixels).data).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]
    return {"size": decoded.size, "orientation": decoded.orientation, "shape": pixels.shape}


if __name__ == "__main__":
    main()
