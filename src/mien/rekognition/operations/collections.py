"""Answer the operations on collections and their tags.

Source: Amazon Rekognition API Reference, the page of each operation's name.
"""

from __future__ import annotations

from mien.rekognition.serializers import collection_arn
from mien.rekognition.service import MAX_PAGE_ITEMS, Answer, Call, Service


def create_collection(service: Service, call: Call) -> Answer:
    """Create an empty collection with the given tags, for the engine's present model version.

    Raises CollectionExists, and LimitExceeded for too many tags.
    """
    collection = service.gallery.collections.create(call.collection_id, call.params.get("Tags", {}))
    return {
        "StatusCode": 200,
        "CollectionArn": collection_arn(call.region, service.account, collection.collection_id),
        "FaceModelVersion": collection.model_version,
    }


def delete_collection(service: Service, call: Call) -> Answer:
    """Delete a collection with its faces, users and tags. Raises CollectionNotFound."""
    service.gallery.collections.delete(call.collection_id)
    return {"StatusCode": 200}


def describe_collection(service: Service, call: Call) -> Answer:
    """Return a collection's counts, model version, ARN and time of creation. Raises CollectionNotFound.

    CreationTimestamp is in seconds since 1970 with milliseconds as a fraction; boto3 turns it into a datetime. The
    API Reference speaks of milliseconds, but that is not what the service sends.
    """
    collection = service.gallery.collections.describe(call.collection_id)
    return {
        "FaceCount": collection.face_count,
        "FaceModelVersion": collection.model_version,
        "CollectionARN": collection_arn(call.region, service.account, collection.collection_id),
        "CreationTimestamp": round(collection.created_at.timestamp(), 3),
        "UserCount": collection.user_count,
    }


def list_collections(service: Service, call: Call) -> Answer:
    """Return one page of collections: their ids and, in the same order, their model versions."""
    page = service.gallery.collections.list(call.page_limit(MAX_PAGE_ITEMS), call.page_token())
    return {
        "CollectionIds": [collection.collection_id for collection in page.items],
        "FaceModelVersions": [collection.model_version for collection in page.items],
    } | call.next_token(page)


def tag_resource(service: Service, call: Call) -> Answer:
    """Add tags to the collection that ResourceArn names. Raises CollectionNotFound, LimitExceeded."""
    service.gallery.collections.tag(call.collection_id, call.params["Tags"])
    return {}


def untag_resource(service: Service, call: Call) -> Answer:
    """Remove tags from the collection that ResourceArn names. Raises CollectionNotFound."""
    service.gallery.collections.untag(call.collection_id, call.params["TagKeys"])
    return {}


def list_tags_for_resource(service: Service, call: Call) -> Answer:
    """Return the tags of the collection that ResourceArn names. Raises CollectionNotFound."""
    return {"Tags": service.gallery.collections.tags(call.collection_id)}
