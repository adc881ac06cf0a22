"""Keep the photos in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from mien.domain.errors import ImageNotFound
from mien.domain.results import Image, UploadForm


class MemoryBucket:
    """Implements `mien.app.group_ports.StagingBucket` in memory."""

    def __init__(self, on_created: Callable[[str], None] = lambda _: None) -> None:
        """`on_created` is called with each key after its object was stored."""
        self._images: dict[str, Image] = {}
        self._stored_at: dict[str, datetime] = {}
        self._on_created = on_created

    def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        self._images[key] = Image(body, content_type, dict(metadata))
        self._stored_at[key] = datetime.now(UTC)
        self._on_created(key)

    @contextmanager
    def staged(self, images: Mapping[str, Image]) -> Iterator[Callable[[], None]]:
        def move() -> None:
            self._images |= images
            self._stored_at |= dict.fromkeys(images, datetime.now(UTC))

        yield move

    def get(self, key: str) -> Image:
        try:
            return self._images[key]
        except KeyError:
            raise ImageNotFound("There is no photo under this path.") from None

    def keys(self, prefix: str) -> Iterator[str]:
        return (key for key in list(self._images) if key.startswith(prefix))

    def delete(self, keys: Sequence[str]) -> int:
        return sum(self._images.pop(key, None) is not None for key in keys)

    def delete_remains(self, key: str) -> None:
        """Nothing is kept about an object that was deleted."""

    def delete_folder(self, prefix: str) -> int:
        return self.delete(list(self.keys(prefix)))

    def stored_at(self, key: str) -> datetime | None:
        return self._stored_at[key] if key in self._images else None

    def holds(self, prefix: str) -> bool:
        return next(self.keys(prefix), None) is not None

    def link(self, key: str, content_type: str, expires_in: int) -> str | None:
        return None

    def presign(self, key: str, content_type: str, max_bytes: int, expires_in: int) -> UploadForm:
        expires_at = datetime.now(UTC) + timedelta(seconds=expires_in)
        return UploadForm("memory:", {"key": key, "Content-Type": content_type}, key, expires_at)
