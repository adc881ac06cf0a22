"""Have photos decoded by processes that can be ended: what takes too long, takes too much or crashes harms no other.

The processes start when they are needed, inherit nothing but their sockets, and end when they are idle for a while or
when this process ends. Pixels come back in memory that both share.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien.domain import errors
from mien.domain.errors import DamagedImage, ImageError, ImageTooLarge, Overloaded
from mien.domain.waiting import reset_in_forks
from mien.engine.context import Pixels
from mien.engine.decode_messages import receive_message, send_message
from mien.engine.limits import Limits

MAX_WALL_SECONDS = 20.0
"""After which a process is ended that gets too little of a processor to reach its own limit."""

ENDING_SECONDS = 10.0
"""Between the end of a process's sockets and its own, on a machine that is very busy."""

IDLE_SECONDS = 30.0
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONHOME")
_LEAN = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
}
"""One thread, and large blocks go back to the system when they are freed, so that the next photo finds room."""

_CRASHED = "The photo is damaged: its decoder crashed."
_SMALLER = "export it as JPEG, or smaller."
_TOO_MUCH_MEMORY = f"Decoding the photo takes too much memory; {_SMALLER}"
_TOO_LONG = f"Decoding the photo takes too long; {_SMALLER}"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder tells beside the pixels.

    `size` is width and height in pixels as stored, `orientation` that of EXIF, `seconds` the processor time it took.
    """

    size: tuple[int, int]
    orientation: int
    seconds: float = 0.0


class DecodingPool:
    """Decodes photos in processes of its own; thread-safe. As many run as threads ask at once.

    A process that served before may be at fault itself: the system may have ended it while it was idle, or the photo
    before left it broken. What breaks such a one is tried once more, in a new one.
    """

    def __init__(self) -> None:
        self._reset()
        reset_in_forks(self._reset)

    def _reset(self) -> None:
        """Begin without processes; those of a forked child's parent are the parent's."""
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        self._has_started = self._is_sweeping = False

    def decode(self, content: bytes, long_side: int, limits: Limits, memory: int) -> tuple[Decoded, Pixels]:
        """Decode a file.

        Args:
            content: an image file.
            long_side: pixels of the longer side that are needed; 0 for as many as are kept.
            limits: which images are accepted, and how long decoding may take.
            memory: bytes that decoding may take.

        Returns:
            What the file says, and its pixels, RGB (height, width, 3), as stored.

        Raises:
            ImageError: what `open_photo` and `Photo.pixels` raise; ImageTooLarge with the limit "seconds" or "memory"
                when the decoder exceeded it, DamagedImage when it crashed or answered nonsense.
            Overloaded: no process can be started now.
        """
        process = self._take()
        try:
            return self._decode(process, content, long_side, limits, memory)
        except ImageError:
            if not (process.is_broken and process.idle_since):
                raise
        return self._decode(_start(), content, long_side, limits, memory)

    def _decode(
        self, process: _Process, content: bytes, long_side: int, limits: Limits, memory: int
    ) -> tuple[Decoded, Pixels]:
        with _memory_file() as descriptor:
            try:
                answer = process.ask(content, long_side, limits, memory, descriptor)
                decoded = None if "error" in answer else _result(answer, descriptor, limits)
            except (EOFError, OSError) as error:
                raise process.why_ended(hangs=isinstance(error, TimeoutError)) from None
            except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
                process.is_broken = True
                process.end()
                raise DamagedImage(_CRASHED) from None
            except BaseException:
                process.end()
                raise
            self._put_back(process)
            if decoded is None:
                raise _error(answer)
            return decoded

    def prepare(self) -> None:
        """Begin to start the first process, for a photo that soon needs it. Returns at once."""
        with self._lock:
            is_first, self._has_started = not self._has_started, True
        if is_first:
            with suppress(Overloaded):
                self._put_back(_start())

    def _take(self) -> _Process:
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return _start()
            if process.is_alive():
                return process
            process.end()

    def _put_back(self, process: _Process) -> None:
        process.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(process)
            if self._is_sweeping:
                return
            self._is_sweeping = True
        threading.Thread(target=self._sweep, name="mien-decoders", daemon=True).start()

    def _sweep(self) -> None:
        """End idle processes, until there are none."""
        while True:
            time.sleep(IDLE_SECONDS / 2)
            latest = time.monotonic() - IDLE_SECONDS
            with self._lock:
                ended = [process for process in self._idle if process.idle_since < latest]
                self._idle = [process for process in self._idle if process.idle_since >= latest]
                self._is_sweeping = bool(self._idle)
                is_done = not self._idle
            for process in ended:
                process.end()
            if is_done:
                return


class _Process:
    """A process that decodes one photo at a time."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._lifeline, their_lifeline = socket.socketpair()
        inherited = (theirs.fileno(), their_lifeline.fileno())
        with theirs, their_lifeline:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [sys.executable, "-P", "-W", "ignore", "-m", "mien.engine.decode_worker", *map(str, inherited)],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )
        self._channel.settimeout(MAX_WALL_SECONDS)
        self.idle_since = 0.0
        self.is_broken = False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, content: bytes, long_side: int, limits: Limits, memory: int, descriptor: int) -> dict[str, Any]:
        """Send a file and wait for the answer. Raises EOFError or OSError when the process ends or hangs."""
        request = {"bytes": len(content), "long_side": long_side, "limits": asdict(limits), "memory": memory}
        socket.send_fds(self._channel, [b"\0"], [descriptor])
        send_message(self._channel, request)
        self._channel.sendall(content)
        return receive_message(self._channel)

    def why_ended(self, *, hangs: bool) -> ImageError:
        """End the process unless it ends by itself, and return the error that its photo caused."""
        try:
            status = self._process.wait(0 if hangs else ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            status = -signal.SIGPROF
        self.end()
        if status in (-signal.SIGPROF, -signal.SIGXCPU):
            return ImageTooLarge(_TOO_LONG, "seconds")
        self.is_broken = True
        if status == -signal.SIGKILL:
            return ImageTooLarge(_TOO_MUCH_MEMORY, "memory")
        return DamagedImage(_CRASHED)

    def end(self) -> None:
        self._channel.close()
        self._lifeline.close()
        self._process.kill()
        self._process.wait()


def _start() -> _Process:
    try:
        return _Process()
    except OSError as error:
        raise Overloaded("No process to decode the photo can be started now; try again.") from error


def _environment() -> dict[str, str]:
    """Pass on where the interpreter and its packages are, but no setting and no secret."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | _LEAN | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}


@contextmanager
def _memory_file() -> Iterator[int]:
    """Open a file without a name for the pixels."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mien-pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _result(answer: dict[str, Any], descriptor: int, limits: Limits) -> tuple[Decoded, Pixels]:
    """Read an answer. It is believed only as far as its numbers are possible: the decoder may be another's by now.

    Raises ValueError, TypeError, LookupError or ArithmeticError for what is not possible.
    """
    width, height = map(int, answer["size"])
    rows, columns, channels = map(int, answer["shape"])
    decoded = Decoded((width, height), int(answer["orientation"]), float(answer["seconds"]))
    _fix_size(descriptor)
    size = rows * columns * channels
    is_possible = channels == 3 and min(rows, columns, width, height) > 0 and size <= limits.max_memory
    is_possible = is_possible and 0 <= decoded.seconds < MAX_WALL_SECONDS
    if not is_possible or size != os.fstat(descriptor).st_size:
        raise ValueError(size)
    memory = mmap.mmap(descriptor, size)
    return decoded, np.frombuffer(memory, np.uint8).reshape(rows, columns, channels)


def _fix_size(descriptor: int) -> None:
    """Keep the other process from cutting the memory off while it is read."""
    if hasattr(fcntl, "F_ADD_SEALS"):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)


def _error(answer: dict[str, Any]) -> ImageError:
    if answer["error"] == "memory":
        return ImageTooLarge(_TOO_MUCH_MEMORY, "memory")
    kinds: dict[str, type[ImageError]] = {
        kind.code: kind for kind in (errors.DamagedImage, errors.ImageTooSmall, errors.UnsupportedImage)
    }
    message = str(answer.get("message", _CRASHED))
    if answer["error"] == ImageTooLarge.code:
        return ImageTooLarge(message, str(answer.get("limit", "memory")))
    return kinds.get(str(answer["error"]), DamagedImage)(message)
