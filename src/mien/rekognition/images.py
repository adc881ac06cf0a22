"""Read the photo of an Image parameter: from the request, from a bucket that this server holds, or from S3.

The wire API accepts what Rekognition accepts: JPEG and PNG, told by content, at least 80 × 80 pixels, up to 15 MiB
from S3 (the service model limits bytes in a request to 5 MiB). S3 is read with the server's own AWS settings, not with
the caller's credentials.

Source: Amazon Rekognition Developer Guide, "Guidelines and quotas in Amazon Rekognition"; API Reference, `Image` and
`S3Object`.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, Protocol

from mien.domain import image_types
from mien.domain.errors import ImageError, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.domain.waiting import step_aside
from mien.engine import Limits, measure
from mien.rekognition.errors import UNREADABLE_OBJECT, WireError, invalid

CONTENT_TYPES = ("image/jpeg", "image/png")
MIN_SIDE = 80
MAX_OBJECT_BYTES = 15 * 1024 * 1024
S3_CLIENT_ERRORS = {
    "NoCredentialsError": "The server has no AWS credentials to read from S3.",
    "NoRegionError": "The server has no AWS region to read from S3: set AWS_DEFAULT_REGION.",
}
"""Log messages by the name of botocore's error class."""


SIZE_ONLY = Limits(max_pixels=sys.maxsize, max_memory=sys.maxsize)
"""How many pixels are accepted is the engine's decision, before it decodes any."""


class ReadObject(Protocol):
    """Reads an object of a bucket that this server holds itself."""

    def __call__(self, bucket: str, key: str, version: str | None) -> bytes | None:
        """Return the object's bytes, or None when the bucket is not a local one.

        Raises ImageNotFound for an unknown key, and for a version that the bucket does not have.
        """


def no_local_bucket(bucket: str, key: str, version: str | None) -> bytes | None:
    """Return None for every bucket: a server without a bucket of its own reads all objects from S3."""
    return None


def read_image(image: dict[str, Any], read_object: ReadObject) -> bytes:
    """Return the bytes of an Image parameter, after a look at their format and size.

    Args:
        image: The parameter: exactly one of `Bytes` and `S3Object`.
        read_object: Reads objects of local buckets.

    Raises WireError (InvalidParameterException, InvalidS3ObjectException) and subclasses of ImageError.
    """
    if len(image.keys() & {"Bytes", "S3Object"}) != 1:
        raise invalid("An image needs exactly one of Bytes and S3Object.")
    content = image["Bytes"] if "Bytes" in image else _read_s3_object(image["S3Object"], read_object)
    content_type, _ = image_types.sniff(content)
    if content_type not in CONTENT_TYPES:
        raise UnsupportedImage("The image is neither JPEG nor PNG.")
    found = measure(content, SIZE_ONLY)
    if 0 < min(found.width, found.height) < MIN_SIDE:
        raise ImageTooSmall(
            f"The image has {found.width} x {found.height} pixels; each side needs at least {MIN_SIDE}."
        )
    return content


def _read_s3_object(s3_object: dict[str, str], read_object: ReadObject) -> bytes:
    if not s3_object.keys() >= {"Bucket", "Name"}:
        raise invalid("An S3Object needs Bucket and Name.")
    bucket, key, version = s3_object["Bucket"], s3_object["Name"], s3_object.get("Version")
    content = read_object(bucket, key, version)
    if content is None:
        content = _read_from_s3(bucket, key, version)
    _check_size(len(content))
    return content


def _read_from_s3(bucket: str, key: str, version: str | None) -> bytes:
    step_aside()  # a network that does not answer holds up nobody else
    try:
        version_id = {"VersionId": version} if version else {}
        answer = s3_client().get_object(Bucket=bucket, Key=key, **version_id)
        _check_size(answer["ContentLength"])
        return bytes(answer["Body"].read())
    except ImageError:
        raise
    except Exception as error:  # no credentials, no such key, no connection: one exception on AWS as well
        raise WireError("InvalidS3ObjectException", UNREADABLE_OBJECT, cause=_cause(error)) from error


@cache
def s3_client() -> Any:
    """Open the one S3 client of this process, by AWS's own settings: environment, profile or role."""
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})
    return get_session().create_client("s3", config=config)


def _cause(error: Exception) -> str:
    """Return a sentence for the log; the error's own text is left out, as it may name people."""
    kind = type(error).__name__
    if kind in S3_CLIENT_ERRORS:
        return S3_CLIENT_ERRORS[kind]
    response = getattr(error, "response", {})
    return f"S3 answered with {response.get('Error', {}).get('Code', kind)}."


def _check_size(size: int) -> None:
    if size > MAX_OBJECT_BYTES:
        raise ImageTooLarge(f"The object has {size:,} bytes; at most {MAX_OBJECT_BYTES:,} are accepted.")
