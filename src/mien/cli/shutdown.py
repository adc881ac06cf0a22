"""End `mien serve` within ten seconds of a signal, whatever is under way, and with exit code 0.

First requests may be answered, and photos that are being indexed may be finished; what takes longer is handed back for
the next start. Then the process ends, also while a thread waits for a disk or computes: nothing that was acknowledged
is lost, for that was stored before the answer.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import uvicorn

T = TypeVar("T")

REQUEST_SECONDS = 4
"""For requests that are being answered."""

LAST_SECONDS = 9.0
"""After which the process ends even if the event loop does not come back."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppableServer(uvicorn.Server):
    """Tells of the first signal, and ends the process if the server does not end by itself."""

    def __init__(self, config: uvicorn.Config, on_signal: Callable[[], object]) -> None:
        """`on_signal` is called once, on a thread of its own, as soon as a signal comes."""
        super().__init__(config)
        self._on_signal, self._signalled, self._is_told = on_signal, threading.Event(), False
        # Started beforehand: a signal may come while this thread holds a lock that starting one needs.
        for task in (self._stop, self._watch):
            threading.Thread(target=task, daemon=True).start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._is_told:  # another signal may interrupt this very method
            self._is_told = True
            self._signalled.set()
        super().handle_exit(sig, frame)

    def _stop(self) -> None:
        self._signalled.wait()
        self._on_signal()

    def _watch(self) -> None:
        self._signalled.wait()
        time.sleep(LAST_SECONDS)
        end()


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """End the process at once when a signal comes. Uvicorn, while it runs, handles it first, and raises it again."""
    former = {each: signal.signal(each, lambda *_: end()) for each in SIGNALS} if _is_main_thread() else {}
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def interruptible(work: Callable[[], T]) -> T:
    """Do some work on another thread, so that signals are handled even while it waits for a disk or a lock."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def end() -> None:
    """End the process with exit code 0, without waiting for any thread, or for who reads the log.

    Nothing is flushed: each line of the log is written when it is made.
    """
    os._exit(0)


def _is_main_thread() -> bool:
    """Signals can be handled in this thread only."""
    return threading.current_thread() is threading.main_thread()
