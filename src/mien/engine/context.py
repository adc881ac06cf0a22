"""The machine that an engine runs on: its cores, who is at work on them, and the cache folder."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path


class EngineContext:
    """`threads` cores, all by default."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or os.cpu_count() or 1
        self.cache = _writable(user_cache_path("mien") / "models")
        self._callers: deque[None] = deque()

    @contextmanager
    def caller(self) -> Iterator[None]:
        """Announce work on one photo, so that networks know who is alone."""
        self._callers.append(None)
        try:
            yield
        finally:
            self._callers.pop()

    def alone(self) -> bool:
        """Whether no two photos are worked on."""
        return len(self._callers) <= 1

    def kept(self, key: str, make: Callable[[], bytes]) -> bytes | Path:
        """What `make` gives; it is made once and kept in the cache under `key`, if there is one and it has room."""
        if not self.cache:
            return make()
        path = self.cache / key
        if not path.exists():
            content = make()
            try:
                _write(path, content)
            except OSError:
                return content
        return path


def _writable(folder: Path) -> Path | None:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return None


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
