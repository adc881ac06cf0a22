"""Say where in its life an instance of a function is: starting, or how far in a call. It handles one call at a time."""

from __future__ import annotations

import os
import time
from math import inf
from typing import Any

_ends_at = inf


def is_starting(module: str) -> bool:
    """Whether Lambda starts this process for a handler of a module, and has not called it yet."""
    return os.environ.get("_HANDLER", "").rpartition(".")[0] == module and _ends_at == inf


def begin(context: Any) -> None:
    """Note when the call of a Lambda context ends at the latest."""
    global _ends_at
    _ends_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000


def seconds_left() -> float:
    """Return the seconds until Lambda ends the call; infinite outside of one."""
    return _ends_at - time.monotonic()
