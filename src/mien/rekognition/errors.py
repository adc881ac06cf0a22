"""Map Mien's errors to Rekognition's exceptions and their texts: the only place that does.

Rekognition's own exceptions carry `Code`, `Logref` and `Message`; those of AWS's front end carry a lower-case
`message`. All are HTTP 400, even "not found" and "access denied", but InternalServerError, which is HTTP 500.

Sources: Amazon Rekognition API Reference, the "Errors" section of each operation's page; AWS General Reference,
"Common Errors"; published answers of the service for the texts, which clients search for.
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
INVALID_PARAMETERS = "Request has invalid parameters"
INVALID_IMAGE_FORMAT = "Request has invalid image format"
UNREADABLE_OBJECT = "Unable to get object metadata from S3. Check object key, region and/or access permissions."
NO_SUCH_COLLECTION = "The collection id: {CollectionId} does not exist"
INTERNAL_ERROR = "Internal server error"
RATE_EXCEEDED = "Rate exceeded. Slow down."

_EXCEPTIONS: dict[type[errors.MienError], tuple[str, str]] = {
    errors.EmptyImage: ("InvalidImageFormatException", INVALID_IMAGE_FORMAT),
    errors.UnsupportedImage: ("InvalidImageFormatException", INVALID_IMAGE_FORMAT),
    errors.DamagedImage: ("InvalidImageFormatException", INVALID_IMAGE_FORMAT),
    errors.ImageTooLarge: ("ImageTooLargeException", "Image size is too large"),
    errors.ImageTooSmall: ("InvalidParameterException", INVALID_PARAMETERS),
    errors.NoFace: (
        "InvalidParameterException",
        "There are no faces in the image. Should be at least 1.",
    ),
    errors.InvalidInput: ("InvalidParameterException", INVALID_PARAMETERS),
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
    errors.StorageBusy: ("ThrottlingException", RATE_EXCEEDED),
    errors.Overloaded: ("ThrottlingException", RATE_EXCEEDED),
    errors.AccessDenied: ("AccessDeniedException", "You are not authorized to perform the action."),
    errors.MienError: ("InternalServerError", INTERNAL_ERROR),
}


class WireError(Exception):
    """An error as the client receives it.

    Attributes:
        code: The exception's name in AWS's model.
        message: The text that the client reads, in AWS's wording.
        cause: A sentence for the log that names the true reason, without ids, names or keys; "" when the code
            tells enough.
    """

    def __init__(self, code: str, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.cause = code, message, cause

    @property
    def status(self) -> int:
        """The HTTP status."""
        return 500 if self.code == "InternalServerError" else 400

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body: Rekognition's members for its own exceptions, the front end's for all others."""
        if self.code in REKOGNITION_EXCEPTIONS:
            return {
                "__type": self.code,
                "Code": self.code,
                "Logref": request_id,
                "Message": self.message,
            }
        return {"__type": self.code} | ({"message": self.message} if self.message else {})


def invalid(cause: str) -> WireError:
    """Return Rekognition's terse InvalidParameterException; the cause is for the log."""
    return WireError("InvalidParameterException", INVALID_PARAMETERS, cause=cause)


def from_domain(error: errors.MienError, params: Mapping[str, Any]) -> WireError:
    """Return the exception that Rekognition raises for one of Mien's errors.

    Args:
        error: The error; the nearest of its base classes decides when its own class is not in the table.
        params: The call's parameters; the text may name its CollectionId and UserId.
    """
    kind = next(kind for kind in type(error).__mro__ if kind in _EXCEPTIONS)
    code, text = _EXCEPTIONS[kind]
    names = {name: params.get(name, "") for name in ("CollectionId", "UserId")}
    return WireError(code, text.format_map(names), cause=_cause(error))


def _cause(error: errors.MienError) -> str:
    """Return the message of an image's error, but only the kind of any other: its message may name people."""
    if isinstance(error, errors.ImageError):
        return str(error)
    return f"{type(error).__name__}: {type(error).__doc__}"
