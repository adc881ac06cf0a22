"""A deployed stack as the command line and the functions see it: its application, its API keys, what a job costs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mien.app.app import FaceApp
from mien.backends.aws import clients
from mien.backends.aws.bucket import S3Bucket
from mien.backends.aws.catalog import DynamoCatalog, tables
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.domain.errors import Overloaded
from mien.domain.records import Upload, UploadStatus
from mien.security.api_keys import KeyFile

if TYPE_CHECKING:
    from mien.config import Settings

INDEXING_TIMEOUT_SECONDS = 600.0
POLL_SECONDS = 0.5
REFRESH_SECONDS = 60.0

PRICES_OF = date(2026, 10, 7)
PRICE_TIERS = ((1_000_000, 0.0010), (4_000_000, 0.0008), (30_000_000, 0.0006), (None, 0.0004))
"""Rekognition calls per month and USD for each, in us-east-1, without free tier.

The same for the operations of groups 1 and 2 below 35 million. https://aws.amazon.com/rekognition/pricing/
"""
VECTOR_MONTH_PRICE = 0.00001
ENROL_CALLS = 3  # IndexFaces, SearchFaces for look-alikes, AssociateFaces


def open_app(settings: Settings) -> FaceApp:
    """Return the application on the stack that the settings name; this does not call AWS yet."""
    return RemoteApp(*ports(settings), settings.policy)


def ports(settings: Settings) -> tuple[S3Bucket, RekognitionRecognizer, DynamoCatalog]:
    """Return the three ports on the resources that the settings name."""
    named = tables(settings.faces_table, settings.recognitions_table, settings.records_table)
    return (
        S3Bucket(clients.s3(), settings.bucket),
        RekognitionRecognizer(clients.rekognition(settings.rekognition_keys_secret), settings.collection),
        DynamoCatalog(clients.dynamodb(), named, settings.result_days),
    )


class RemoteApp(FaceApp):
    """The application on a deployed stack, whose upload function does the indexing."""

    def enroll(self, image: bytes, user_id: str | None = None, name: str | None = None) -> Upload:
        """Upload a photo and wait until the stack has indexed it.

        Raises:
            Overloaded: The photo was not indexed within ten minutes. It stays in the queue.
        """
        upload = self.upload(image, user_id, name)
        until = time.monotonic() + INDEXING_TIMEOUT_SECONDS
        while upload.status is UploadStatus.PENDING:
            if time.monotonic() > until:
                raise Overloaded("The photo is uploaded but not indexed yet. Check the stack's queue and alarms.")
            time.sleep(POLL_SECONDS)
            upload = self.upload_status(upload.image_path)
        return upload


class SecretKeys:
    """A local copy of the API keys in a secret, for `KeyFile`.

    The secret is a JSON object: `keys` is the content of a key file, `signing` the key that seals page cursors. It is
    fetched again every minute, so that a revoked key is refused after a minute at most.

    Attributes:
        copy: The local key file.
        signing: The signing key; empty before the first `refresh`.
    """

    def __init__(self, secret: str, copy: Path) -> None:
        """Name the secret (its ARN or name) and the file to copy its keys to."""
        self._secret, self.copy = secret, copy
        self._fetched_at = -REFRESH_SECONDS
        self._keys: Any = None
        self.signing = ""

    def refresh(self) -> None:
        """Fetch the secret when the copy is older than a minute.

        Raises:
            SetupError: The secret does not exist, or the credentials may not read it.
            StorageError: AWS cannot be reached. The old copy must not be used then.
        """
        if time.monotonic() - self._fetched_at < REFRESH_SECONDS:
            return
        content = _content(self._secret)
        self.signing = content["signing"]
        if content["keys"] != self._keys:
            self._keys = content["keys"]
            draft = self.copy.with_suffix(".new")
            draft.write_text(json.dumps(self._keys))
            draft.replace(self.copy)
        self._fetched_at = time.monotonic()


@contextmanager
def edit_keys(secret: str) -> Iterator[KeyFile]:
    """Open the keys of a secret for creating and revoking; write the secret at the end if they changed."""
    content = _content(secret)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        file.write_text(json.dumps(content["keys"]))
        yield KeyFile(file)
        edited = content | {"keys": json.loads(file.read_text())}
    if edited == content:
        return
    with clients.domain_errors():
        clients.secrets().put_secret_value(SecretId=secret, SecretString=json.dumps(edited))


@dataclass(frozen=True, slots=True)
class CostForecast:
    """What Rekognition charges for a job, in USD; all else on the stack costs little beside it.

    Attributes:
        calls: How many calls the job makes.
        dollars: Their price.
        dollars_per_month: The price of keeping the enrolled vectors.
        as_of: The date of the price table.
    """

    calls: int
    dollars: float
    dollars_per_month: float
    as_of: date = PRICES_OF


def forecast_enrolment(photos: int) -> CostForecast:
    """Forecast the costs of enrolling photos of one person each, each the first of its person at worst."""
    calls = photos * ENROL_CALLS
    return CostForecast(calls, price(calls), 2 * photos * VECTOR_MONTH_PRICE)


def price(calls: int) -> float:
    """Return the USD that a number of Rekognition calls costs when all are made in one month."""
    total, remaining = 0.0, calls
    for size, price_per_call in PRICE_TIERS:
        portion = remaining if size is None else min(remaining, size)
        total, remaining = total + portion * price_per_call, remaining - portion
    return total


def _content(secret: str) -> Any:
    with clients.domain_errors():
        return json.loads(clients.secret(secret))
