"""Answers by ClientRequestToken: a repeated call gets its first answer again, and nothing is done twice.

AWS says neither how long a token counts nor what it is bound to. Here it is bound to caller and operation,
and the newest 10,000 tokens of this process count.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from mien.rekognition.errors import WireError

if TYPE_CHECKING:
    from mien.rekognition.service import Call

MOST_TOKENS = 10_000


class Tokens:
    def __init__(self, most: int = MOST_TOKENS) -> None:
        self._most, self._lock = most, Lock()
        self._answers: OrderedDict[tuple[str, ...], tuple[Any, dict[str, Any]]] = OrderedDict()

    def once(self, call: Call, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Act, or answer as before; a failure is not kept. Raises WireError when the token came with other input."""
        token = call.params.get("ClientRequestToken")
        if token is None:
            return act()
        key = (call.caller, call.operation, token)
        with self._lock:
            if key not in self._answers:
                self._keep(key, (call.params, act()))
            earlier, answer = self._answers[key]
        if earlier != call.params:
            raise WireError(
                "IdempotentParameterMismatchException",
                f"The ClientRequestToken: {token} you have supplied is already in use.",
            )
        return answer

    def _keep(self, key: tuple[str, ...], answer: tuple[Any, dict[str, Any]]) -> None:
        self._answers[key] = answer
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)
