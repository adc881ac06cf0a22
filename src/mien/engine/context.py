"""Share among the parts of an engine: array types, the number of cores, running calls, and the model cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.domain.waiting import available_cores, reset_in_forks
from mien.engine.admission import BUDGET, Budget
from mien.kernels.file_cache import open_user_cache

Pixels = NDArray[np.uint8]
"""RGB image (height, width, 3), or n images of one size (n, height, width, 3); 0 to 255."""

Floats = NDArray[np.float32]

Network: TypeAlias = Callable[[Pixels], Floats]
"""Runs a model on n images of one size (n, height, width, 3) and returns (n, ...). Thread-safe."""


class EngineContext:
    """Cores, running calls and cached models of one engine; thread-safe.

    Args:
        threads: number of cores to use; None for all.

    Attributes:
        threads: number of cores to use.
        budget: admits photos; that of the whole process, unless the number of cores is given.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or available_cores()
        self.budget = Budget(threads) if threads else BUDGET
        self._cache = open_user_cache("models")
        self._calls: deque[None] = deque()
        reset_in_forks(self._forget_calls)

    @contextmanager
    def track_call(self) -> Iterator[None]:
        """Count a call of the engine as running until the block ends."""
        self._calls.append(None)
        try:
            yield
        finally:
            self._calls.pop()

    def _forget_calls(self) -> None:
        self._calls.clear()

    def is_idle(self) -> bool:
        """Tell whether at most one call is running, so that a single inference may use all cores."""
        return len(self._calls) <= 1

    def cached(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return the verified content of `key` in the cache; without one, the result of `make`, which is kept there.

        Without a usable cache, or when the disk is full, nothing is kept.
        """
        return self._cache.get_or_make(key, make) if self._cache else make()
