"""Where an image may be: in the request, in a local bucket, in any S3-compatible store."""

from __future__ import annotations

import sys

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mien.domain.errors import ImageNotFound
from mien.rekognition import images

from .wire_server import running


def s3_object(name, bucket="album", **more):
    return {"S3Object": {"Bucket": bucket, "Name": name, **more}}


@pytest.fixture
def s3(album, monkeypatch):
    """A minimal S3: it answers GET by path, and records the requests."""
    objects = {"/album/five.jpg": album.five, "/album/huge.jpg": b"\xff\xd8\xff" + bytes(15 * 1024 * 1024)}
    asked = []

    def get(request: Request) -> Response:
        asked.append((request.url.path, request.query_params.get("versionId")))
        content = objects.get(request.url.path)
        if content is None:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
        return Response(content, media_type="image/jpeg")

    with running(Starlette(routes=[Route("/{path:path}", get)])) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        images.s3_client.cache_clear()
        yield asked
        images.s3_client.cache_clear()


def test_an_object_is_read_from_s3_with_the_servers_aws_settings(client, s3):
    assert len(client.detect_faces(Image=s3_object("five.jpg"))["FaceDetails"]) == 5
    client.detect_faces(Image=s3_object("five.jpg", Version="v7"))
    assert s3 == [("/album/five.jpg", None), ("/album/five.jpg", "v7")]


def test_photos_in_s3_are_read_without_boto3(client, s3, monkeypatch):
    images.s3_client()
    images.s3_client.cache_clear()
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert len(images.read_image(s3_object("five.jpg"), images.no_local_bucket)) > 0
    assert s3 == [("/album/five.jpg", None)]


def test_a_missing_or_too_large_object_is_refused(client, s3):
    with pytest.raises(client.exceptions.InvalidS3ObjectException, match="Unable to get object metadata from S3"):
        client.detect_faces(Image=s3_object("none.jpg"))
    with pytest.raises(client.exceptions.ImageTooLargeException):
        client.detect_faces(Image=s3_object("huge.jpg"))


def test_an_object_of_a_local_bucket_is_read_without_s3(serve, s3, album):
    def read_object(bucket, key, version):
        if bucket != "ours":
            return None
        if key != "uploaded/five.jpg":
            raise ImageNotFound("There is no such object.")
        return album.five

    client = serve(read_object=read_object).client()
    assert len(client.detect_faces(Image=s3_object("uploaded/five.jpg", "ours"))["FaceDetails"]) == 5
    with pytest.raises(client.exceptions.InvalidS3ObjectException):
        client.detect_faces(Image=s3_object("other.jpg", "ours"))
    assert s3 == []
    assert len(client.detect_faces(Image=s3_object("five.jpg"))["FaceDetails"]) == 5


def test_a_store_that_does_not_answer_is_an_invalid_object(client, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    images.s3_client.cache_clear()
    with pytest.raises(client.exceptions.InvalidS3ObjectException):
        client.detect_faces(Image=s3_object("five.jpg"))
    images.s3_client.cache_clear()


def test_a_server_without_credentials_says_so_in_its_log(client, monkeypatch, caplog):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    images.s3_client.cache_clear()
    with pytest.raises(client.exceptions.InvalidS3ObjectException, match="Unable to get object metadata from S3"):
        client.detect_faces(Image=s3_object("five.jpg"))
    images.s3_client.cache_clear()
    assert "The server has no AWS credentials to read from S3." in caplog.text
