"""Define the error tree. Every message is a sentence for a person, without the words of HTTP or AWS.

MienError
├── ImageError              the photo itself
│   ├── EmptyImage              no bytes
│   ├── UnsupportedImage        not a format that can be read
│   ├── DamagedImage            damaged or cut short
│   ├── ImageTooLarge           more bytes, pixels, memory or work than allowed
│   └── ImageTooSmall           too few pixels to hold a face
├── NoFace                  a face is needed and the photo shows none
├── InvalidInput            an impossible name, threshold, token …
│   ├── BodyTooSlow             a request's body did not arrive in time
│   └── MalformedRequest        a request that may be read in two ways
├── NotFound
│   ├── CollectionNotFound
│   ├── FaceNotFound
│   ├── UserNotFound
│   ├── ImageNotFound
│   ├── GroupNotFound
│   ├── RecognitionNotFound
│   └── ErasureNotFound
├── AlreadyExists
│   ├── CollectionExists
│   ├── GroupNamed
│   └── UserExists
├── LimitExceeded           a quota is full
├── ModelError              the recognition models
│   ├── WeightsMissing
│   ├── WeightsDamaged
│   └── ModelMismatch           embeddings of another model version
├── StorageError            the data folder or a remote store
│   ├── StorageFull
│   ├── StorageReadOnly
│   ├── StorageDamaged
│   └── StorageBusy
├── Overloaded              too much work at once; try again
│   └── RateLimited             too many calls by this caller
├── AccessDenied
│   └── NotAuthenticated        no key, or an unknown one
└── SetupError              the settings or the environment do not fit
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

MAX_FRAMES = 20


class MienError(Exception):
    """The base of all errors that Mien raises on purpose: `except MienError` catches them all.

    `code` is the class's name for programs, in snake case: `StorageFull.code` is "storage_full".
    """

    code: ClassVar[str] = "mien_error"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class ImageError(MienError):
    """The photo cannot be used."""


class EmptyImage(ImageError):
    """The photo has no bytes."""


class UnsupportedImage(ImageError):
    """The bytes are not an image of a known format."""


class DamagedImage(ImageError):
    """The photo is damaged or cut short."""


class ImageTooLarge(ImageError):
    """The photo takes more than allowed: bytes, pixels, memory, scans, seconds …

    `limit` is the exceeded limit's name.
    """

    def __init__(self, message: str, limit: str = "bytes") -> None:
        super().__init__(message)
        self.limit = limit


class ImageTooSmall(ImageError):
    """The photo has too few pixels to hold a face."""


class NoFace(MienError):
    """A face is needed and the photo shows none of sufficient quality."""


class InvalidInput(MienError):
    """An impossible value: a malformed name, a threshold out of range, a page token of another listing."""


class BodyTooSlow(InvalidInput):
    """The body of a request did not arrive in time."""


class MalformedRequest(InvalidInput):
    """A request that a proxy, or another part of the server, may read in another way."""


class NotFound(MienError):
    """The thing that was asked for does not exist."""


class CollectionNotFound(NotFound):
    """No such collection."""


class FaceNotFound(NotFound):
    """No such face in the collection."""


class UserNotFound(NotFound):
    """No such user."""


class ImageNotFound(NotFound):
    """No such image in the bucket."""


class GroupNotFound(NotFound):
    """No such group of faces."""


class RecognitionNotFound(NotFound):
    """No such stored recognition."""


class ErasureNotFound(NotFound):
    """No such erasure."""


class AlreadyExists(MienError):
    """The name is taken."""


class CollectionExists(AlreadyExists):
    """A collection of that name exists."""


class GroupNamed(AlreadyExists):
    """Somebody else has given the group of faces another name."""


class UserExists(AlreadyExists):
    """A user of that name exists."""


class LimitExceeded(MienError):
    """A quota is full, such as 100 faces per user."""


class ModelError(MienError):
    """The recognition models cannot be used."""


class WeightsMissing(ModelError):
    """A model file is not in its place."""


class WeightsDamaged(ModelError):
    """A model file's SHA-256 is not the expected one."""


class ModelMismatch(ModelError):
    """The collection's embeddings were made by another model version."""


class StorageError(MienError):
    """The data cannot be read or written."""


class StorageFull(StorageError):
    """No space is left."""


class StorageReadOnly(StorageError):
    """The data can be read, but not changed."""


class StorageDamaged(StorageError):
    """The stored data is corrupt."""


class StorageBusy(StorageError):
    """Another process holds the data."""


class Overloaded(MienError):
    """There is too much work at once; the same call may succeed later."""


class RateLimited(Overloaded):
    """The caller makes more calls than allowed."""


class AccessDenied(MienError):
    """The caller is not allowed to do this."""


class NotAuthenticated(AccessDenied):
    """The caller sends no key, or an unknown one."""


class SetupError(MienError):
    """The settings do not fit each other or this machine."""


def frames(trace: TracebackType | None) -> list[str]:
    """Return where an exception came from, innermost last, without its message and the values at hand."""
    found = traceback.extract_tb(trace)[-MAX_FRAMES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in found]
