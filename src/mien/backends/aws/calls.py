"""A long sequence in the portions that AWS takes at once.

AWS's error codes -> the error tree, in this one place.

A right that a role lacks is a fault of the set-up, not of the caller: it must not look as if the
photo or the person's key were refused.

Rekognition is eventually consistent: what was just changed may be refused for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from mien.domain.errors import (
    CollectionNotFound,
    DamagedImage,
    ImageTooLarge,
    LimitExceeded,
    MienError,
    Overloaded,
    SetupError,
    StorageError,
)

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


_BUSY = "AWS takes no more requests at the moment; try again."
_FAILED = "AWS failed inside at {operation}; try again."
_REFUSED = "AWS refused {operation}: the credentials lack the right to it. `mien doctor` checks them all."

_LEAVES: dict[str, tuple[type[MienError], str]] = {
    "InvalidImageFormatException": (DamagedImage, "The image is damaged or of a kind that cannot be read."),
    "ImageTooLargeException": (ImageTooLarge, "The image has too many bytes or pixels."),
    "ServiceQuotaExceededException": (LimitExceeded, "A quota of the AWS account is full."),
    "NoSuchBucket": (SetupError, "The bucket does not exist; deploy the stack or set MIEN_BUCKET."),
    "ConflictException": (Overloaded, _BUSY),
    "InternalError": (Overloaded, _FAILED),
    "InternalServerError": (Overloaded, _FAILED),
    "ProvisionedThroughputExceededException": (Overloaded, _BUSY),
    "RequestLimitExceeded": (Overloaded, _BUSY),
    "ServiceUnavailable": (Overloaded, _FAILED),
    "SlowDown": (Overloaded, _BUSY),
    "ThrottlingException": (Overloaded, _BUSY),
    "TransactionCanceledException": (Overloaded, _BUSY),
    "TransactionInProgressException": (Overloaded, _BUSY),
    "AccessDenied": (SetupError, _REFUSED),
    "AccessDeniedException": (SetupError, _REFUSED),
    "ExpiredToken": (SetupError, _REFUSED),
    "ExpiredTokenException": (SetupError, _REFUSED),
    "InvalidAccessKeyId": (SetupError, _REFUSED),
    "InvalidSignatureException": (SetupError, _REFUSED),
    "SignatureDoesNotMatch": (SetupError, _REFUSED),
    "UnrecognizedClientException": (SetupError, _REFUSED),
}


def code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def domain_error(error: ClientError | BotoCoreError) -> MienError:
    """The leaf that says the same; AWS's own text stays in the cause, for it may hold names and keys."""
    if isinstance(error, BotoCoreError):
        return StorageError("AWS cannot be reached, or there are no credentials for it.")
    if code(error) == "ResourceNotFoundException":
        return _missing(error)
    kind, message = _LEAVES.get(code(error), (StorageError, f"AWS answered {code(error)} to {error.operation_name}."))
    return kind(message.format(operation=error.operation_name))


@contextmanager
def domain_errors() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise domain_error(error) from error


def _missing(error: ClientError) -> MienError:
    if "collection" in str(error).lower():
        return CollectionNotFound("The collection does not exist; deploy the stack or set MIEN_COLLECTION.")
    return SetupError(f"What {error.operation_name} needs does not exist on AWS; deploy the stack.")


BACKOFF = (0.1, 0.3, 1.0, 2.0)  # seconds


def retry_on(call: Callable[[], T], refusal: str) -> T:
    """The call's answer; a refusal of that code is asked again after a pause, in the end Overloaded."""
    for pause in BACKOFF:
        try:
            return call()
        except ClientError as error:
            if code(error) != refusal:
                raise
        time.sleep(pause)
    raise Overloaded("Rekognition has not caught up with an earlier change; try again.")
