"""Run a part of a test in a forked child."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def holds_in_child(condition: Callable[[], bool], seconds: int = 120) -> bool:
    """Tell whether a condition holds in a forked child. One that is not known after so many seconds does not."""
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(seconds)
            status = 0 if condition() else 1
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0
