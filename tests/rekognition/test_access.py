"""Keys, permissions, retries and the log, seen through boto3."""

from __future__ import annotations

import logging

import pytest
from botocore.exceptions import ClientError

from mien.rekognition.access_keys import AccessKey
from mien.rekognition.settings import SigV4, WireSettings

KEYS = {
    "ADMIN": AccessKey("admin", "s1"),
    "GATE": AccessKey("gate", "s2", collections=("door",), operations=("Search*", "ListFaces")),
    "ALBUM": AccessKey("album", "s4", buckets=("album-*",)),
    "GUEST": AccessKey("arn:aws:sts::1:assumed-role/guest/x", "s3", session_token="token"),
}


@pytest.fixture(scope="module")
def strict(serve):
    server = serve(WireSettings(keys=KEYS))
    server.client("ADMIN", "s1").create_collection(CollectionId="door")
    return server


def refusal(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]


def test_a_limited_key_is_denied_other_operations_and_collections(strict):
    gate = strict.client("GATE", "s2")
    assert gate.list_faces(CollectionId="door")["Faces"] == []
    denied = refusal(gate.delete_collection, CollectionId="door")
    assert denied["Code"] == "AccessDeniedException"
    assert denied["Message"] == (
        "User: arn:aws:iam::123456789012:user/gate is not authorized to perform: rekognition:DeleteCollection "
        "on resource: arn:aws:rekognition:eu-west-1:123456789012:collection/door "
        "because no identity-based policy allows the rekognition:DeleteCollection action"
    )
    with pytest.raises(gate.exceptions.AccessDeniedException):
        gate.list_faces(CollectionId="staff")
    assert "on resource: *" in refusal(gate.list_collections)["Message"]


def test_a_limited_key_cannot_read_other_buckets(serve, caplog):
    client = serve(WireSettings(keys=KEYS), read_object=lambda *_: b"").client("ALBUM", "s4")
    for image in ("Image", "SourceImage", "TargetImage"):
        images = {"SourceImage": {"Bytes": b"x"}, "TargetImage": {"Bytes": b"x"}} if image != "Image" else {}
        images[image] = {"S3Object": {"Bucket": "payroll", "Name": "ann.jpg"}}
        call = client.detect_faces if image == "Image" else client.compare_faces
        with pytest.raises(client.exceptions.InvalidS3ObjectException, match="Unable to get object metadata from S3"):
            call(**images)
    assert caplog.text.count("The caller's key does not allow this bucket.") == 3
    with pytest.raises(client.exceptions.InvalidImageFormatException):
        client.detect_faces(Image={"S3Object": {"Bucket": "album-1", "Name": "ann.jpg"}})


def test_tags_are_guarded_like_their_collection(strict):
    arn = "arn:aws:rekognition:eu-west-1:123456789012:collection/door"
    assert (
        refusal(strict.client("GATE", "s2").list_tags_for_resource, ResourceArn=arn)["Code"] == "AccessDeniedException"
    )


def test_temporary_credentials_need_their_token(strict):
    guest = strict.client("GUEST", "s3", aws_session_token="token")
    assert guest.list_collections()["CollectionIds"] == ["door"]
    assert refusal(strict.client("GUEST", "s3").list_collections)["Code"] == "UnrecognizedClientException"
    wrong = strict.client("GUEST", "s3", aws_session_token="other")
    assert refusal(wrong.list_collections)["Code"] == "UnrecognizedClientException"


def test_wrong_keys_are_refused_in_boto3(strict):
    assert refusal(strict.client("ADMIN", "guess").list_collections)["Code"] == "InvalidSignatureException"
    assert refusal(strict.client("NOBODY", "s1").list_collections)["Code"] == "UnrecognizedClientException"


def test_only_the_configured_region_is_accepted(serve):
    server = serve(WireSettings(keys=KEYS, region="eu-west-1"))
    assert server.client("ADMIN", "s1").list_collections()["CollectionIds"] == []
    abroad = server.client("ADMIN", "s1", region_name="us-east-1")
    assert "valid region" in refusal(abroad.list_collections)["Message"]


def test_a_stock_client_rides_out_a_throttle(serve):
    settings = WireSettings(sigv4=SigV4.ACCEPT_ANY, rates={"CreateUser": 2})
    client = serve(settings).client(attempts=4)
    client.create_collection(CollectionId="busy")
    names = [f"u{number}" for number in range(4)]
    retries = [
        client.create_user(CollectionId="busy", UserId=name)["ResponseMetadata"]["RetryAttempts"] for name in names
    ]
    assert sum(retries) > 0
    assert sorted(user["UserId"] for user in client.list_users(CollectionId="busy")["Users"]) == names


def test_a_stock_client_rides_out_an_internal_error_without_double_effect(serve, engine, album):
    class FailsOnce:
        model_version = engine.model_version
        failures = 1

        def read(self, image, **options):
            if self.failures:
                self.failures -= 1
                raise RuntimeError("once")
            return engine.read(image)

    client = serve(engine=FailsOnce()).client(attempts=3)
    client.create_collection(CollectionId="shaky")
    answer = client.index_faces(CollectionId="shaky", Image={"Bytes": album.stranger})
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert client.describe_collection(CollectionId="shaky")["FaceCount"] == 1


def test_new_faces_are_hidden_when_a_delay_is_set(serve, album):
    client = serve(WireSettings(sigv4=SigV4.ACCEPT_ANY, delay=3600)).client()
    client.create_collection(CollectionId="late")
    photo = {"Bytes": album.stranger}
    (record,) = client.index_faces(CollectionId="late", Image=photo)["FaceRecords"]
    assert client.search_faces_by_image(CollectionId="late", Image=photo)["FaceMatches"] == []
    with pytest.raises(client.exceptions.InvalidParameterException, match="faceId was not found"):
        client.search_faces(CollectionId="late", FaceId=record["Face"]["FaceId"])
    assert client.describe_collection(CollectionId="late")["FaceCount"] == 1


def test_the_log_tells_the_true_cause_and_no_names(client, caplog):
    with caplog.at_level(logging.INFO), pytest.raises(ClientError) as caught:
        client.search_users(CollectionId="collection-of-anna")
    with caplog.at_level(logging.INFO), pytest.raises(ClientError):
        client.create_user(CollectionId="collection-of-anna", UserId="anna@home")
    with caplog.at_level(logging.INFO), pytest.raises(ClientError) as terse:
        client.detect_faces(Image={})
    assert f"{reference(caught)} ResourceNotFoundException" in caplog.text
    assert f"{reference(terse)} InvalidParameterException: An image needs exactly one" in caplog.text
    assert "anna" not in caplog.text


def reference(caught):
    return caught.value.response["ResponseMetadata"]["RequestId"]
