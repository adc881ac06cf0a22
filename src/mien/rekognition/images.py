"""An Image member goes in, the photo's bytes come out: given in the call, read from our own bucket, or from S3.

This door takes what Rekognition takes: JPEG and PNG by content, at least 80 x 80 pixels, 15 MB from S3
(5 MB in the call is a constraint of the model). S3 is read with the server's own AWS settings, not the caller's.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from mien.domain.errors import ImageError, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.engine.decode import open_photo
from mien.rekognition.errors import UNREADABLE_OBJECT, WireError, invalid

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
LEAST_SIDE = 80
MOST_OBJECT_BYTES = 15 * 1024 * 1024
LACKS = {
    "ModuleNotFoundError": "The server lacks boto3 to read from S3: pip install mien[aws].",
    "NoCredentialsError": "The server has no AWS credentials to read from S3.",
    "NoRegionError": "The server has no AWS region to read from S3: set AWS_REGION.",
}
"""By the kind of error, so that boto3 need not be there to be missed."""


class ReadObject(Protocol):
    """Reads an object of a bucket that is ours; None when the bucket is not. Raises ImageNotFound."""

    def __call__(self, bucket: str, key: str, version: str | None) -> bytes | None: ...


def not_ours(bucket: str, key: str, version: str | None) -> bytes | None:
    """No bucket is ours: every S3Object is read from S3."""
    return None


def image_bytes(image: dict[str, Any], read_object: ReadObject) -> bytes:
    """The bytes of an Image member, checked. Raises WireError or ImageError."""
    if len(image.keys() & {"Bytes", "S3Object"}) != 1:
        raise invalid("An image needs exactly one of Bytes and S3Object.")
    content = image["Bytes"] if "Bytes" in image else _object_bytes(image["S3Object"], read_object)
    if not content.startswith(SIGNATURES):
        raise UnsupportedImage("The image is neither JPEG nor PNG.")
    photo = open_photo(content)
    if min(photo.width, photo.height) < LEAST_SIDE:
        raise ImageTooSmall(f"The image is {photo.width} x {photo.height} pixels; {LEAST_SIDE} are the least.")
    return content


def _object_bytes(place: dict[str, str], read_object: ReadObject) -> bytes:
    if not place.keys() >= {"Bucket", "Name"}:
        raise invalid("An S3Object needs Bucket and Name.")
    bucket, key, version = place["Bucket"], place["Name"], place.get("Version")
    content = read_object(bucket, key, version)
    if content is None:
        content = _s3_bytes(bucket, key, version)
    _check_size(len(content))
    return content


def _s3_bytes(bucket: str, key: str, version: str | None) -> bytes:
    try:
        given = {"VersionId": version} if version else {}
        answer = _s3_client().get_object(Bucket=bucket, Key=key, **given)
        _check_size(answer["ContentLength"])
        return bytes(answer["Body"].read())
    except ImageError:
        raise
    except Exception as error:  # boto3 absent, no credentials, no such key, endpoint away: one answer for all
        raise WireError("InvalidS3ObjectException", UNREADABLE_OBJECT, cause=_what(error)) from error


@cache
def _s3_client() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2}))


def _what(error: Exception) -> str:
    """For the log: what the server lacks, or S3's error code, or the kind of error; its text may hold names."""
    kind = type(error).__name__
    if kind in LACKS:
        return LACKS[kind]
    response = getattr(error, "response", {})
    return f"S3 answered with {response.get('Error', {}).get('Code', kind)}."


def _check_size(size: int) -> None:
    if size > MOST_OBJECT_BYTES:
        raise ImageTooLarge(f"The object has {size:,} bytes; at most {MOST_OBJECT_BYTES:,} are accepted.")
