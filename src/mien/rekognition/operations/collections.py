"""Collections: create, delete, describe, list.

Tags of a collection, which is named by its ARN.
"""

from __future__ import annotations

from typing import Any

from mien.rekognition.serializers import collection_arn
from mien.rekognition.service import MOST_RESULTS, Call, Service, next_token, page_limit, page_token


def create_collection(service: Service, call: Call) -> dict[str, Any]:
    made = service.gallery.create_collection(call.collection_id, call.params.get("Tags", {}))
    return {
        "StatusCode": 200,
        "CollectionArn": collection_arn(call.region, service.account, made.collection_id),
        "FaceModelVersion": made.model_version,
    }


def delete_collection(service: Service, call: Call) -> dict[str, Any]:
    service.gallery.delete_collection(call.collection_id)
    return {"StatusCode": 200}


def describe_collection(service: Service, call: Call) -> dict[str, Any]:
    """CreationTimestamp is a number of seconds with milliseconds; a date for boto3."""
    found = service.gallery.describe_collection(call.collection_id)
    return {
        "FaceCount": found.face_count,
        "FaceModelVersion": found.model_version,
        "CollectionARN": collection_arn(call.region, service.account, found.collection_id),
        "CreationTimestamp": round(found.created_at.timestamp(), 3),
        "UserCount": found.user_count,
    }


def list_collections(service: Service, call: Call) -> dict[str, Any]:
    page = service.gallery.list_collections(page_limit(call, MOST_RESULTS), page_token(call))
    return {
        "CollectionIds": [collection.collection_id for collection in page.items],
        "FaceModelVersions": [collection.model_version for collection in page.items],
    } | next_token(call, page)


def tag_resource(service: Service, call: Call) -> dict[str, Any]:
    service.gallery.tag(call.collection_id, call.params["Tags"])
    return {}


def untag_resource(service: Service, call: Call) -> dict[str, Any]:
    service.gallery.untag(call.collection_id, call.params["TagKeys"])
    return {}


def list_tags_for_resource(service: Service, call: Call) -> dict[str, Any]:
    return {"Tags": service.gallery.tags(call.collection_id)}
