"""The ports on AWS: Bucket on S3, Recognizer on Rekognition, Catalog on DynamoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.backends.aws.bucket import S3Bucket
    from mien.backends.aws.catalog import DynamoCatalog
    from mien.backends.aws.recognizer import RekognitionRecognizer
    from mien.config import Settings


def open_app(settings: Settings) -> FaceApp:
    """The application on the resources that the settings name; nothing is asked of AWS yet."""
    from mien.backends.aws.app import RemoteApp

    return RemoteApp(*ports(settings), settings.policy)


def ports(settings: Settings) -> tuple[S3Bucket, RekognitionRecognizer, DynamoCatalog]:
    from mien.backends.aws import clients
    from mien.backends.aws.bucket import S3Bucket
    from mien.backends.aws.catalog import DynamoCatalog
    from mien.backends.aws.recognizer import RekognitionRecognizer
    from mien.backends.aws.tables import tables

    books = tables(settings.faces_table, settings.recognitions_table, settings.records_table)
    return (
        S3Bucket(clients.s3(), settings.bucket),
        RekognitionRecognizer(clients.rekognition(settings.rekognition_keys_secret), settings.collection),
        DynamoCatalog(clients.dynamodb(), books, settings.result_days),
    )
