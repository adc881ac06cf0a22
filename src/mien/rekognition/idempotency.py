"""Answer a call that is repeated with its ClientRequestToken as the first time, and do nothing twice.

AWS publishes neither how long a token is remembered nor what it is bound to. Here it is bound to caller and operation,
and the newest 10,000 of this process are remembered, fewer when their calls name many faces (Amazon Rekognition API
Reference, AssociateFaces).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from mien.rekognition.errors import WireError
from mien.rekognition.service import Answer, Call

MAX_CLIENT_TOKENS = 10_000
MAX_FACE_IDS = 100_000
"""In all calls that are remembered: each takes 400 bytes there and in the answer."""


@dataclass(slots=True)
class _TokenLock:
    """The lock of one ClientRequestToken, and how many calls hold it or wait for it."""

    lock: Lock = field(default_factory=Lock)
    calls: int = 0


class IdempotencyCache:
    """Remembers answers by ClientRequestToken, so that a repeated call is not executed again.

    Calls with the same token run one after the other, calls with different tokens at the same time.
    """

    def __init__(self, max_tokens: int = MAX_CLIENT_TOKENS, max_face_ids: int = MAX_FACE_IDS) -> None:
        """Remember the answers to the newest `max_tokens` tokens, whose calls have `max_face_ids` together."""
        self._max_tokens, self._max_face_ids, self._face_ids, self._lock = max_tokens, max_face_ids, 0, Lock()
        self._answers: OrderedDict[tuple[str, ...], tuple[dict[str, Any], Answer]] = OrderedDict()
        self._token_locks: dict[tuple[str, ...], _TokenLock] = {}

    def run_once(self, call: Call, operation: Callable[[], Answer]) -> Answer:
        """Run the operation, or return its earlier answer when the call repeats one; a failure is not remembered.

        Raises WireError: IdempotentParameterMismatchException when the token came with other parameters before.
        """
        token = call.params.get("ClientRequestToken")
        if token is None:
            return operation()
        key = (call.caller, call.operation, token)
        with self._locked(key):
            remembered = self._answers.get(key)
            if remembered is None:
                answer = operation()
                self._remember(key, call.params, answer)
                return answer
        params, answer = remembered
        if params != call.params:
            raise WireError(
                "IdempotentParameterMismatchException",
                f"The ClientRequestToken: {token} you have supplied is already in use.",
            )
        return answer

    @contextmanager
    def _locked(self, key: tuple[str, ...]) -> Iterator[None]:
        with self._lock:
            entry = self._token_locks.setdefault(key, _TokenLock())
            entry.calls += 1
        try:
            with entry.lock:
                yield
        finally:
            with self._lock:
                entry.calls -= 1
                if not entry.calls:
                    del self._token_locks[key]

    def _remember(self, key: tuple[str, ...], params: dict[str, Any], answer: Answer) -> None:
        with self._lock:
            self._answers[key] = (params, answer)
            self._face_ids += _face_ids(params)
            while len(self._answers) > self._max_tokens or self._face_ids > self._max_face_ids:
                _, (oldest, _) = self._answers.popitem(last=False)
                self._face_ids -= _face_ids(oldest)


def _face_ids(params: dict[str, Any]) -> int:
    return len(params.get("FaceIds", ()))
