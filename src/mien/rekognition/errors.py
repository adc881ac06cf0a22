"""What goes wrong, in AWS's words: the only table from Mien's errors to Rekognition's exceptions and texts.

Rekognition's own exceptions carry `Code`, `Logref` and `Message`; those of AWS's front end carry a lower-case
`message`. Nearly all of them are HTTP 400, even "not found" and "access denied".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mien.domain import errors

REKOGNITION_EXCEPTIONS = frozenset(
    {
        "AccessDeniedException",
        "ConflictException",
        "IdempotentParameterMismatchException",
        "ImageTooLargeException",
        "InternalServerError",
        "InvalidImageFormatException",
        "InvalidPaginationTokenException",
        "InvalidParameterException",
        "InvalidS3ObjectException",
        "ProvisionedThroughputExceededException",
        "ResourceAlreadyExistsException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
        "ThrottlingException",
    }
)
GENERIC = "Request has invalid parameters"
BAD_FORMAT = "Request has invalid image format"
UNREADABLE_OBJECT = "Unable to get object metadata from S3. Check object key, region and/or access permissions."
NO_SUCH_COLLECTION = "The collection id: {CollectionId} does not exist"
INTERNAL = "Internal server error"
SLOW_DOWN = "Rate exceeded. Slow down."

_ANSWERS: dict[type[errors.MienError], tuple[str, str]] = {
    errors.EmptyImage: ("InvalidImageFormatException", BAD_FORMAT),
    errors.UnsupportedImage: ("InvalidImageFormatException", BAD_FORMAT),
    errors.DamagedImage: ("InvalidImageFormatException", BAD_FORMAT),
    errors.ImageTooLarge: ("ImageTooLargeException", "Image size is too large"),
    errors.ImageTooSmall: ("InvalidParameterException", GENERIC),
    errors.NoFace: (
        "InvalidParameterException",
        "There are no faces in the image. Should be at least 1.",
    ),
    errors.InvalidInput: ("InvalidParameterException", GENERIC),
    errors.CollectionNotFound: ("ResourceNotFoundException", NO_SUCH_COLLECTION),
    errors.FaceNotFound: ("InvalidParameterException", "faceId was not found in the collection."),
    errors.UserNotFound: ("ResourceNotFoundException", "The user id: {UserId} does not exist"),
    errors.ImageNotFound: ("InvalidS3ObjectException", UNREADABLE_OBJECT),
    errors.CollectionExists: (
        "ResourceAlreadyExistsException",
        "The collection id: {CollectionId} already exists",
    ),
    errors.UserExists: ("ConflictException", "The user id: {UserId} already exists"),
    errors.LimitExceeded: ("ServiceQuotaExceededException", "The service quota is exceeded."),
    errors.ModelMismatch: (
        "InvalidParameterException",
        "The collection was made with another face model version; make a new one.",
    ),
    errors.StorageBusy: ("ThrottlingException", SLOW_DOWN),
    errors.Overloaded: ("ThrottlingException", SLOW_DOWN),
    errors.AccessDenied: ("AccessDeniedException", "You are not authorized to perform the action."),
    errors.MienError: ("InternalServerError", INTERNAL),
}


class WireError(Exception):
    """A refusal as the client reads it; `cause` is a sentence for the log, without ids, names or keys."""

    def __init__(self, code: str, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.cause = code, message, cause

    @property
    def status(self) -> int:
        return 500 if self.code == "InternalServerError" else 400

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON envelope: Rekognition's own for its exceptions, the front end's for the others."""
        if self.code in REKOGNITION_EXCEPTIONS:
            return {
                "__type": self.code,
                "Code": self.code,
                "Logref": request_id,
                "Message": self.message,
            }
        return {"__type": self.code} | ({"message": self.message} if self.message else {})


def invalid(cause: str) -> WireError:
    """AWS's terse "invalid parameters"; what was really wrong goes to the log."""
    return WireError("InvalidParameterException", GENERIC, cause=cause)


def from_domain(error: errors.MienError, params: Mapping[str, Any]) -> WireError:
    """Say a domain error in AWS's words, with the names that the caller gave."""
    kind = next(kind for kind in type(error).__mro__ if kind in _ANSWERS)
    code, text = _ANSWERS[kind]
    named = {name: params.get(name, "") for name in ("CollectionId", "UserId")}
    return WireError(code, text.format_map(named), cause=_cause(error))


def _cause(error: errors.MienError) -> str:
    """An image's error tells of the image only; other messages may name people, so only their kind is told."""
    if isinstance(error, errors.ImageError):
        return str(error)
    return f"{type(error).__name__}: {type(error).__doc__}"
