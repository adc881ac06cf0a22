"""Every exception that the service models can be provoked, is its own class in boto3, and comes as AWS sends it."""

from __future__ import annotations

import io
import uuid

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from mien.rekognition.settings import SigV4, WireSettings

TOO_MANY = [str(uuid.uuid4()) for _ in range(101)]


def picture(width=100, height=100, kind="PNG", mode="RGB"):
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, kind)
    return {"Bytes": stream.getvalue()}


def caught(call, **params):
    with pytest.raises(ClientError) as error:
        call(**params)
    metadata = error.value.response["ResponseMetadata"]
    assert uuid.UUID(metadata["RequestId"])
    return error.value, metadata["HTTPStatusCode"]


def provoke(client, collection):
    user = {"CollectionId": collection, "UserId": "ann", "ClientRequestToken": "once"}
    client.create_user(**user)
    return {
        "ResourceAlreadyExistsException": (client.create_collection, {"CollectionId": collection}),
        "ResourceNotFoundException": (client.list_faces, {"CollectionId": "none"}),
        "InvalidParameterException": (client.search_faces, {"CollectionId": collection, "FaceId": TOO_MANY[0]}),
        "InvalidImageFormatException": (client.detect_faces, {"Image": {"Bytes": b"no image"}}),
        "ImageTooLargeException": (client.detect_faces, {"Image": picture(9_900, 9_000, mode="1")}),
        "InvalidS3ObjectException": (client.detect_faces, {"Image": {"S3Object": {"Bucket": "ours", "Name": "x"}}}),
        "InvalidPaginationTokenException": (client.list_collections, {"NextToken": "nonsense"}),
        "ConflictException": (client.create_user, {"CollectionId": collection, "UserId": "ann"}),
        "IdempotentParameterMismatchException": (client.create_user, {**user, "UserId": "bob"}),
        "ServiceQuotaExceededException": (
            client.tag_resource,
            {
                "ResourceArn": client.describe_collection(CollectionId=collection)["CollectionARN"],
                "Tags": {f"t{number}": "" for number in range(200)},
            },
        ),
    }


def test_every_modelled_exception_is_its_class_in_boto3(serve):
    def read_object(bucket, key, version):
        from mien.domain.errors import ImageNotFound

        raise ImageNotFound("There is no such object.")

    client = serve(read_object=read_object).client()
    client.create_collection(CollectionId="a", Tags={"one": "more"})
    for name, (call, params) in provoke(client, "a").items():
        error, status = caught(call, **params)
        assert isinstance(error, getattr(client.exceptions, name)), name
        assert status == 400
        assert error.response["Error"]["Message"]


def test_rates_throttle_with_both_exceptions(serve):
    client = serve(WireSettings(sigv4=SigV4.ACCEPT_ANY, rates={"ListCollections": 1})).client()
    client.list_collections()
    refusals = [caught(client.list_collections) for _ in range(2)]
    assert isinstance(refusals[0][0], client.exceptions.ProvisionedThroughputExceededException)
    assert isinstance(refusals[1][0], client.exceptions.ThrottlingException)
    assert [status for _, status in refusals] == [400, 400]


def test_an_engine_that_breaks_is_an_internal_error_without_a_trace(serve, engine):
    class Broken:
        model_version = engine.model_version

        def detect(self, image):
            raise RuntimeError("private words")

    client = serve(engine=Broken()).client()
    error, status = caught(client.detect_faces, Image=picture())
    assert isinstance(error, client.exceptions.InternalServerError)
    assert status == 500
    assert "private" not in str(error.response)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("create_collection", {"CollectionId": "a" * 256}),
        ("create_collection", {"CollectionId": "two words"}),
        ("search_faces", {"CollectionId": "a", "FaceId": TOO_MANY[0], "FaceMatchThreshold": 101.0}),
        ("index_faces", {"CollectionId": "a", "Image": picture(), "QualityFilter": "FOO"}),
        ("index_faces", {"CollectionId": "a", "Image": picture(), "ExternalImageId": "a/b c@d"}),
        ("detect_faces", {"Image": {"Bytes": b""}}),
        ("detect_faces", {"Image": {"Bytes": bytes(5_242_881)}}),
        ("associate_faces", {"CollectionId": "a", "UserId": "u", "FaceIds": TOO_MANY}),
        ("search_users", {"CollectionId": "a", "UserId": "u", "MaxUsers": 501}),
        ("list_users", {"CollectionId": "a", "MaxResults": 501}),
    ],
)
def test_what_boto3_lets_through_is_a_validation_exception(client, operation, params):
    error, status = caught(getattr(client, operation), **params)
    assert error.response["Error"]["Code"] == "ValidationException"
    assert error.response["Error"]["Message"].startswith("1 validation error detected: Value ")
    assert type(error) is ClientError
    assert status == 400


def test_operations_that_are_not_offered_say_so(client):
    error, status = caught(client.detect_labels, Image=picture())
    assert error.response["Error"]["Code"] == "UnsupportedOperationException"
    assert "DetectLabels" in error.response["Error"]["Message"]
    assert status == 400


def test_pictures_under_80_pixels_are_an_invalid_parameter(client):
    for size in ((79, 100), (100, 79)):
        error, _ = caught(client.detect_faces, Image=picture(*size))
        assert isinstance(error, client.exceptions.InvalidParameterException)
        assert error.response["Error"]["Message"] == "Request has invalid parameters"
    assert client.detect_faces(Image=picture(80, 80))["FaceDetails"] == []


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "TIFF"])
def test_only_jpeg_and_png_are_images_here(client, kind):
    error, _ = caught(client.detect_faces, Image=picture(kind=kind))
    assert isinstance(error, client.exceptions.InvalidImageFormatException)


def test_a_damaged_picture_is_an_invalid_format(client):
    noise = np.random.default_rng(0).integers(0, 255, 5000, np.uint8).tobytes()
    for head in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"):
        error, _ = caught(client.detect_faces, Image={"Bytes": head + noise})
        assert isinstance(error, client.exceptions.InvalidImageFormatException)
