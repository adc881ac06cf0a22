"""Say where in its life an instance of a function is: starting, or how far in a call. It handles one call at a time."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

from mien.domain.errors import MienError

_ends_at = inf


def prepare(module: str, step: Callable[[str], object]) -> None:
    """Take a function's first step now if Lambda starts this process for a handler of the module.

    Lambda gives an instance more processor time before its first call than in it. Should the step fail, the first call
    takes it again and says why.

    Args:
        module: The module that the handler is in.
        step: Is given the handler's name.
    """
    handler_module, _, handler = os.environ.get("_HANDLER", "").rpartition(".")
    if handler_module == module:
        with without_collecting(), suppress(MienError):
            step(handler)


@contextmanager
def without_collecting() -> Iterator[None]:
    """Look for no garbage while modules are loaded, and later not among what they have made."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def begin(context: Any, at_most: float = inf) -> None:
    """Note when the call of a Lambda context ends at the latest, and in how many seconds its caller gives up."""
    global _ends_at
    _ends_at = time.monotonic() + min(at_most, context.get_remaining_time_in_millis() / 1000)


def seconds_left() -> float:
    """Return the seconds until Lambda ends the call; infinite outside of one."""
    return _ends_at - time.monotonic()
