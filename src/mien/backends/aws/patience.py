"""Rekognition is eventually consistent: what was just changed may be refused for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

from mien.backends.aws.errors import code
from mien.errors import Overloaded

T = TypeVar("T")

PAUSES = (0.1, 0.3, 1.0, 2.0)  # seconds


def patiently(call: Callable[[], T], refusal: str) -> T:
    """The call's answer; a refusal of that code is asked again after a pause, in the end Overloaded."""
    for pause in PAUSES:
        try:
            return call()
        except ClientError as error:
            if code(error) != refusal:
                raise
        time.sleep(pause)
    raise Overloaded("Rekognition has not caught up with an earlier change; try again.")
