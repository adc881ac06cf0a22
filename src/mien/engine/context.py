"""Share among the parts of an engine: array types, the number of cores, running calls, and the model cache."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

Pixels = NDArray[np.uint8]
"""RGB image (height, width, 3), or n images of one size (n, height, width, 3); 0 to 255."""

Floats = NDArray[np.float32]

Network: TypeAlias = Callable[[Pixels], Floats]
"""Runs a model on n images of one size (n, height, width, 3) and returns (n, ...). Thread-safe."""


class EngineContext:
    """Cores, running calls and cache folder of one engine; thread-safe.

    Args:
        threads: number of cores to use; None for all.

    Attributes:
        threads: number of cores to use.
        cache: folder for prepared models (`mien/models` in the user's cache folder); None if it is not writable.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or os.cpu_count() or 1
        self.cache = _writable(user_cache_path("mien") / "models")
        self._calls: deque[None] = deque()

    @contextmanager
    def track_call(self) -> Iterator[None]:
        """Count a call of the engine as running until the block ends."""
        self._calls.append(None)
        try:
            yield
        finally:
            self._calls.pop()

    def is_idle(self) -> bool:
        """Tell whether at most one call is running, so that a single inference may use all cores."""
        return len(self._calls) <= 1

    def cached(self, key: str, make: Callable[[], bytes]) -> bytes | Path:
        """Return the cache file `key`, and create it with the result of `make` if it does not exist.

        Without a writable cache, or when the disk is full, the content itself is returned.
        """
        if not self.cache:
            return make()
        path = self.cache / key
        if not path.exists():
            content = make()
            try:
                _write_atomically(path, content)
            except OSError:
                return content
        return path


def _writable(folder: Path) -> Path | None:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return None


def _write_atomically(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
