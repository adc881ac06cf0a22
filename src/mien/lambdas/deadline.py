"""Say how long the call of a function that is under way may still take. An instance handles one call at a time."""

from __future__ import annotations

import time
from math import inf
from typing import Any

_ends_at = inf


def begin(context: Any) -> None:
    """Note when the call of a Lambda context ends at the latest."""
    global _ends_at
    _ends_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000


def seconds_left() -> float:
    """Return the seconds until Lambda ends the call; infinite outside of one."""
    return _ends_at - time.monotonic()
