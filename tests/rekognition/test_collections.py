"""Collections and their tags, with boto3 as the client that only knows another endpoint URL."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import boto3
import pytest


@pytest.fixture
def names(client):
    made = [f"page-{uuid.uuid4().hex[:8]}-{n}" for n in range(3)]
    for name in made:
        client.create_collection(CollectionId=name)
    yield made
    for name in made:
        client.delete_collection(CollectionId=name)


def test_a_client_needs_nothing_but_the_endpoint_variable(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("rekognition", region_name="us-east-1")
    made = client.create_collection(CollectionId="by-variable")
    assert made["StatusCode"] == 200
    assert made["CollectionArn"] == "arn:aws:rekognition:us-east-1:123456789012:collection/by-variable"
    assert client.delete_collection(CollectionId="by-variable")["StatusCode"] == 200


def test_describe_gives_counters_and_an_aware_date(client, collection, engine):
    found = client.describe_collection(CollectionId=collection)
    assert (found["FaceCount"], found["UserCount"]) == (0, 0)
    assert found["CollectionARN"].endswith(f":collection/{collection}")
    assert found["FaceModelVersion"] == engine.model_version
    assert abs(datetime.now(UTC) - found["CreationTimestamp"]) < timedelta(minutes=1)


def test_the_paginator_walks_all_pages(client, names, engine):
    pages = list(client.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 1}))
    listed = [name for page in pages for name in page["CollectionIds"]]
    assert set(names) <= set(listed)
    assert len(listed) == len(set(listed)) == len(pages)
    assert all(page["FaceModelVersions"] == [engine.model_version] for page in pages)
    assert "NextToken" not in pages[-1]


def test_a_page_without_a_size_holds_all(client, names):
    for terms in ({}, {"MaxResults": 0}):
        answer = client.list_collections(**terms)
        assert set(names) <= set(answer["CollectionIds"])
        assert "NextToken" not in answer


def test_names_are_case_sensitive(client, collection):
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_collection(CollectionId=collection.upper())


def test_a_deleted_collection_is_gone_and_its_name_free(client):
    for _ in range(2):
        client.create_collection(CollectionId="again")
        client.delete_collection(CollectionId="again")
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="The collection id: again does not exist"):
        client.delete_collection(CollectionId="again")


def test_tags_come_with_the_collection_and_change(client):
    arn = client.create_collection(CollectionId="tagged", Tags={"team": "door", "stage": "test"})["CollectionArn"]
    client.tag_resource(ResourceArn=arn, Tags={"stage": "live"})
    client.untag_resource(ResourceArn=arn, TagKeys=["team", "never there"])
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"stage": "live"}
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        client.tag_resource(ResourceArn=arn, Tags={f"k{n}": "v" for n in range(200)})
    client.delete_collection(CollectionId="tagged")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.list_tags_for_resource(ResourceArn=arn)


@pytest.mark.parametrize("arn", ["arn:aws:s3:::bucket-of-mine", "aws:rekognition:eu-west-1:123456789012:collection/x"])
def test_a_name_of_something_else_is_an_invalid_parameter(client, arn):
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.list_tags_for_resource(ResourceArn=arn)


def test_another_accounts_collection_does_not_exist(client, collection):
    arn = f"arn:aws:rekognition:eu-west-1:999999999999:collection/{collection}"
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.list_tags_for_resource(ResourceArn=arn)
