"""Make boto3 clients, and share what all calls of AWS need: batches, retries, and the mapping of AWS's errors.

Region, credentials, endpoints and retries come from AWS's own settings.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
)

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
from mien.security.origins import is_loopback

T = TypeVar("T")

BACKOFF = (0.1, 0.3, 1.0, 2.0)  # seconds
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 2.0, 8.0, 2
SECONDS_PER_CALL = ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS) + 1.0
"""How long a call may take in the worst case, with a pause: less than the functions that answer requests have."""

AMAZON_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")

_BUSY = "AWS accepts no more requests at the moment; try again."
_FAILED = "{operation} failed inside AWS; try again."
_REFUSED = "AWS refused {operation}: the credentials lack the permission. `mien doctor` checks all of them."

# A missing permission is a fault of the set-up: it must not look as if the photo or the caller's key were refused.
_ERRORS: dict[str, tuple[type[MienError], str]] = {
    "InvalidImageFormatException": (DamagedImage, "The photo is damaged, or of a format that is not supported."),
    "ImageTooLargeException": (ImageTooLarge, "The photo has too many bytes or pixels."),
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
    "TransactionConflictException": (Overloaded, _BUSY),
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


def _client(service: str, config: Config | None = None, **options: Any) -> Any:
    """Make a client. Raises SetupError when AWS's own settings do not suffice for one."""
    try:
        limits = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={
                "mode": os.environ.get("AWS_RETRY_MODE", "standard"),
                "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS)),
            },
        )
        region = os.environ.get("AWS_REGION") or None
        return boto3.client(service, region_name=region, config=limits.merge(config or Config()), **options)
    except NoRegionError as error:
        raise SetupError("AWS needs a region: set AWS_REGION, or a region in AWS's profile.") from error
    except ProfileNotFound as error:
        raise SetupError("The profile that AWS_PROFILE names does not exist.") from error
    except (BotoCoreError, ValueError) as error:
        raise SetupError("AWS's own settings (environment, profile or endpoint) cannot be used.") from error


def s3() -> Any:
    """Make a client of S3. Presigned forms need this signature version and addressing style on new buckets."""
    return _client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))


def dynamodb() -> Any:
    return _client("dynamodb")


def rekognition(keys_secret: str | None = None) -> Any:
    """Make a client of Rekognition, or of a self-hosted Mien in its place.

    Args:
        keys_secret: The secret with the access key of a self-hosted Mien; without it, the usual credentials sign.
    """
    signing = {}
    if keys_secret:
        keys = json.loads(secret(keys_secret)[0])
        signing = {
            "aws_access_key_id": keys["access_key_id"],
            "aws_secret_access_key": keys["secret_access_key"],
        }
    client = _client("rekognition", **signing)
    if not reads_buckets(client):
        address = urlsplit(client.meta.endpoint_url)
        if address.scheme != "https" and not is_loopback(address.hostname or ""):
            raise SetupError("RekognitionEndpoint must begin with https://, as photos and faces go there.")
        client.meta.events.register_first("needs-retry.rekognition", _CollectionMaker(client))
    return client


class _CollectionMaker:
    """Creates a collection that a service in Rekognition's place does not have yet, and has the call repeated."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._made: set[str] = set()

    def __call__(self, response: Any, request_dict: Any, **_: Any) -> int | None:
        """Handle botocore's question whether to call again: 0 seconds to wait, or None to let others decide."""
        error = response[1].get("Error", {}) if response else {}
        if error.get("Code") != "ResourceNotFoundException" or "collection" not in error.get("Message", "").lower():
            return None
        collection = json.loads(request_dict["body"])["CollectionId"]
        if collection in self._made:
            return None
        self._made.add(collection)
        with suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_collection(CollectionId=collection)
        return 0


def reads_buckets(rekognition: Any) -> bool:
    """Tell whether a client's service is Amazon's, which reads photos from buckets by the caller's rights."""
    host = urlsplit(rekognition.meta.endpoint_url).hostname or ""
    return host.endswith(AMAZON_HOSTS)


def sqs() -> Any:
    return _client("sqs")


def functions() -> Any:
    """Make a client of Lambda."""
    return _client("lambda")


def cloudformation() -> Any:
    return _client("cloudformation")


def iam() -> Any:
    return _client("iam")


def secrets() -> Any:
    return _client("secretsmanager")


def secret(name: str) -> tuple[str, str]:
    """Return the text of a secret in Secrets Manager, and the id of its version."""
    value = secrets().get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
    return value["SecretString"], value["VersionId"]


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Split a sequence into batches that one call of AWS takes."""
    return (items[start : start + size] for start in range(0, len(items), size))


def retry_on(error_code: str, call: Callable[[], T]) -> T:
    """Call, and call again after a pause when AWS answers with the error code.

    Rekognition is eventually consistent: for a moment, it may refuse what depends on an earlier change.

    Raises:
        Overloaded: AWS still answered with the code in the last attempt.
    """
    for pause in BACKOFF:
        try:
            return call()
        except ClientError as error:
            if code(error) != error_code:
                raise
        time.sleep(pause)
    raise Overloaded("Rekognition has not caught up with an earlier change; try again.")


def code(error: ClientError) -> str:
    """Return AWS's code of an error, such as `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def domain_error(error: ClientError | BotoCoreError) -> MienError:
    """Return the error of the domain that means the same. AWS's own text is left out: it may hold names and keys."""
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return Overloaded("AWS does not answer in time; try again.")
    if isinstance(error, BotoCoreError):
        return StorageError("AWS cannot be reached, or there are no credentials for it.")
    if code(error) == "ResourceNotFoundException":
        return _missing(error)
    kind, message = _ERRORS.get(code(error), (StorageError, f"AWS answered {code(error)} to {error.operation_name}."))
    return kind(message.format(operation=error.operation_name))


@contextmanager
def domain_errors() -> Iterator[None]:
    """Turn errors of AWS into errors of the domain."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise domain_error(error) from error


def _missing(error: ClientError) -> MienError:
    if "collection" in str(error).lower():
        return CollectionNotFound("The collection does not exist; deploy the stack or set MIEN_COLLECTION.")
    return SetupError(f"A resource that {error.operation_name} needs does not exist on AWS; deploy the stack.")
